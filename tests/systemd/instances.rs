//! Several daemons on one machine.

use super::machine::{Machine, newer};
use super::on_each_release;

const UNITS: &str = "alertd@blue.socket alertd-control@blue.socket alertd-publish@blue.socket alertd@blue.service";

on_each_release! {
    fn an_instance_has_its_own_port_keys_and_alerts(machine: &Machine) {
        machine.install();
        machine.write("/etc/alertd/blue.toml", "[http]\nmax_body = \"2KiB\"\n");
        machine.write("/etc/systemd/system/alertd@blue.socket.d/port.conf", "[Socket]\nListenStream=127.0.0.1:8081\n");
        machine.sh(&format!("systemctl daemon-reload && systemctl enable --now {UNITS}"));
        assert_eq!(machine.sh("systemctl is-enabled alertd-control@blue.socket"), "enabled");
        let key = machine.sh("alertctl --instance blue key add alice");
        machine.sh("alertctl publish plain; alertctl --instance blue publish in-blue");
        assert!(machine.sh("alertctl history").contains("plain"));
        let blue = machine.sh("alertctl --instance blue history");
        assert!(blue.contains("in-blue") && !blue.contains("plain"), "{blue}");
        let health = |how: &str| machine.sh(&format!("curl -sS -o /dev/null -w '%{{http_code}}' -H 'Authorization: Bearer {key}' {how}/health"));
        assert_eq!(health("http://127.0.0.1:8081"), "200");
        assert_eq!(health("--unix-socket /run/alertd/blue/http.sock http://blue"), "200");
        assert_eq!(health("http://127.0.0.1:8080"), "401");
        assert_eq!(machine.sh("stat -c '%U %a' /var/lib/alertd/blue"), "alertd 750");
        let config = machine.sh("alertctl --instance blue config show");
        assert!(config.contains("/etc/alertd/blue.toml:2") && config.contains("/var/lib/alertd/blue"), "{config}");
        machine.sh("systemctl reload alertd@blue && systemctl restart alertd@blue");
        assert!(machine.sh("alertctl --instance blue history").contains("in-blue"));
        // An upgrade restarts what runs, once, and none of the sockets.
        let (pid, socket) = (machine.show("alertd@blue.service", "MainPID"), machine.show("alertd@blue.socket", "ActiveEnterTimestampMonotonic"));
        machine.apt_install(newer());
        assert_ne!(machine.show("alertd@blue.service", "MainPID"), pid);
        assert_eq!(machine.show("alertd@blue.socket", "ActiveEnterTimestampMonotonic"), socket);
        machine.sh("apt-get purge -y -q alertd");
        assert_eq!(machine.sh("find / -xdev -path /proc -prune -o -name '*alertd*blue*' -print"), "/etc/systemd/system/alertd@blue.socket.d");
        assert!(!machine.try_sh("curl -sS http://127.0.0.1:8081/livez").status.success());
    }
}
