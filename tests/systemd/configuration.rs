//! A wrong configuration: what the operator sees, and what clients get.

use super::machine::Machine;
use super::on_each_release;
use crate::harness::{eventually, told};

const WRONG: &str = "[http]\nmax_boddy = \"1KiB\"\n";

fn starts(machine: &Machine) -> usize {
    machine.journal("_PID=1 UNIT=alertd.service MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5").len()
}

on_each_release! {
    fn a_start_fails_once_and_says_why(machine: &Machine) {
        machine.install();
        machine.sh("systemctl stop alertd.service");
        machine.write("/etc/alertd.toml", WRONG);
        let before = starts(machine);
        assert!(!machine.try_sh("systemctl start alertd").status.success());
        let status = machine.try_sh("systemctl status --no-pager --full alertd");
        let text = told(&status);
        for words in ["/etc/alertd.toml:2", "max_boddy", "max_body", "status=78"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert_eq!(machine.show("alertd.service", "ActiveState"), "failed");
        assert_eq!((starts(machine) - before, machine.show("alertd.service", "NRestarts")), (1, "0".to_owned()));
        assert_eq!(machine.show("alertd.socket", "ActiveState"), "active", "clients may still wait");
        machine.write("/etc/alertd.toml", "");
        machine.sh("systemctl reset-failed alertd && systemctl start alertd");
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
    }

    fn clients_that_wait_are_let_go_after_a_bounded_number_of_starts(machine: &Machine) {
        machine.install();
        machine.sh("systemctl stop alertd.service");
        machine.write("/etc/alertd.toml", WRONG);
        let before = starts(machine);
        let client = machine.try_sh("curl -sS --max-time 60 http://127.0.0.1:8080/livez");
        assert!(matches!(client.status.code(), Some(7 | 52 | 56)), "the client is told at once: {}", told(&client));
        eventually("the socket gives up", || (machine.show("alertd.socket", "ActiveState") == "failed").then_some(()));
        assert_eq!(machine.show("alertd.socket", "Result"), "trigger-limit-hit");
        let tried = starts(machine) - before;
        assert!((1..=21).contains(&tried), "{tried} starts");
        assert!(!machine.try_sh("curl -sS http://127.0.0.1:8080/livez").status.success());
        assert_eq!(starts(machine) - before, tried, "it is at rest");
        // The remedy that alertd(8) gives.
        machine.write("/etc/alertd.toml", "");
        machine.sh("systemctl reset-failed alertd.service alertd.socket && systemctl start alertd");
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
    }

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

    fn a_crash_loop_keeps_the_port(machine: &Machine) {
        machine.install();
        // The store is no store: alertd ends with 1 at each start, and may be mended at any time.
        machine.sh("systemctl stop alertd && mv /var/lib/alertd/alerts.redb /root/ && echo nonsense >/var/lib/alertd/alerts.redb && chown alertd: /var/lib/alertd/alerts.redb");
        let mut client = machine.background("curl -sS --max-time 60 http://127.0.0.1:8080/livez");
        eventually("many restarts", || (machine.show("alertd.service", "NRestarts").parse::<u32>().unwrap() >= 12).then_some(()));
        assert_eq!(machine.show("alertd.socket", "ActiveState"), "active");
        machine.sh("mv /root/alerts.redb /var/lib/alertd/");
        assert!(client.0.wait().unwrap().success(), "who waited is served");
    }

    fn a_password_comes_as_a_credential(machine: &Machine) {
        machine.install();
        machine.sh("mkdir -p /etc/credstore && (umask 077; echo s3cret-of-redis >/etc/credstore/alertd.redis-password) && systemctl restart alertd");
        let pid = machine.show("alertd.service", "MainPID");
        assert_eq!(machine.sh(&format!("nsenter -t {pid} -m cat /run/credentials/alertd.service/alertd.redis-password")), "s3cret-of-redis");
        assert!(!machine.sh("journalctl -q --no-pager --all -o export").contains("s3cret"));
    }
}
