//! The README's commands of root, as they stand there, from a fresh machine to one without alertd.

use super::machine::{Machine, package};
use super::on_each_release;
use crate::readme::blocks;

/// The commands of each block; the one that a plain user runs builds the package.
fn commands() -> Vec<Vec<String>> {
    let command = |line: &str| line.strip_prefix("# ").map(str::to_owned);
    let of_root = |block: &String| block.lines().filter_map(command).collect();
    let console = blocks("README.md", "console");
    let plain: Vec<_> = console.iter().flat_map(|block| block.lines()).filter(|line| !line.starts_with("# ")).collect();
    assert_eq!(plain, ["$ make deb"]);
    console.iter().map(of_root).collect()
}

on_each_release! {
    fn the_readmes_commands_lead_from_the_package_to_an_alert_over_tls_and_back(machine: &Machine) {
        machine.sh("mkdir -p /root/target/debian && cd /root && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout privkey.pem -out fullchain.pem -days 60 -subj /CN=localhost -addext basicConstraints=critical,CA:FALSE 2>/dev/null");
        machine.put(package(), "/root/target/debian/alertd_0.1.0-1_amd64.deb");
        let run = |command: &String| machine.sh(&format!("export DEBIAN_FRONTEND=noninteractive; apt() {{ apt-get -q -y \"$@\"; }}; cd /root && {command}"));
        let mut blocks = commands().into_iter();
        let mut block = || blocks.next().unwrap();
        let first: Vec<String> = block().iter().map(run).collect();
        assert!(first.len() <= 4, "from the package to an alert in five lines, the browser's included: {first:?}");
        let key = first[1].lines().next().unwrap();
        let read = |url: &str| machine.sh(&format!("curl -sSk --fail -H 'Authorization: Bearer {key}' -H 'Accept: application/json' '{url}/alerts?topic=*'"));
        assert!(read("http://localhost:8080").contains("disk is full"));
        block().iter().map(run).for_each(drop);
        assert!(read("https://localhost").contains("disk is full"));
        block().iter().map(run).for_each(drop);
        assert!(read("https://localhost").contains("disk is full"));
        let last: Vec<String> = block();
        run(&last[0]);
        machine.sh("test -e /var/lib/alertd/log && ! test -e /usr/bin/alertd");
        run(&last[1]);
        machine.sh("! test -e /var/lib/alertd && ! test -e /etc/alertd.toml");
        assert!(blocks.next().is_none());
    }
}
