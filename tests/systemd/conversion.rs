//! The store of an earlier version on a real machine: what the package's upgrade makes of it.

use std::process::Stdio;

use super::machine::{Machine, http, newer};
use super::on_each_release;
use crate::harness::earlier_store::{self, message, topic};
use crate::harness::{Key, Request, Stream};

const ALERTS: usize = 100_000;
const KEYED: usize = 1000;

/// Runs a publisher and readers, in a copy of this program in the machine's network; does nothing elsewhere.
#[test]
fn clients() {
    let (Ok(secret), Ok(ids)) = (std::env::var("CONVERSION_KEY"), std::env::var("CONVERSION_IDS")) else { return };
    let key = Key { id: String::new(), secret };
    let ids = std::fs::read_to_string(ids).unwrap();
    let ids: Vec<&str> = ids.lines().collect();
    for number in [0, 1, ALERTS / 2, ALERTS - 3] {
        let request = Request::get("/alerts?topic=*").key(&key).header("Last-Event-ID", ids[number]);
        let mut reader = Stream::open(http(), &request);
        for id in ids.iter().skip(number + 1).take(500) {
            // A gap on the way there is no alert.
            assert_eq!(reader.alert().unwrap()["id"], **id);
        }
    }
    for (number, id) in ids.iter().enumerate().take(KEYED) {
        let publish = |text: &str| {
            let path = format!("/alerts/{}?level=warn", topic(number));
            let request = Request::post(&path).key(&key).header("Idempotency-Key", &format!("key-{number}"));
            request.body(text).to(http())
        };
        assert_eq!(publish(&message(number)).json()["alert"]["id"], **id);
        if number % 100 == 0 {
            assert_eq!(publish("another").status, 409);
        }
    }
}

/// Waits until the conversion has written so many bytes, and kills alertd in the middle of it.
fn kill_in_the_conversion(machine: &Machine, bytes: u64) {
    machine.sh(&format!(
        "cd /var/lib/alertd
        until size=$(du -sb log.tmp 2>/dev/null) && [ \"${{size%%[!0-9]*}}\" -ge {bytes} ]; do :; done
        kill -9 $(cat /sys/fs/cgroup/system.slice/alertd.service/cgroup.procs)
        [ -e log.tmp ] && ! [ -e log ]"
    ));
}

on_each_release! {
    fn an_upgrade_keeps_every_alert_cursor_and_key_of_an_earlier_store_although_it_is_killed(machine: &Machine) {
        machine.install();
        let secret = machine.key("alice");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("alerts.redb");
        let store = earlier_store::write(&file, ALERTS, KEYED, "alice");
        // The machine as the earlier version has left it, except for its programs.
        machine.sh("systemctl stop alertd.socket alertd-control.socket alertd-publish.socket alertd.service; cd /var/lib/alertd && rm -r log alerts.redb");
        machine.put(&file, "/var/lib/alertd/alerts.redb");
        machine.sh("chown alertd:alertd /var/lib/alertd/alerts.redb; chmod 600 /var/lib/alertd/alerts.redb; systemctl start --no-block alertd");
        for bytes in [10_000, 1_000_000, 8_000_000] {
            kill_in_the_conversion(machine, bytes);
        }
        machine.until("alertd.service", "ActiveState", "active");
        assert_eq!(machine.show("alertd.service", "NRestarts"), "3");
        let converted = machine.alerts("*");
        assert_eq!(converted.len(), ALERTS);
        for (alert, (id, json)) in converted.iter().zip(&store) {
            assert_eq!(alert["id"], **id);
            assert_eq!(*alert, serde_json::from_str::<serde_json::Value>(json).unwrap());
        }
        let ids = directory.path().join("ids");
        std::fs::write(&ids, store.iter().map(|(id, _)| format!("{id}\n")).collect::<String>()).unwrap();
        let mut clients = machine.in_its_network(&std::env::current_exe().unwrap());
        clients.args(["--exact", "systemd::conversion::clients"]).env("CONVERSION_KEY", secret);
        assert!(clients.env("CONVERSION_IDS", &ids).stdout(Stdio::null()).status().unwrap().success());
        // The earlier store stays until the first stop in order, which an upgrade is.
        assert!(machine.try_sh("test -s /var/lib/alertd/alerts.redb.converted").status.success());
        machine.apt_install(newer());
        assert!(!machine.try_sh("test -e /var/lib/alertd/alerts.redb.converted").status.success());
        assert_eq!(machine.alerts("*").len(), ALERTS);
    }
}
