//! The journal as an audit trail: which person did something, also through the sandbox, and while no daemon runs.

use super::machine::Machine;
use super::on_each_release;
use crate::audit::found_by_fail2ban;

const UNITS: &str = "alertd.socket alertd-control.socket alertd-publish.socket alertd.service";

/// The only entry with this end of its id.
fn entry(machine: &Machine, id: &str) -> serde_json::Value {
    let found = machine.journal(&format!("MESSAGE_ID=6ad1f4a7b6f04c2f9a4e0d7c6a3f1e{id}"));
    assert_eq!(found.len(), 1, "{id}: {found:?}");
    found[0].clone()
}

on_each_release! {
    fn f9_the_journal_says_which_person_it_was(machine: &Machine) {
        machine.install();
        machine.sh("useradd -u 4711 -G alertd keeper");
        let as_keeper = |command: &str| {
            machine.sh(&format!("setpriv --reuid keeper --regid keeper --init-groups {command}"))
        };
        as_keeper("alertctl key add bob");
        let added = entry(machine, "22");
        let message = added["MESSAGE"].as_str().unwrap();
        assert!(message.starts_with("key ") && message.ends_with("was added by keeper (uid 4711) on the control socket"), "{message}");
        assert_eq!((&added["ALERTD_BY_UID"], &added["ALERTD_BY_USER"], &added["ALERTD_USER"]), (&"4711".into(), &"keeper".into(), &"bob".into()));
        as_keeper("alertctl reload");
        assert!(entry(machine, "03")["MESSAGE"].as_str().unwrap().contains("by keeper (uid 4711) on the control socket"));
        machine.sh("alertctl backup /root/backup");
        assert!(entry(machine, "1e")["MESSAGE"].as_str().unwrap().contains("was made by root (uid 0) on the control socket"));
        machine.sh(&format!("systemctl stop {UNITS}; alertctl restore /root/backup"));
        let restored = entry(machine, "26");
        assert!(restored["MESSAGE"].as_str().unwrap().ends_with("from /root/backup into /var/lib/alertd, by root (uid 0)"), "{restored}");
        assert_eq!(restored["_UID"], "0");
        machine.sh("rm -f /run/alertd/*.sock; setpriv --reuid alertd --regid alertd --init-groups alertctl key revoke bob");
        let revoked = entry(machine, "0c");
        assert!(revoked["MESSAGE"].as_str().unwrap().contains(" of bob ") && revoked["ALERTD_BY_USER"] == "alertd", "{revoked}");
        machine.sh("systemctl start alertd.socket alertd-control.socket alertd-publish.socket alertd.service");

        for _ in 0..15 {
            machine.sh("curl -sS -H 'Authorization: Bearer wrong' http://127.0.0.1:8080/health");
        }
        machine.sh("systemctl restart alertd.service");
        assert!(entry(machine, "21")["MESSAGE"].as_str().unwrap().starts_with("5 more failed authentications from 127.0.0.1 "));
        let file = "/usr/share/alertd/fail2ban/filter.d/alertd.conf";
        let matches = machine.sh(&format!("sed -n 's/^journalmatch = //p' {file}"));
        assert_eq!(machine.journal(&matches).len(), 10);
        let lines = machine.sh(&format!("journalctl -q --no-pager -o short {matches}")) + "\n";
        assert_eq!(found_by_fail2ban(&lines, "normal"), ["127.0.0.1"; 10]);
    }
}
