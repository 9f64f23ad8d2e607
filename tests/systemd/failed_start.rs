//! A service that does not start: what clients get meanwhile, and how it comes back. Every cause is in `failed_start_causes`.

use std::time::{Duration, Instant};

use super::machine::{Machine, newer};
use super::on_each_release;
use crate::harness::{eventually, told};

const UNITS: &str = "alertd.socket alertd-control.socket alertd-publish.socket alertd.service";

on_each_release! {
    /// F7: clients are refused, and do not make it a crash loop.
    fn clients_do_not_start_it_again_and_again(machine: &Machine) {
        machine.install();
        machine.sh("systemctl stop alertd.service");
        machine.write("/etc/alertd.toml", "[http]\nmax_boddy = 5\n");
        let client = machine.try_sh("curl -sS --max-time 60 http://127.0.0.1:8080/livez");
        assert!(matches!(client.status.code(), Some(7 | 52 | 56)), "the client is told at once: {}", told(&client));
        machine.until("alertd.socket", "ActiveState", "inactive");
        let starts = machine.journal("_PID=1 UNIT=alertd.service MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5").len();
        assert!(starts <= 3, "{starts} starts");
        machine.write("/etc/alertd.toml", "");
        machine.sh("systemctl start alertd");
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
    }

    /// F3: `alertctl` says after seconds what the service does, instead of waiting for it.
    fn a_crash_loop_keeps_the_port_and_clients_wait(machine: &Machine) {
        machine.install();
        machine.sh("systemctl stop alertd");
        machine.write("/run/systemd/system/alertd.service.d/crash.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/false\n");
        machine.sh("systemctl daemon-reload");
        let mut client = machine.background("curl -sS --max-time 60 http://127.0.0.1:8080/livez");
        eventually("many restarts", || (machine.show("alertd.service", "NRestarts").parse::<u32>().unwrap() >= 12).then_some(()));
        assert_eq!(machine.show("alertd.socket", "ActiveState"), "active");
        let began = Instant::now();
        let status = machine.try_sh("alertctl status");
        assert!(told(&status).contains("alertd.service fails at each start") && began.elapsed() < Duration::from_secs(5), "{}", told(&status));
        let mut publish = machine.background("alertctl publish waited");
        machine.sh("rm /run/systemd/system/alertd.service.d/crash.conf && systemctl daemon-reload");
        assert!(client.0.wait().unwrap().success(), "who waited is served");
        assert!(publish.0.wait().unwrap().success(), "a publish waits for a daemon that starts");
    }

    /// F2: the address need not exist when the socket is opened, which is long before the network is up.
    fn a_port_on_an_address_that_comes_later_is_served_after_a_reboot(machine: &Machine) {
        machine.install();
        let address = |socket: &str| {
            machine.write("/etc/systemd/system/alertd.socket.d/address.conf", &format!("[Socket]\nListenStream=\nListenStream=192.0.2.5:8080\n{socket}"));
        };
        // As DHCP does, after everything that opens sockets has been started; and a local producer that starts alertd.
        machine.write("/etc/systemd/system/late-address.service", "[Unit]\nAfter=sockets.target alertd.socket alertd.service local-producer.service
            \n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'ip -brief address >/run/before; ip address add 192.0.2.5/32 dev lo'\n[Install]\nWantedBy=multi-user.target\n");
        machine.write("/etc/systemd/system/local-producer.service", "[Unit]\nAfter=sockets.target\n[Service]\nType=oneshot\nExecStart=-/usr/bin/alertctl publish booted\n[Install]\nWantedBy=multi-user.target\n");
        machine.sh("systemctl enable late-address.service local-producer.service");
        let reboot = || {
            let before = machine.sh("cut -d ' ' -f 22 /proc/1/stat; alertctl publish kept");
            machine.reboot();
            assert!(!machine.sh("cat /run/before").contains("192.0.2.5") && before != machine.sh("cut -d ' ' -f 22 /proc/1/stat"));
        };
        address("");
        reboot();
        assert_eq!(machine.sh("curl -sS --max-time 30 http://192.0.2.5:8080/livez"), "alive");
        assert_eq!(machine.sh("systemctl is-active alertd.socket alertd-control.socket alertd-publish.socket alertd.service"), ["active"; 4].join("\n"));
        assert_eq!(machine.sh("systemctl show -P NRestarts alertd.service"), "0");
        assert_eq!(machine.alerts("*").len(), 2);
        // Without it the same reboot is what it was.
        address("FreeBind=no\n");
        reboot();
        assert_eq!(machine.try_sh("curl -sS --max-time 30 http://192.0.2.5:8080/livez").status.code(), Some(7));
        assert_eq!(machine.show("alertd.socket", "ActiveState"), "failed");
    }

    /// F11: the one command that operations.md names for a changed address, under load.
    fn a_changed_address_comes_into_force_with_one_restart_of_its_socket(machine: &Machine) {
        machine.install();
        let load = "while :; do curl -sS --max-time 5 http://127.0.0.1:8080/livez http://127.0.0.1:8081/livez; alertctl publish load; done >/dev/null 2>&1";
        let _clients: Vec<_> = (0..3).map(|_| machine.background(load)).collect();
        for (old, new) in [(8080, 8081), (8081, 8080)].repeat(5) {
            machine.write("/etc/systemd/system/alertd.socket.d/port.conf", &format!("[Socket]\nListenStream=\nListenStream=127.0.0.1:{new}\n"));
            machine.sh("systemctl daemon-reload && systemctl restart alertd.socket");
            assert_eq!(machine.sh(&format!("curl -sS --max-time 20 http://127.0.0.1:{new}/livez")), "alive");
            assert_eq!(machine.try_sh(&format!("curl -sS http://127.0.0.1:{old}/livez")).status.code(), Some(7));
        }
    }

    /// F14: no start limit of a socket outlives its cause.
    fn a_port_that_another_program_had_is_taken_up_at_the_next_start(machine: &Machine) {
        machine.install();
        machine.sh(&format!("systemctl stop {UNITS}"));
        machine.sh("systemd-run --quiet --unit=thief systemd-socket-activate -l 127.0.0.1:8080 /bin/cat");
        eventually("the port is taken", || machine.try_sh("ss -ltn | grep -q 127.0.0.1:8080").status.success().then_some(()));
        for _ in 0..8 {
            assert!(!machine.try_sh("systemctl start alertd").status.success());
        }
        let errors = machine.journal("-p err -u alertd.socket");
        assert!(errors.iter().any(|entry| entry["MESSAGE"].as_str().unwrap().contains("Address already in use")), "{errors:?}");
        for command in ["status", "publish lost"] {
            let output = machine.within_two_seconds(&format!("alertctl {command}"));
            let said = told(&output);
            assert!(output.status.code() == Some(69) && said.contains("alertd.service cannot be started: systemd cannot open alertd.socket (127.0.0.1:8080)"), "{said}");
        }
        let doctor = machine.try_sh("alertctl doctor");
        let said = told(&doctor);
        assert!(doctor.status.code() == Some(20) && said.contains("port: another program listens on 127.0.0.1:8080"), "{said}");
        // An installation says so too, and dpkg does not fail.
        let said = machine.sh("apt-get purge -y -q alertd 2>&1; apt-get install -y -q /root/alertd_*.deb 2>&1");
        assert!(said.contains("alertd: not everything could be started; see: systemctl status alertd.socket"), "{said}");
        machine.sh("systemctl stop thief");
        machine.sh("systemctl start alertd");
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
    }

    fn an_unreachable_redis_and_a_damaged_record_keep_nothing_from_starting_and_are_said(machine: &Machine) {
        machine.install();
        machine.write("/etc/alertd.toml", "[engine]\nkind = \"redis\"\n[engine.redis]\nhost = \"127.0.0.1\"\nport = 1\n");
        machine.sh("systemctl restart alertd");
        let doctor = |check: &str, words: &str| {
            let output = machine.try_sh("alertctl doctor");
            let said = told(&output);
            let is_found = said.lines().any(|line| line.starts_with("FAULT") && line.contains(check) && line.contains(words));
            assert!(output.status.code() == Some(20) && is_found, "{said}");
        };
        let reason = "Redis at 127.0.0.1:1: Connection refused";
        doctor("daemon: not ready", reason);
        for command in ["alertctl status", "systemctl status --no-pager --full alertd", "journalctl -p warning -u alertd --no-pager"] {
            let said = machine.sh(command);
            assert!(said.contains(reason), "{command}: {said}");
        }
        assert_eq!(machine.sh("curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/readyz"), "503");
        machine.write("/etc/alertd.toml", "");
        machine.sh(&format!("systemctl restart alertd; alertctl publish lost; alertctl publish kept; systemctl stop {UNITS}"));
        // The first record begins after the header of 4 KiB.
        machine.sh("head -c 40 /dev/urandom | dd of=$(ls /var/lib/alertd/log/*.seg) bs=1 seek=4200 conv=notrunc status=none; systemctl start alertd");
        let read = machine.try_sh("alertctl history --since all");
        let said = told(&read);
        assert!(read.status.success() && said.contains("kept") && !said.contains("lost") && said.contains("may be missing"), "{said}");
        doctor("log: ", " places of the log are damaged");
        let named = machine.sh("journalctl -p warning -u alertd -o cat --no-pager");
        assert!(named.contains(".seg: the record at offset 4096 is damaged"), "{named}");
    }

    /// F12.
    fn an_upgrade_does_not_end_the_process_for_a_version_that_would_refuse_its_configuration(machine: &Machine) {
        machine.install();
        let pid = machine.show("alertd.service", "MainPID");
        machine.write("/etc/alertd.toml", "[http]\nmax_boddy = 5\n");
        let said = machine.apt_install(newer());
        assert!(said.contains("alertd.service is not restarted") && said.contains("max_boddy"), "{said}");
        assert_eq!(machine.show("alertd.service", "MainPID"), pid);
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
        machine.write("/etc/alertd.toml", "");
        machine.sh("systemctl restart alertd");
    }

    /// F17.
    fn a_limit_of_connections_above_the_descriptors_is_said_by_the_check_and_at_the_start(machine: &Machine) {
        machine.install();
        machine.write("/etc/alertd.toml", "[http]\nmax_connections = 1000000\n");
        // A process in a machine of these tests may have fewer than its unit says.
        let words = "http.max_connections: 1000000 connections need more than the ";
        for program in ["alertctl config check", "alertd --check"] {
            let check = machine.try_sh(program);
            assert!(check.status.success() && told(&check).contains(words), "{program}: {}", told(&check));
        }
        machine.sh("systemctl restart alertd");
        let warned = machine.journal("-p warning _SYSTEMD_UNIT=alertd.service");
        assert!(warned.iter().any(|entry| entry["MESSAGE"].as_str().unwrap().contains(words)), "{warned:?}");
    }

    /// F6.
    fn the_check_is_made_for_the_user_of_the_service(machine: &Machine) {
        machine.install();
        machine.sh("cd /root && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=x 2>/dev/null && mkdir -p /etc/tls && cp c.pem k.pem /etc/tls/ && chmod 640 /etc/tls/k.pem");
        machine.write("/etc/alertd.toml", "[http]\ntls_cert = \"/etc/tls/c.pem\"\ntls_key = \"/etc/tls/k.pem\"\n");
        for program in ["alertctl config check", "alertd --check"] {
            let check = machine.try_sh(program);
            let text = told(&check);
            assert!(check.status.code() == Some(78) && text.contains("http.tls_key: the user alertd") && text.contains("/etc/tls/k.pem"), "{text}");
        }
        machine.sh("groupadd -f tls-keys && chgrp tls-keys /etc/tls/k.pem");
        machine.write("/etc/systemd/system/alertd.service.d/tls.conf", "[Service]\nSupplementaryGroups=tls-keys\n");
        machine.sh("systemctl daemon-reload && alertctl config check && alertd --check && systemctl restart alertd");
        assert_eq!(machine.sh("curl -sSk https://127.0.0.1:8080/livez"), "alive");
        machine.write("/etc/alertd.toml", "state_dir = \"/srv/alerts\"\n[hooks]\ngithub_secret_file = \"absent\"\n");
        let check = machine.try_sh("mkdir -p /srv/alerts; alertctl config check");
        let text = told(&check);
        assert!(text.contains("ReadWritePaths=/srv/alerts") && text.contains("github_secret_file"), "all at once: {text}");
        machine.write("/etc/alertd.toml", "[hooks]\ngithub_secret_file = \"alertd.github-secret\"\n");
        assert_eq!(machine.try_sh("alertctl config check").status.code(), Some(78), "there is no such credential");
        machine.sh("mkdir -p /etc/credstore && (umask 077; echo s3cret >/etc/credstore/alertd.github-secret) && alertctl config check && systemctl restart alertd");
    }

    fn keys_are_changed_without_a_wait_whatever_is_stopped(machine: &Machine) {
        machine.install();
        machine.sh("systemctl stop alertd.service");
        // This one waits for the start.
        let through_the_socket = machine.try_sh("alertctl key add alice");
        assert!(through_the_socket.status.success() && !told(&through_the_socket).contains("directly"), "{}", told(&through_the_socket));
        assert_eq!(machine.show("alertd.service", "ActiveState"), "active");
        machine.sh(&format!("systemctl stop {UNITS}"));
        let in_the_file = machine.within_two_seconds("alertctl key add bob");
        assert!(in_the_file.status.success() && told(&in_the_file).contains("working on the keys in /var/lib/alertd directly"), "{}", told(&in_the_file));
        machine.write("/run/systemd/system/alertd.service.d/crash.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/false\n");
        machine.sh("systemctl daemon-reload; systemctl start alertd.socket alertd-control.socket");
        // Between two starts it waits for the next one.
        let refused = machine.try_sh("alertctl key add carol");
        assert!(refused.status.code() == Some(69) && told(&refused).contains("alertd.service"), "{}", told(&refused));
        machine.sh("rm /run/systemd/system/alertd.service.d/crash.conf && systemctl daemon-reload && systemctl restart alertd.service");
        let listed = machine.sh("alertctl key list");
        assert!(listed.contains("alice") && listed.contains("bob") && !listed.contains("carol"), "{listed}");
    }
}
