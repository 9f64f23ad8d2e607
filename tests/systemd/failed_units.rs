//! A unit of the host that fails is an alert.

use std::time::Duration;

use serde_json::{Value, json};

use super::machine::Machine;
use super::on_each_release;
use crate::harness::eventually;

fn alert(machine: &Machine, unit: &str) -> Value {
    eventually(&format!("the alert about {unit}"), || {
        machine.alerts("host.units").into_iter().find(|alert| alert["metadata"]["unit"] == unit)
    })
}

fn cover_all(machine: &Machine) {
    machine.sh(
        "mkdir -p /etc/systemd/system/service.d && ln -s /usr/share/alertd/service.d/10-alertd-unit-failed.conf /etc/systemd/system/service.d/ && systemctl daemon-reload",
    );
}

on_each_release! {
    fn a_failure_is_an_alert_within_a_second(machine: &Machine) {
        machine.install();
        machine.write("/etc/systemd/system/backup.service", "[Unit]\nOnFailure=alertd-unit-failed@%n.service\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo first; echo no space left >&2; exit 3'\n");
        machine.sh("systemctl daemon-reload; systemctl start backup || true");
        let alert = alert(machine, "backup.service");
        let expected = (&json!("error"), &json!("backup.service failed: exit code 3"));
        assert_eq!((&alert["level"], &alert["message"]), expected);
        let metadata = &alert["metadata"];
        assert_eq!((&metadata["result"], &metadata["exit_code"]), (&json!("exit-code"), &json!(3)));
        assert_eq!(metadata["host"], machine.sh("hostname"));
        let failed = machine.journal("_PID=1 UNIT=backup.service MESSAGE_ID=d9b373ed55a64feb8242e02dbe79a49c");
        assert_eq!(metadata["invocation_id"], failed[0]["INVOCATION_ID"]);
        let lines: Vec<&str> = metadata["journal"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        assert!(lines.contains(&"first") && lines.contains(&"no space left"), "{lines:?}");
        let at = |micros: &Value| Duration::from_micros(micros.as_str().unwrap().parse().unwrap());
        let id: u64 = alert["id"].as_str().unwrap().split_once('-').unwrap().0.parse().unwrap();
        let took = Duration::from_millis(id).saturating_sub(at(&failed[0]["__REALTIME_TIMESTAMP"]));
        assert!(took < Duration::from_secs(1), "{took:?}");
        // As a user of its own, without a key.
        assert_eq!(machine.sh("alertctl key list --json"), "");
    }

    /// F15: also names that begin with a dash, and one of over 228 bytes.
    fn a_unit_of_any_name_raises_its_alert(machine: &Machine) {
        machine.install();
        // systemd cannot name an instance after a unit with so long a name.
        let long = format!("{}.service", "y".repeat(240));
        for (unit, instance) in [("-backup.service", "%n"), ("--version.service", "%n"), (&long, "long-name")] {
            let text = format!("[Unit]\nOnFailure=alertd-unit-failed@{instance}.service\n[Service]\nType=oneshot\nExecStart=/bin/false\n");
            machine.write(&format!("/etc/systemd/system/{unit}"), &text);
            machine.sh(&format!("systemctl daemon-reload; systemctl start -- {unit} || true"));
            let found = alert(machine, unit);
            assert_eq!(found["message"], format!("{unit} failed: exit code 1"));
        }
    }

    fn every_service_is_covered_except_alertds_own(machine: &Machine) {
        machine.install();
        cover_all(machine);
        machine.write("/root/crash", "kill -SEGV $$\n");
        machine.sh("systemd-run --unit=crash --wait sh /root/crash || true");
        let found = alert(machine, "crash.service");
        assert_eq!(found["metadata"]["signal"], "SIGSEGV");
        // Odd names reach it unharmed, and a program that is not there has its reason among the lines.
        machine.write("/etc/systemd/system/odd\\x2dname@a\\x20b.service", "[Service]\nType=oneshot\nExecStart=/nonexistent\n");
        machine.sh("systemctl daemon-reload; systemctl start 'odd\\x2dname@a\\x20b.service' || true");
        let found = alert(machine, "odd\\x2dname@a\\x20b.service");
        assert!(found["metadata"]["journal"].to_string().contains("/nonexistent"), "{found}");
        let names = "alertd.service alertd@x.service alertd-unit-failed@x.service alertd-journal.service";
        for name in names.split(' ') {
            assert_eq!(machine.show(name, "OnFailure"), "", "{name}");
        }
        machine.sh("systemctl kill -s SEGV alertd");
        eventually("alertd is back", || machine.try_sh("alertctl status").status.success().then_some(()));
        machine.sh("systemd-run --unit=last --wait false || true");
        alert(machine, "last.service");
        let about: Vec<_> = machine.alerts("host.units").iter().map(|alert| alert["metadata"]["unit"].clone()).collect();
        assert_eq!(about, [json!("crash.service"), json!("odd\\x2dname@a\\x20b.service"), json!("last.service")]);
    }

    fn lines_are_as_many_as_set_cut_and_readable(machine: &Machine) {
        machine.install();
        cover_all(machine);
        machine.write("/etc/systemd/system/alertd-unit-failed@.service.d/lines.conf", "[Service]\nEnvironment=ALERTCTL_UNIT_LINES=60\n");
        machine.write("/root/noisy", "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done\nprintf 'bin\\001\\033[31m\\377ary\\n'\nhead -c 9000 /dev/zero | tr '\\0' y; echo; exit 1\n");
        machine.sh("systemctl daemon-reload; systemd-run --unit=noisy --wait sh /root/noisy || true");
        let found = alert(machine, "noisy.service");
        let lines: Vec<&str> = found["metadata"]["journal"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        assert!(lines.len() > 40 && lines.len() <= 60, "{}", lines.len());
        let binary = lines.iter().find(|line| line.starts_with("bin")).unwrap();
        assert!(binary.ends_with("ary") && !binary.contains(char::is_control), "{binary:?}");
        let long = lines.iter().find(|line| line.starts_with("yyy")).unwrap();
        assert!(long.len() <= 400 && long.ends_with('…'), "{long}");
        // A daemon that takes only small bodies gets the rest.
        machine.write("/etc/alertd.toml", "[http]\nmax_body = \"1KiB\"\n");
        machine.write("/root/noisy2", "for i in 1 2 3 4 5 6 7 8 9; do echo $i; head -c 300 /dev/zero | tr '\\0' z; done; sleep 0.2; exit 1\n");
        machine.sh("systemctl reload alertd; systemd-run --unit=noisy2 --wait sh /root/noisy2 || true");
        assert_eq!(alert(machine, "noisy2.service")["metadata"].get("journal"), None);
    }

    fn a_crash_loop_alerts_and_floods_nobody(machine: &Machine) {
        machine.install();
        machine.write("/etc/systemd/system/alertd-unit-failed@.service.d/quiet.conf", "[Service]\nEnvironment=ALERTCTL_UNIT_QUIET=5s\n");
        machine.write(
            "/etc/systemd/system/loop.service",
            "[Unit]\nOnFailure=alertd-unit-failed@%n.service\nStartLimitIntervalSec=60\nStartLimitBurst=10\n[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=100ms\n",
        );
        machine.sh("systemctl daemon-reload; systemctl start loop");
        machine.until("loop.service", "ActiveState", "failed");
        alert(machine, "loop.service");
        // The watch ends when nothing fails any more.
        machine.until("alertd-unit-failed@loop.service.service", "ActiveState", "inactive");
        let alerts = machine.alerts("host.units");
        assert!((1..=3).contains(&alerts.len()), "{alerts:?}");
        if machine.release == "trixie" {
            // Here the first failure sets it off, and what follows is said together.
            let more = alerts[1]["metadata"]["failures"].as_u64().unwrap();
            assert!(more >= 9, "{alerts:?}");
        }
    }
}
