//! A wrong configuration: what the operator sees, and what clients get.

use super::machine::Machine;
use super::on_each_release;

const WRONG: &str = "[http]\nmax_boddy = \"1KiB\"\n";

on_each_release! {
    fn a_reload_of_it_changes_nothing_and_says_so(machine: &Machine) {
        machine.install();
        let pid = machine.show("alertd.service", "MainPID");
        machine.write("/etc/alertd.toml", WRONG);
        let reload = machine.try_sh("systemctl reload alertd");
        assert!(!reload.status.success());
        assert!(machine.show("alertd.service", "StatusText").contains("reload failed"));
        let entries = machine.journal("_SYSTEMD_UNIT=alertd.service MESSAGE_ID=6ad1f4a7b6f04c2f9a4e0d7c6a3f1e04");
        assert!(entries[0]["MESSAGE"].as_str().unwrap().contains("/etc/alertd.toml:2"), "{entries:?}");
        assert_eq!((machine.show("alertd.service", "ActiveState"), machine.show("alertd.service", "MainPID")), ("active".to_owned(), pid));
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
        assert_eq!(machine.try_sh("alertctl reload").status.code(), Some(78));
    }

    fn a_password_comes_as_a_credential(machine: &Machine) {
        machine.install();
        machine.sh("mkdir -p /etc/credstore && (umask 077; echo s3cret-of-redis >/etc/credstore/alertd.redis-password) && systemctl restart alertd");
        let pid = machine.show("alertd.service", "MainPID");
        assert_eq!(machine.sh(&format!("nsenter -t {pid} -m cat /run/credentials/alertd.service/alertd.redis-password")), "s3cret-of-redis");
        assert!(!machine.sh("journalctl -q --no-pager --all -o export").contains("s3cret"));
    }
}
