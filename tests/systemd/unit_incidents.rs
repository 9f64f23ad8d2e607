//! A unit that fails is an incident until it is back.

use serde_json::Value;

use super::machine::Machine;
use super::on_each_release;
use crate::harness::eventually;

/// The service that tells when units are back runs, and knows its place in the journal.
fn start(machine: &Machine) {
    machine.install();
    machine.sh("systemctl enable --now alertd-journal.service 2>&1");
    eventually("its place in the journal", || {
        machine.try_sh("test -s /var/lib/private/alertd-journal/cursor").status.success().then_some(())
    });
}

fn unit(machine: &Machine, name: &str, text: &str) {
    machine.write(&format!("/etc/systemd/system/{name}"), text);
    machine.sh("systemctl daemon-reload");
}

fn incident(machine: &Machine, unit: &str) -> Option<Value> {
    let name = format!("{}/{unit}", machine.sh("hostname"));
    let text = machine.sh("alertctl incidents -t host.units --state all --json");
    let mut incidents = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    incidents.find(|incident| incident["incident"] == name)
}

fn until(machine: &Machine, unit: &str, state: &str) -> Value {
    eventually(&format!("{unit} {state}"), || incident(machine, unit).filter(|incident| incident["state"] == state))
}

fn messages(machine: &Machine, unit: &str) -> Vec<String> {
    let about = machine.alerts("host.units").into_iter().filter(|alert| alert["metadata"]["unit"] == unit);
    about.map(|alert| alert["message"].as_str().unwrap().to_owned()).collect()
}

const REPORTED: &str = "[Unit]\nOnFailure=alertd-unit-failed@%n.service\n";
const WORKS_IF: &str = "[Service]\nType=oneshot\nExecStart=/usr/bin/test -e /root/works\n";

on_each_release! {
    fn a_service_is_an_incident_from_its_failure_to_its_return(machine: &Machine) {
        start(machine);
        machine.write("/etc/systemd/system/alertd-unit-failed@.service.d/quiet.conf", "[Service]\nEnvironment=ALERTCTL_UNIT_QUIET=0\n");
        unit(machine, "backup.service", &format!("{REPORTED}{WORKS_IF}"));
        unit(machine, "plain.service", WORKS_IF);
        for count in 1..=2 {
            for name in ["backup.service", "plain.service"] {
                machine.sh(&format!("systemctl start {name} || true"));
                let open = eventually("a failure", || incident(machine, name).filter(|incident| incident["count"] == count));
                assert_eq!((&open["state"], &open["occurrence"]), (&"open".into(), &1.into()), "{open}");
            }
            machine.until("alertd-unit-failed@backup.service.service", "ActiveState", "inactive");
        }
        machine.sh("touch /root/works; systemctl start backup plain");
        for name in ["backup.service", "plain.service"] {
            until(machine, name, "resolved");
            let failed = format!("{name} failed: exit code 1");
            assert_eq!(messages(machine, name), [failed.clone(), failed, format!("{name} is not failed any more")]);
        }
        // One that is started again by itself has not failed, however often; one that is given up has.
        let retry = "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=4\n[Service]\nExecStart=/bin/sh -c 'sleep 0.2; exit 1'\nRestart=always\nRestartSec=300ms\n";
        unit(machine, "retry.service", retry);
        machine.sh("systemctl start retry");
        let open = until(machine, "retry.service", "open");
        assert_eq!((machine.show("retry", "ActiveState"), &open["count"], messages(machine, "retry.service").len()), ("failed".into(), &1.into(), 1));
    }

    fn a_mount_and_a_timer_that_fail_are_incidents(machine: &Machine) {
        start(machine);
        let mount = |what: &str| format!("[Mount]\nWhat={what}\nWhere=/mnt/data\nType=tmpfs\nOptions={what}\n");
        unit(machine, "mnt-data.mount", &mount("wrong"));
        machine.sh("systemctl start mnt-data.mount || true");
        let open = until(machine, "mnt-data.mount", "open");
        assert_eq!(open["level"], "error");
        unit(machine, "mnt-data.mount", &mount("size=1m"));
        machine.sh("systemctl start mnt-data.mount");
        until(machine, "mnt-data.mount", "resolved");
        assert_eq!(messages(machine, "mnt-data.mount")[1], "mnt-data.mount is active again");
        // A timer fails if its service is gone when it elapses.
        unit(machine, "job.service", WORKS_IF);
        unit(machine, "job.timer", "[Timer]\nOnActiveSec=1s\nAccuracySec=10ms\n");
        machine.sh("systemctl start job.timer; rm /etc/systemd/system/job.service; systemctl daemon-reload");
        until(machine, "job.timer", "open");
        assert_eq!(machine.show("job.timer", "ActiveState"), "failed");
        unit(machine, "job.service", WORKS_IF);
        machine.sh("touch /root/works; systemctl start job.timer");
        until(machine, "job.timer", "resolved");
    }

    fn what_came_back_while_nothing_followed_is_resolved_at_the_start(machine: &Machine) {
        start(machine);
        for name in ["known", "missed", "stays"] {
            unit(machine, &format!("{name}.service"), &format!("{REPORTED}{WORKS_IF}"));
        }
        machine.sh("systemctl start known || true");
        until(machine, "known.service", "open");
        let is_known = || machine.try_sh("grep -q known.service /var/lib/private/alertd-journal/cursor.failed-units").status.success().then_some(());
        eventually("the name in the file", is_known);
        machine.sh("systemctl stop alertd-journal; systemctl start missed stays || true");
        until(machine, "missed.service", "open");
        until(machine, "stays.service", "open");
        // Of one it knows that it failed, of the other it learns from the journal.
        machine.sh("touch /root/works; systemctl start known missed; systemctl start alertd-journal");
        until(machine, "known.service", "resolved");
        until(machine, "missed.service", "resolved");
        assert_eq!(incident(machine, "stays.service").unwrap()["state"], "open");
        // It was announced before.
        assert_eq!(messages(machine, "stays.service").len(), 1);
        machine.reboot();
        until(machine, "stays.service", "resolved");
    }
}
