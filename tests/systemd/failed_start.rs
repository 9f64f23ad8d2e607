//! A service that does not start: what the operator sees, what clients get, and how it comes back.

use std::time::{Duration, Instant};

use super::machine::{Machine, newer};
use super::on_each_release;
use crate::harness::{eventually, told};

const START_FAILED: &str = "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e1d";
const UNITS: &str = "alertd.socket alertd-control.socket alertd-publish.socket alertd.service";

/// A cause that only a person can remove: how it comes about, the exit status, words of the message, and the remedy.
struct Cause {
    make: &'static str,
    status: &'static str,
    words: &'static [&'static str],
    mend: &'static str,
}

const CAUSES: [Cause; 8] = [
    Cause {
        make: "printf '[http]\\nmax_boddy = 5\\n' >/etc/alertd.toml",
        status: "78",
        words: &["/etc/alertd.toml:2", "max_boddy", "max_body"],
        mend: ": >/etc/alertd.toml",
    },
    Cause {
        make: "printf '[http]\\ntls_cert = \"/root/c.pem\"\\ntls_key = \"/root/k.pem\"\\n' >/etc/alertd.toml",
        status: "78",
        words: &["http.tls_cert", "/root/c.pem", "http.tls_key", "/root/k.pem"],
        mend: ": >/etc/alertd.toml",
    },
    Cause {
        make: "mkdir -p /srv/alerts && chown alertd: /srv/alerts && echo 'state_dir = \"/srv/alerts\"' >/etc/alertd.toml",
        status: "78",
        words: &["/srv/alerts", "ReadWritePaths=/srv/alerts", "systemctl edit"],
        mend: ": >/etc/alertd.toml",
    },
    Cause {
        make: "chmod 0 /var/lib/alertd/log && chown root: /var/lib/alertd/log",
        status: "78",
        words: &["/var/lib/alertd/log", "chown -R alertd: "],
        mend: "chown alertd: /var/lib/alertd/log && chmod 700 /var/lib/alertd/log",
    },
    Cause {
        make: "chown root: /var/lib/alertd/auth.json && chmod 600 /var/lib/alertd/auth.json",
        status: "78",
        words: &["/var/lib/alertd/auth.json", "chown -R alertd: "],
        mend: "chown alertd: /var/lib/alertd/auth.json",
    },
    Cause {
        make: "cp /var/lib/alertd/alerts.redb /root/ && echo nonsense >/var/lib/alertd/alerts.redb",
        status: "65",
        words: &["/var/lib/alertd/alerts.redb", "cannot be read"],
        mend: "cat /root/alerts.redb >/var/lib/alertd/alerts.redb",
    },
    Cause {
        make: "cp -a /var/lib/alertd/auth.json /root/ && echo '{\"kind\":' >/var/lib/alertd/auth.json",
        status: "65",
        words: &["/var/lib/alertd/auth.json"],
        mend: "cat /root/auth.json >/var/lib/alertd/auth.json",
    },
    Cause {
        make: "mv /var/lib/alertd/log /root/log",
        status: "65",
        words: &["/var/lib/alertd/log", "missing"],
        mend: "mv /root/log /var/lib/alertd/log",
    },
];

/// What the journal has of priority err from the service.
fn errors(machine: &Machine) -> Vec<serde_json::Value> {
    machine.journal("-p err _SYSTEMD_UNIT=alertd.service")
}

on_each_release! {
    fn what_a_person_has_to_mend_is_tried_once_and_explained_everywhere(machine: &Machine) {
        machine.install();
        machine.sh("alertctl key add alice >/dev/null; alertctl publish kept");
        for Cause { make, status, words, mend } in &CAUSES {
            machine.sh(&format!("systemctl stop {UNITS}; {make}"));
            let before = errors(machine).len();
            let start = machine.try_sh("systemctl start alertd");
            assert!(!start.status.success() && told(&start).contains("journalctl -xeu alertd.service"), "{make}: {}", told(&start));
            machine.until("alertd.service", "ActiveState", "failed");
            assert_eq!(machine.show("alertd.service", "ExecMainStatus"), *status, "{make}");
            for socket in ["alertd.socket", "alertd-control.socket", "alertd-publish.socket"] {
                machine.until(socket, "ActiveState", "inactive");
            }
            let logged = errors(machine).split_off(before);
            assert_eq!(logged.len(), 1, "one entry of priority err: {logged:?}");
            assert_eq!(logged[0]["MESSAGE_ID"], START_FAILED);
            let began = Instant::now();
            let ctl = machine.try_sh("alertctl status");
            assert!(ctl.status.code() == Some(69) && began.elapsed() < Duration::from_secs(5), "{}", told(&ctl));
            let publish = machine.try_sh("alertctl publish lost");
            assert!(publish.status.code() == Some(69) && told(&publish).contains("alertd.service has failed"), "{}", told(&publish));
            let shown = told(&machine.try_sh("systemctl status --no-pager --full alertd"));
            for word in *words {
                for text in [logged[0]["MESSAGE"].as_str().unwrap(), &told(&ctl), &shown] {
                    assert!(text.contains(word), "{make}: {word}: {text}");
                }
            }
            let client = machine.try_sh("curl -sS --max-time 5 http://127.0.0.1:8080/livez");
            assert_eq!(client.status.code(), Some(7), "clients are refused: {}", told(&client));
            machine.sh(&format!("{mend}; systemctl start alertd"));
            assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
            assert!(machine.sh("alertctl history").contains("kept"), "{make}");
        }
    }

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

    fn a_port_on_an_address_that_comes_later_is_served(machine: &Machine) {
        machine.install();
        machine.write("/etc/systemd/system/alertd.socket.d/address.conf", "[Socket]\nListenStream=\nListenStream=192.0.2.5:8080\n");
        machine.sh("systemctl daemon-reload && systemctl restart alertd.socket && systemctl restart alertd");
        assert_eq!(machine.sh("systemctl is-active alertd.socket alertd.service"), "active\nactive");
        machine.sh("ip address add 192.0.2.5/32 dev lo");
        assert_eq!(machine.sh("curl -sS http://192.0.2.5:8080/livez"), "alive");
    }

    fn a_port_that_another_program_had_is_taken_up_at_the_next_start(machine: &Machine) {
        machine.install();
        machine.sh(&format!("systemctl stop {UNITS}"));
        machine.sh("systemd-run --quiet --unit=thief systemd-socket-activate -l 127.0.0.1:8080 /bin/cat");
        eventually("the port is taken", || machine.try_sh("ss -ltn | grep -q 127.0.0.1:8080").status.success().then_some(()));
        for _ in 0..8 {
            assert!(!machine.try_sh("systemctl start alertd").status.success());
        }
        machine.sh("systemctl stop thief");
        machine.sh("systemctl start alertd");
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
    }

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
}
