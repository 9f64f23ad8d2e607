//! Journal entries as alerts.

use super::machine::Machine;
use super::on_each_release;
use crate::harness::eventually;

fn messages(machine: &Machine) -> Vec<String> {
    let alerts = machine.alerts("host.journal");
    alerts.iter().map(|alert| alert["message"].as_str().unwrap().to_owned()).collect()
}

fn until(machine: &Machine, message: &str) -> Vec<String> {
    eventually(&format!("an alert {message:?}"), || {
        let found = messages(machine);
        found.iter().any(|m| m == message).then_some(found)
    })
}

fn start(machine: &Machine) {
    machine.install();
    assert_eq!(machine.sh("systemctl is-enabled alertd-journal.service || true"), "disabled");
    machine.sh("logger -p err 'too early'; journalctl --sync; systemctl enable --now alertd-journal.service");
    eventually("its place in the journal", || {
        machine.try_sh("test -s /var/lib/private/alertd-journal/cursor").status.success().then_some(())
    });
}

on_each_release! {
    fn an_entry_becomes_an_alert_with_its_fields(machine: &Machine) {
        start(machine);
        machine.sh("logger -p info quiet; systemd-run --unit=speaker --wait -p SyslogIdentifier=disk echo '<2>broken'");
        assert_eq!(until(machine, "broken"), ["broken"]);
        let alert = machine.alerts("host.journal").remove(0);
        assert_eq!(alert["level"], "error");
        let metadata = &alert["metadata"];
        assert_eq!((&metadata["identifier"], &metadata["priority"]), (&"disk".into(), &2.into()));
        assert_eq!((&metadata["unit"], &metadata["host"]), (&"speaker.service".into(), &machine.sh("hostname").into()));
    }

    fn restarts_of_either_side_lose_nothing_and_repeat_nothing(machine: &Machine) {
        start(machine);
        let total = 60;
        let mut writer = machine.background(&format!(
            "i=1; while [ $i -le {total} ]; do logger -p err entry $i; sleep 0.05; i=$((i+1)); done"
        ));
        let mut round = 0;
        while writer.0.try_wait().unwrap().is_none() {
            machine.sh(match round % 4 {
                0 => "systemctl restart alertd-journal",
                1 => "systemctl kill -s KILL alertd-journal; systemctl restart alertd-journal",
                2 => "systemctl restart alertd",
                _ => "systemctl reset-failed systemd-journald; systemctl restart systemd-journald",
            });
            round += 1;
        }
        machine.sh("systemctl stop alertd-journal; logger -p err while away; systemctl start alertd-journal");
        let found = until(machine, "while away");
        let expected: Vec<_> = (1..=total).map(|n| format!("entry {n}")).chain(["while away".to_owned()]).collect();
        assert_eq!(found, expected);
    }

    fn what_the_journal_dropped_is_said(machine: &Machine) {
        start(machine);
        machine.sh("logger -p err seen");
        until(machine, "seen");
        machine.sh("systemctl stop alertd-journal; logger -p err gone; journalctl --sync; journalctl --rotate; journalctl --vacuum-size=1 --vacuum-files=1 2>&1; find /var/log/journal -name '*@*' -delete");
        machine.sh("systemctl start alertd-journal; logger -p err later");
        let found = until(machine, "later");
        assert!(found[1].contains("entries may be missing") && found.len() == 3, "{found:?}");
        // What a service wrote too fast never reaches the journal; that is said as well.
        machine.sh("systemd-run --unit=flood --wait -p LogRateLimitIntervalSec=2s -p LogRateLimitBurst=1 -p LogLevelMax=debug sh -c 'i=0; while [ $i -lt 60000 ]; do echo noise; i=$((i+1)); done; sleep 3; echo end'");
        eventually("the alert about suppressed entries", || messages(machine).iter().any(|m| m.starts_with("Suppressed")).then_some(()));
    }

    fn a_long_entry_is_cut_and_holds_up_nothing(machine: &Machine) {
        start(machine);
        machine.write("/root/long", "echo \"<3>long$(head -c 40000 /dev/zero | tr '\\0' h)\"; sleep 0.2\n");
        machine.sh("systemd-run --unit=long --wait sh /root/long; logger -p err next");
        let found = until(machine, "next");
        assert!(found[0].starts_with("longhhh") && found[0].ends_with('…') && found[0].len() > 4000, "{found:?}");
        assert_eq!(found.len(), 2, "{found:?}");
    }

    fn alertds_own_entries_make_no_loop(machine: &Machine) {
        start(machine);
        machine.write("/etc/alertd.toml", "[log]\nmirror_alerts = true\n");
        machine.sh("systemctl reload alertd");
        machine.sh("logger -p err real");
        until(machine, "real");
        machine.write("/etc/alertd.toml", "[log]\nwrong = 1\nmirror_alerts = true\n");
        machine.sh("systemctl reload alertd || true");
        machine.sh("logger -p err marker");
        assert_eq!(until(machine, "marker"), ["real", "marker"]);
        assert_eq!(machine.journal("-t alertd -p err ALERTD_TOPIC=host.journal").len(), 2, "the mirror itself works");
    }

    /// F19: at 90 entries a second this took four minutes.
    fn f19_a_flood_is_alerts_within_seconds_and_in_order(machine: &Machine) {
        start(machine);
        let total = 20_000;
        machine.write("/root/flood", &format!("i=1; while [ $i -le {total} ]; do echo \"<3>entry $i\"; i=$((i+1)); done\n"));
        machine.sh("systemd-run --unit=flood --wait -p LogRateLimitIntervalSec=0 sh /root/flood; logger -p crit fire");
        // Of another unit, and behind all of them in the journal.
        until(machine, "fire");
        let last = format!("entry {total}");
        let mut found = until(machine, &last);
        found.retain(|message| message != "fire");
        assert_eq!(found, (1..=total).map(|n| format!("entry {n}")).collect::<Vec<_>>());
    }

    fn priority_and_units_are_settings(machine: &Machine) {
        machine.write("/etc/systemd/system/alertd-journal.service.d/what.conf", "[Service]\nEnvironment=ALERTCTL_JOURNAL_PRIORITY=notice \"ALERTCTL_JOURNAL_UNITS=one two.service\"\n");
        start(machine);
        for unit in ["one", "two", "three"] {
            machine.sh(&format!("systemd-run --unit={unit} --wait echo '<5>from {unit}'"));
        }
        machine.sh("systemd-run --unit=two --wait echo '<3>last'");
        let found = until(machine, "last");
        assert_eq!(found, ["from one", "from two", "last"]);
    }
}
