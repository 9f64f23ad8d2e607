//! A wrong configuration: what the operator sees, and what clients get.

use super::machine::Machine;
use super::on_each_release;
use crate::harness::told;

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
        let message = entries[0]["MESSAGE"].as_str().unwrap();
        // F20: it said "configuration" twice.
        assert!(message.contains("/etc/alertd.toml:2") && message.matches("configuration").count() == 1, "{message}");
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

    /// F16: `config show` named the default, and `status` nothing.
    fn f16_the_addresses_and_the_socket_unit_they_come_from_are_in_status_and_configuration(machine: &Machine) {
        machine.install();
        machine.write("/etc/systemd/system/alertd.socket.d/address.conf", "[Socket]\nListenStream=\nListenStream=127.0.0.1:8090\nListenStream=[::1]:8091\n");
        machine.sh("systemctl daemon-reload && systemctl restart alertd.socket && systemctl restart alertd.service");
        let status = machine.sh("alertctl status");
        let line = status.lines().find(|line| line.starts_with("listening")).unwrap();
        assert!(line.ends_with("127.0.0.1:8090, [::1]:8091 (alertd.socket)"), "{line}");
        let shown = told(&machine.try_sh("alertctl config show"));
        assert!(shown.contains("alertd.socket listens on 127.0.0.1:8090, [::1]:8091, which counts instead of http.listen"), "{shown}");
        assert!(machine.sh("alertctl status --json").contains("[::1]:8091"));
    }
}
