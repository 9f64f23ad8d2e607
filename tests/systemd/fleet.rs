//! A fleet on the Redis or Valkey of the release, set up as its document says.

use std::process::Command;

use super::machine::{Machine, package};
use super::on_each_release;
use crate::harness::{eventually, told};

const DOCUMENT: &str = include_str!("../../packaging/doc/fleet.md");

/// The commands of the section, without the one that needs a network.
fn commands(machine: &Machine) -> String {
    let section = DOCUMENT.split("## On Debian").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines: Vec<_> = blocks.flat_map(str::lines).filter(|line| !line.starts_with("apt ")).collect();
    let text = lines.join("\n");
    if machine.release == "bookworm" { text.replace("valkey", "redis") } else { text }
}

on_each_release! {
    fn two_daemons_are_one_fleet_as_the_document_says(machine: &Machine) {
        machine.install();
        let set_up = machine.sh(&format!("set -e\n{}", commands(machine)));
        assert!(set_up.contains("redis, durability primary"), "{set_up}");
        // A second one on the same machine, with a credential of its own.
        machine.sh("mkdir -p /etc/alertd && cp /etc/alertd.toml /etc/alertd/blue.toml");
        machine.sh("cp -p /etc/credstore/alertd.redis-password /etc/credstore/alertd@blue.redis-password");
        machine.sh("systemctl enable --now alertd-control@blue.socket alertd-publish@blue.socket alertd@blue.socket");
        machine.sh("systemctl start alertd@blue.service");
        eventually("nodes in step", || {
            let status = machine.sh("alertctl --instance blue status");
            (status.matches("in step").count() == 2).then_some(())
        });
        let key = machine.sh("alertctl --instance blue key add alice");
        let id = machine.sh("alertctl publish -t ops over-both");
        let page = machine.sh(&format!(
            "curl -sS --unix-socket /run/alertd/blue/http.sock -H 'Authorization: Bearer {key}' -H 'Accept: application/json' http://blue/alerts/ops"
        ));
        assert!(page.contains(&id) && page.contains("over-both"), "{page}");
        // The password is in no argument, no journal and no property.
        let password = machine.sh("cat /etc/credstore/alertd.redis-password");
        let seen = machine.sh("journalctl --no-pager -o export; systemctl show alertd; cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
        assert!(!seen.contains(&password));
        // Redis away, and back: nothing needs a restart.
        let server = if machine.release == "bookworm" { "redis-server" } else { "valkey-server" };
        machine.sh(&format!("systemctl stop {server}"));
        let are_ready = |wanted: bool| {
            let is_ready = |unit| !machine.show(unit, "StatusText").contains("not ready");
            eventually("statuses that say so", || {
                (is_ready("alertd.service") == wanted && is_ready("alertd@blue.service") == wanted).then_some(())
            });
        };
        are_ready(false);
        machine.sh(&format!("systemctl start {server}"));
        are_ready(true);
        machine.sh("alertctl publish -t ops again");
        assert!(machine.sh("alertctl --instance blue history ops").contains("over-both"));
        assert_eq!(machine.show("alertd.service", "NRestarts"), "0");
    }
}

/// As the image is made and run, without an engine for containers: its commands, its user and its environment.
#[test]
fn the_container_of_the_composition_is_a_node() {
    let composition = include_str!("../../packaging/fleet/compose.yaml");
    let line = |start: &str| composition.lines().map(str::trim).find(|line| line.starts_with(start)).unwrap();
    let made = line("&& install").strip_prefix("&& ").unwrap();
    let variables: Vec<_> = composition
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.starts_with("ALERTD_"))
        .map(|(name, value)| format!("{name}={}", value.replace("\"valkey\"", "127.0.0.1")))
        .collect();
    let server = line("command:").trim_start_matches("command: ").replace(['[', ']', ',', '"'], "");
    let user = line("USER").trim_start_matches("USER ");
    let file = package().file_name().unwrap().to_str().unwrap();
    let script = format!(
        "apt-get install -y -q /root/{file} >/dev/null\n{made}\nip link set lo up\n{server} --daemonize yes >/dev/null\n\
         as=\"setpriv --reuid {user} --regid {user} --init-groups env {}\"\n$as alertd &\n\
         until curl -fs http://127.0.0.1:8080/readyz; do :; done\nkey=$($as alertctl key add alice)\n\
         curl -fsS -H \"Authorization: Bearer $key\" -d stored http://127.0.0.1:8080/alerts\n$as alertctl status\n",
        variables.join(" ")
    );
    Machine::with("trixie", |machine| {
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/systemd/box"))
            .args(["without-systemd", machine.release])
            .arg(package())
            // A network of its own: the port of Redis may be taken outside.
            .args(["unshare", "--net", "timeout", "60", "bash", "-ec", &script])
            .output()
            .unwrap();
        let said = told(&output);
        assert!(output.status.success() && said.contains("alert stored") && said.contains("in step"), "{said}");
    });
}
