//! The first day: install, key, publish, stream, journal.

use std::io::Read;

use super::machine::Machine;
use super::on_each_release;
use crate::harness::eventually;

on_each_release! {
    fn a_fresh_install_serves_and_its_journal_has_fields(machine: &Machine) {
        machine.install();
        assert_eq!(machine.sh("systemctl is-active alertd.socket alertd-control.socket alertd-publish.socket"), "active\nactive\nactive");
        machine.sh("systemctl stop alertd.service && systemctl start alertd.service");
        let key = machine.key("alice");
        let mut stream = machine.background(&format!(
            "curl -sN -H 'Authorization: Bearer {key}' 'http://127.0.0.1:8080/alerts/ops?since=all'"
        ));
        let published = machine.sh(&format!(
            "curl -sS --fail -H 'Authorization: Bearer {key}' -d '{{\"message\":\"disk\",\"level\":\"error\"}}' http://127.0.0.1:8080/alerts/ops"
        ));
        let published: serde_json::Value = serde_json::from_str(&published).unwrap();
        let id = published["alert"]["id"].as_str().unwrap();
        let (mut text, mut piece) = (String::new(), [0; 1024]);
        while !text.contains(&format!("id: {id}\ndata: ")) {
            let read = stream.0.stdout.as_mut().unwrap().read(&mut piece).unwrap();
            assert!(read > 0, "the stream ended: {text}");
            text += std::str::from_utf8(&piece[..read]).unwrap();
        }

        let started = machine.journal("_SYSTEMD_UNIT=alertd.service MESSAGE_ID=6ad1f4a7b6f04c2f9a4e0d7c6a3f1e01");
        assert_eq!(started.len(), 2, "one line for each start: {started:?}");
        let message = started[1]["MESSAGE"].as_str().unwrap();
        for words in ["0.1.0", "127.0.0.1:8080", "/run/alertd/control.sock", "embedded", "/etc/alertd.toml"] {
            assert!(message.contains(words), "{words}: {message}");
        }
        assert_eq!((&started[1]["PRIORITY"], &started[1]["SYSLOG_IDENTIFIER"]), (&"6".into(), &"alertd".into()));
        assert_eq!(started[1]["ALERTD_HTTP"], "127.0.0.1:8080");
        assert!(machine.sh("journalctl -q -x -u alertd --no-pager").contains("has opened its keys, its log of alerts and its sockets"));
        assert!(machine.show("alertd.service", "StatusText").contains("127.0.0.1:8080"));
        // F20: systemd 257 named each credential that is not there, at every start.
        let credentials = machine.journal("-u alertd.service --grep=credential");
        assert!(credentials.is_empty(), "{credentials:?}");

        // No line for a request that went well, one with address and reason for a key that did not.
        let before = machine.journal("_SYSTEMD_UNIT=alertd.service").len();
        machine.sh(&format!("curl -sS --fail -H 'Authorization: Bearer {key}' http://127.0.0.1:8080/health"));
        machine.sh("curl -sS -H 'Authorization: Bearer wrong' http://127.0.0.1:8080/health");
        let entries = machine.journal("_SYSTEMD_UNIT=alertd.service");
        assert_eq!(entries.len(), before + 1, "{:?}", &entries[before..]);
        assert_eq!((&entries[before]["ALERTD_ADDRESS"], &entries[before]["PRIORITY"]), (&"127.0.0.1".into(), &"4".into()));
        assert!(entries[before]["ALERTD_REASON"].is_string());
        assert!(!machine.sh("journalctl -q --no-pager --all -o export").contains(&key), "a key in the journal");
    }

    fn the_mirror_makes_the_journal_an_alert_history(machine: &Machine) {
        machine.install();
        machine.sh("alertctl publish -t ops before");
        machine.write("/etc/alertd.toml", "[log]\nmirror_alerts = true\n");
        machine.sh("systemctl reload alertd");
        machine.sh("alertctl publish -t ops -l error 'two\nlines' && alertctl publish -t ops -l info fine && alertctl publish -t db -l error other");
        let entries = machine.journal("-t alertd ALERTD_TOPIC=ops -p err");
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(entries[0]["MESSAGE"], "two\nlines");
        assert!(entries[0]["ALERTD_ALERT_ID"].is_string());
        assert_eq!(machine.journal("-t alertd ALERTD_TOPIC=ops").len(), 2);
    }

    fn the_first_connection_starts_it_and_reload_waits(machine: &Machine) {
        machine.install();
        machine.sh("systemctl stop alertd.service");
        machine.until("alertd.service", "ActiveState", "inactive");
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
        assert_eq!(machine.show("alertd.service", "ActiveState"), "active");
        let pid = machine.show("alertd.service", "MainPID");
        machine.write("/etc/alertd.toml", "[http]\nmax_body = \"1KiB\"\n");
        machine.sh("systemctl reload alertd");
        assert!(machine.sh("alertctl config show").contains("/etc/alertd.toml:2"));
        let refused = machine.try_sh("head -c 2000 /dev/zero | tr '\\0' x | alertctl publish -");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("1024"), "{refused:?}");
        assert_eq!(machine.show("alertd.service", "MainPID"), pid);
        machine.sh("systemctl stop alertd.socket alertd-control.socket alertd-publish.socket alertd.service");
        assert!(!machine.try_sh("curl -sS http://127.0.0.1:8080/livez").status.success());
        machine.sh("systemctl start alertd");
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
    }

    fn without_a_journal_it_writes_to_syslog(machine: &Machine) {
        machine.install();
        machine.write("/etc/alertd.toml", "[log]\ntarget = \"syslog\"\n");
        machine.sh("systemctl restart alertd");
        let entries = eventually("an entry by syslog", || {
            let found = machine.journal("_TRANSPORT=syslog SYSLOG_IDENTIFIER=alertd");
            (!found.is_empty()).then_some(found)
        });
        assert!(entries[0]["MESSAGE"].as_str().unwrap().contains("listening"), "{entries:?}");
        assert_eq!((&entries[0]["SYSLOG_FACILITY"], &entries[0]["PRIORITY"]), (&"3".into(), &"6".into()));
    }

    fn members_of_the_groups_need_no_key_and_others_get_nowhere(machine: &Machine) {
        machine.install();
        machine.sh("useradd -G alertd-publish poster && useradd -G alertd keeper && useradd stranger");
        machine.sh("setpriv --reuid poster --regid poster --init-groups alertctl publish hello");
        assert_eq!(machine.try_sh("setpriv --reuid poster --regid poster --init-groups alertctl key list").status.code(), Some(77));
        machine.sh("setpriv --reuid keeper --regid keeper --init-groups alertctl key list");
        assert_eq!(machine.try_sh("setpriv --reuid stranger --regid stranger --init-groups alertctl publish x").status.code(), Some(77));
        assert_eq!(machine.sh("stat -c '%a %U %G' /run/alertd/publish.sock /run/alertd/control.sock"), "660 root alertd-publish\n660 root alertd");
    }
}
