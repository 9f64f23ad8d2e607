//! The service of clients.md that acts on alerts, installed as it stands there.

use super::machine::Machine;
use super::on_each_release;
use crate::harness::eventually;
use crate::recipes::recipe;

on_each_release! {
    fn a_service_acts_on_each_alert_over_its_own_restart_and_gives_up_with_its_key(machine: &Machine) {
        machine.install();
        let unit = recipe("on-alert.service");
        let path = unit.lines().next().unwrap().trim_start_matches("# ");
        machine.write(path, &unit);
        machine.sh("umask 077; mkdir -p /etc/alertd; alertctl key add on-alert --scope subscribe >/etc/alertd/on-alert.key");
        machine.write(
            "/usr/local/bin/on-alert",
            "#!/bin/sh\necho \"$(id -u) $ALERT_LEVEL $ALERT_TOPIC $ALERT_MESSAGE\" >>\"$STATE_DIRECTORY/seen\"\n",
        );
        machine.sh("chmod 755 /usr/local/bin/on-alert; systemd-analyze verify on-alert.service; systemctl start on-alert");
        let seen = |count: usize| {
            eventually(&format!("{count} runs"), || {
                let text = machine.sh("cat /var/lib/on-alert/seen 2>/dev/null || true");
                (text.lines().count() == count).then(|| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>())
            })
        };
        eventually("its stream", || machine.sh("alertctl status").contains("1 in 1 subscription,").then_some(()));
        machine.sh("alertctl publish -t ops.db -l error 'disk is full'; alertctl publish -t ops.db 'not so serious'");
        let first = seen(1).remove(0);
        let (user, said) = first.split_once(' ').unwrap();
        assert!(user != "0" && said == "error ops.db disk is full", "{first}");
        machine.sh("systemctl stop on-alert; alertctl publish -t ops.web -l warn 'meanwhile'; systemctl start on-alert");
        assert!(seen(2)[1].ends_with(" warn ops.web meanwhile"));
        // The secret is a credential, not in the environment that commands get.
        assert_eq!(machine.sh("systemctl show -P Environment on-alert"), "ALERTCTL_URL=http://localhost:8080");
        machine.sh("alertctl key revoke on-alert");
        machine.until("on-alert.service", "ActiveState", "failed");
        assert_eq!(machine.show("on-alert.service", "ExecMainStatus"), "77");
    }
}
