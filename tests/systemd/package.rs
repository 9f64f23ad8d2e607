//! The life of the package.

use std::path::Path;
use std::process::Command;

use super::machine::{Machine, build, newer, package};
use super::on_each_release;
use crate::harness::told;

fn version(machine: &Machine) -> String {
    machine.sh("dpkg-query -W -f '${Version} ${db:Status-Abbrev}' alertd")
}

/// All that is left, but the package's archives and the journal.
fn leftovers(machine: &Machine) -> String {
    machine.sh("find / -xdev \\( -path /proc -o -path /sys -o -path /root -o -path /var/log -o -path /var/cache/apt -o -path /tmp \\) -prune -o -name '*alert[dc]*' -print")
}

on_each_release! {
    fn an_upgrade_keeps_edits_and_restarts_the_service_once(machine: &Machine) {
        machine.install();
        machine.write("/etc/alertd.toml", "# mine\n[http]\nmax_body = \"2KiB\"\n");
        machine.sh("alertctl publish kept; alertctl key add alice >/root/key");
        machine.sh("systemctl disable alertd-publish.socket 2>/dev/null");
        let sockets = || machine.sh("systemctl show -P ActiveEnterTimestampMonotonic alertd.socket alertd-control.socket alertd-publish.socket");
        let before = (sockets(), machine.show("alertd.service", "InvocationID"));
        let starts = || machine.journal("_SYSTEMD_UNIT=alertd.service MESSAGE_ID=6ad1f4a7b6f04c2f9a4e0d7c6a3f1e01").len();
        let started = starts();
        machine.apt_install(newer());
        assert_eq!(version(machine), "0.2.0-1 ii");
        assert_eq!(sockets(), before.0);
        assert_ne!(machine.show("alertd.service", "InvocationID"), before.1);
        assert_eq!(starts(), started + 1);
        assert!(machine.sh("cat /etc/alertd.toml").starts_with("# mine"));
        assert!(machine.sh("alertctl history").contains("kept") && machine.sh("alertctl key list").contains("alice"));
        assert_eq!(machine.sh("systemctl is-enabled alertd-publish.socket || true"), "disabled", "the operator's wish");
        machine.apt_install(package());
        assert_eq!(version(machine), "0.1.0-1 ii", "downgrade");
        assert!(machine.sh("alertctl history").contains("kept"));
        // A service that its operator has stopped stays so.
        machine.sh("systemctl stop alertd.socket alertd-control.socket alertd.service");
        machine.apt_install(newer());
        assert_eq!(machine.show("alertd.service", "ActiveState"), "inactive");
    }

    /// F10, F13.
    fn what_was_stopped_for_good_stays_so_and_a_removal_that_is_called_off_changes_nothing(machine: &Machine) {
        machine.install();
        let units = "alertd.socket alertd-control.socket alertd-publish.socket alertd.service";
        machine.sh(&format!("systemctl stop {units}"));
        machine.apt_install(newer());
        assert_eq!(machine.sh(&format!("systemctl is-active {units} || true")), "inactive\ninactive\ninactive\ninactive");
        machine.sh("systemctl start alertd");
        // What dpkg does if the package that is to replace this one cannot be unpacked.
        machine.sh("/var/lib/dpkg/info/alertd.prerm remove in-favour other 1 && /var/lib/dpkg/info/alertd.postinst abort-remove in-favour other 1");
        assert_eq!(machine.sh(&format!("systemctl is-active {units}")), "active\nactive\nactive\nactive");
        machine.sh("systemctl stop alertd-publish.socket; /var/lib/dpkg/info/alertd.prerm remove in-favour other 1 && /var/lib/dpkg/info/alertd.postinst abort-remove in-favour other 1");
        assert_eq!(machine.sh("systemctl is-active alertd-publish.socket || true"), "inactive", "only what was stopped is started");
    }

    fn remove_keeps_what_is_the_operators_and_purge_nothing(machine: &Machine) {
        let before = leftovers(machine);
        machine.install();
        machine.sh("alertctl publish kept; mkdir -p /etc/systemd/system/service.d && ln -s /usr/share/alertd/service.d/10-alertd-unit-failed.conf /etc/systemd/system/service.d/");
        machine.sh("systemctl enable --now alertd-journal.service 2>/dev/null");
        let said = machine.sh("apt-get remove -y -q alertd 2>&1");
        assert!(!said.contains("rror") && !said.contains("arning"), "{said}");
        assert!(!machine.try_sh("curl -sS http://127.0.0.1:8080/livez").status.success());
        assert_eq!(machine.sh("systemctl list-units --no-legend 'alertd*' | grep -v 'not-found' || true"), "");
        machine.sh("test -f /etc/alertd.toml && test -d /var/lib/alertd/log");
        machine.install();
        assert!(machine.sh("alertctl history").contains("kept"), "reinstalled");
        machine.sh("apt-get remove -y -q alertd && apt-get purge -y -q alertd 2>&1");
        assert_eq!(leftovers(machine), before);
        assert_eq!(machine.sh("getent passwd alertd | cut -d: -f7"), "/usr/sbin/nologin");
        assert_eq!(machine.sh("systemctl --failed --no-legend"), "");
        machine.install();
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
        machine.sh("apt-get purge -y -q alertd");
        assert_eq!(leftovers(machine), before);
    }

    fn the_packages_own_test_passes(machine: &Machine) {
        machine.install();
        machine.put(&Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/debian/tests/smoke"), "/root/smoke");
        machine.sh("/root/smoke");
    }

    /// Debian's own judgement of installing and purging; what the release itself leaves does not count.
    fn piuparts_finds_nothing_left_behind(machine: &Machine) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let boxes = std::env::var_os("ALERTD_BOXES").map_or_else(|| root.join("target/boxes"), Into::into);
        let targets = Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]).output().unwrap();
        let targets = String::from_utf8(targets.stdout).unwrap();
        let mirror = targets.lines().find(|line| line.trim_end_matches('/').ends_with("/debian")).unwrap();
        let output = Command::new("piuparts")
            .args(["--no-eatmydata", "--ignore-regex=/var/cache/debconf/tmp\\.ci.*", "--mirror", &format!("{mirror} main"), "-d", machine.release, "-e"])
            .arg(boxes.join(machine.release))
            .arg(package())
            .output()
            .unwrap();
        let said = told(&output);
        assert!(output.status.success() && said.contains("PASS: Installation and purging test."), "{said}");
    }

    fn it_installs_where_no_systemd_runs(machine: &Machine) {
        // The machine only made sure that its release is there.
        let file = package().file_name().unwrap().to_str().unwrap();
        let script = format!("apt-get install -y -q /root/{file} && alertd --check && ls /etc/systemd/system/sockets.target.wants && getent passwd alertd && apt-get purge -y -q alertd && ! test -e /var/lib/alertd");
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/systemd/box"))
            .args(["without-systemd", machine.release])
            .arg(package())
            .args(["sh", "-ec", &script])
            .output()
            .unwrap();
        let said = told(&output);
        assert!(output.status.success() && said.contains("alertd-control.socket"), "{said}");
    }
}

#[test]
fn two_builds_of_one_source_are_the_same_bytes() {
    let first = std::fs::read(package()).unwrap();
    let again = std::fs::read(build("0.1.0-1", "again")).unwrap();
    assert!(first == again, "{} and {} bytes", first.len(), again.len());
}
