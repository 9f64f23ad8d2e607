//! `alertctl doctor` on machines where nothing is wrong, and where one thing after the other is.

use std::path::Path;

use serde_json::Value;

use super::machine::Machine;
use super::on_each_release;
use crate::harness::told;

const UNITS: &str = "alertd.socket alertd-control.socket alertd-publish.socket alertd.service";

/// A fault: how it comes about, the exit code, the check that finds it, words of the finding and of its remedy, and how it
/// is removed.
struct Fault {
    make: &'static str,
    code: i32,
    check: &'static str,
    words: &'static [&'static str],
    remedy: &'static str,
    mend: &'static str,
}

const FAULTS: [Fault; 17] = [
    Fault {
        make: "systemctl stop alertd.service",
        code: 20,
        check: "units",
        words: &["alertd.service is stopped"],
        remedy: "systemctl start alertd.service",
        mend: "systemctl start alertd",
    },
    Fault {
        make: "systemctl stop alertd-publish.socket",
        code: 20,
        check: "units",
        words: &["alertd-publish.socket is inactive"],
        remedy: "systemctl start alertd-publish.socket",
        mend: "systemctl start alertd-publish.socket alertd",
    },
    Fault {
        make: "printf '[http]\\nmax_boddy = 5\\n' >/etc/alertd.toml; systemctl restart alertd || true",
        code: 20,
        check: "last failed start",
        words: &["/etc/alertd.toml:2", "max_boddy"],
        remedy: "systemctl start alertd.service",
        mend: ": >/etc/alertd.toml; systemctl start alertd",
    },
    Fault {
        make: "printf '[http]\\nmax_boddy = 5\\n' >/etc/alertd.toml",
        code: 20,
        check: "configuration",
        words: &["/etc/alertd.toml:2", "max_boddy"],
        remedy: "alertctl config check",
        mend: ": >/etc/alertd.toml",
    },
    Fault {
        make: "chown root: /var/lib/alertd/auth.json",
        code: 20,
        check: "files",
        words: &["/var/lib/alertd/auth.json", "the user alertd"],
        remedy: "chown -R alertd: /var/lib/alertd",
        mend: "chown alertd: /var/lib/alertd/auth.json; alertctl reload",
    },
    Fault {
        make: "chmod 644 /var/lib/alertd/auth.json",
        code: 10,
        check: "files",
        words: &["/var/lib/alertd/auth.json", "every user"],
        remedy: "chmod o= /var/lib/alertd/auth.json",
        mend: "chmod 600 /var/lib/alertd/auth.json; alertctl reload",
    },
    Fault {
        make: "alertctl key add bob --expires 3d >/dev/null",
        code: 10,
        check: "keys",
        words: &["of bob expires in"],
        remedy: "alertctl key rotate",
        mend: "alertctl key revoke bob >/dev/null",
    },
    Fault {
        make: "mkdir -p /run/systemd/system/alertd.service.d && printf '[Service]\\nEnvironment=ALERTD_HTTP_MAX_BODY=32KiB\\n' >/run/systemd/system/alertd.service.d/x.conf && printf '[http]\\nmax_body = \"16KiB\"\\n' >/etc/alertd.toml && systemctl daemon-reload",
        code: 10,
        check: "drop-ins",
        words: &["ALERTD_HTTP_MAX_BODY", "http.max_body", "/etc/alertd.toml:2"],
        remedy: "systemctl edit alertd.service",
        mend: "rm /run/systemd/system/alertd.service.d/x.conf; : >/etc/alertd.toml; systemctl daemon-reload",
    },
    Fault {
        make: "printf '[http]\\nlisten = \"127.0.0.1:9999\"\\n' >/etc/alertd.toml",
        code: 10,
        check: "drop-ins",
        words: &["alertd.socket listens on 127.0.0.1:8080", "127.0.0.1:9999", "/etc/alertd.toml:2"],
        remedy: "systemctl edit alertd.socket",
        mend: ": >/etc/alertd.toml",
    },
    Fault {
        make: "mkdir -p /run/systemd/system/alertd.service.d && printf '[Service]\\nFileDescriptorStoreMax=0\\nPrivateUsers=yes\\n' >/run/systemd/system/alertd.service.d/x.conf",
        code: 10,
        check: "units",
        words: &["the files of alertd.service were changed"],
        remedy: "systemctl daemon-reload",
        mend: "systemctl daemon-reload",
    },
    Fault {
        make: "true",
        code: 10,
        check: "drop-ins",
        words: &["FileDescriptorStoreMax=0"],
        remedy: "/run/systemd/system/alertd.service.d/x.conf",
        mend: "rm /run/systemd/system/alertd.service.d/x.conf; systemctl daemon-reload",
    },
    Fault {
        make: "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /root/k -out /root/c -days 5 -subj /CN=x 2>/dev/null; /usr/share/alertd/install-certificate /root/c /root/k; printf '[http]\\ntls_cert = \"/etc/alertd/tls/alertd.pem\"\\ntls_key = \"/etc/alertd/tls/alertd.pem\"\\n' >/etc/alertd.toml",
        code: 10,
        check: "certificate",
        words: &["/etc/alertd/tls/alertd.pem expires in 4 days"],
        remedy: "renew it, then reload",
        mend: ": >/etc/alertd.toml",
    },
    Fault {
        make: "printf '[http]\\ntls_cert = \"/etc/alertd/tls/alertd.pem\"\\ntls_key = \"/etc/alertd/tls/alertd.pem\"\\n' >/etc/alertd.toml; systemctl restart alertd; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /root/k -out /root/c -days 90 -subj /CN=x 2>/dev/null; cat /root/c /root/k >/etc/alertd/tls/alertd.pem",
        code: 10,
        check: "certificate",
        words: &["that is served is not the one in the file"],
        remedy: "systemctl reload alertd.service",
        mend: ": >/etc/alertd.toml; systemctl restart alertd",
    },
    // F17.
    Fault {
        make: "printf '[http]\\nmax_connections = 1000000\\n' >/etc/alertd.toml",
        code: 10,
        check: "configuration",
        words: &["http.max_connections: 1000000 connections need more than the 524288 descriptors"],
        remedy: "change it in /etc/alertd.toml, or in the unit",
        mend: ": >/etc/alertd.toml",
    },
    Fault {
        make: "open=$(ls /proc/$(systemctl show -P MainPID alertd)/fd | wc -l); mkdir -p /run/systemd/system/alertd.service.d && printf \"[Service]\\nLimitNOFILE=$((open + open / 5))\\n\" >/run/systemd/system/alertd.service.d/x.conf; systemctl daemon-reload; systemctl restart alertd",
        code: 10,
        check: "descriptors",
        words: &["descriptors are open"],
        remedy: "raise LimitNOFILE= (systemctl edit alertd.service)",
        mend: "rm /run/systemd/system/alertd.service.d/x.conf; systemctl daemon-reload; systemctl restart alertd",
    },
    Fault {
        make: "mount -t tmpfs -o size=40m,mode=750,uid=$(id -u alertd),gid=$(id -g alertd) tmpfs /var/lib/alertd",
        code: 20,
        check: "disk",
        words: &["MiB are free for /var/lib/alertd"],
        remedy: "alerts.retain_bytes",
        mend: "umount /var/lib/alertd",
    },
    Fault {
        make: "systemctl stop alertd.socket alertd-control.socket alertd-publish.socket alertd.service; systemd-run --quiet --unit=thief systemd-socket-activate -l 127.0.0.1:8080 /bin/cat; until ss -ltn | grep -q 127.0.0.1:8080; do :; done",
        code: 20,
        check: "port",
        words: &["another program listens on 127.0.0.1:8080"],
        remedy: "ss -ltnp 'sport = :8080'",
        mend: "systemctl stop thief; systemctl start alertd",
    },
];

/// What the machine's clock is said to be: answers of `timedatectl` and `systemd-detect-virt`, the exit code, and words of
/// the finding and its remedy. A machine of these tests has the clock of its host, so the answers are made up.
const CLOCKS: [(&str, &str, i32, &str, &str); 5] = [
    ("echo NTP=yes; echo NTPSynchronized=yes", "exit 1", 0, "is synchronised", ""),
    (
        "echo NTP=yes; echo NTPSynchronized=no",
        "exit 1",
        10,
        "has not synchronised the clock",
        "timedatectl timesync-status",
    ),
    (
        "echo NTP=no; echo NTPSynchronized=no",
        "exit 1",
        10,
        "no time service keeps the clock",
        "timedatectl set-ntp true",
    ),
    ("echo NTP=no; echo NTPSynchronized=no", "echo lxc", 0, "is that of the host", ""),
    ("exit 1", "exit 1", 0, "timedatectl does not say", ""),
];

/// The finding of a check that has these words, with its remedy or an empty one.
fn finding<'f>(found: &'f [Value], check: &str, words: &str) -> Option<&'f str> {
    let mut wanted = found.iter().filter(|finding| finding["check"] == check);
    let wanted = wanted.find(|finding| finding["what"].as_str().unwrap().contains(words))?;
    Some(wanted["remedy"].as_str().unwrap_or_default())
}

fn findings(machine: &Machine, code: i32, context: &str) -> Vec<Value> {
    findings_of(machine, "alertctl doctor --json", code, context)
}

fn findings_of(machine: &Machine, doctor: &str, code: i32, context: &str) -> Vec<Value> {
    let output = machine.try_sh(doctor);
    assert_eq!(output.status.code(), Some(code), "{context}: {}", told(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["findings"].as_array().unwrap().clone()
}

on_each_release! {
    fn each_fault_is_found_with_its_remedy_and_a_sound_machine_has_none(machine: &Machine) {
        machine.install();
        machine.sh("alertctl key add alice >/dev/null; alertctl publish kept");
        assert!(findings(machine, 0, "a sound machine").iter().all(|finding| finding["severity"] == "ok"));
        for Fault { make, code, check, words, remedy, mend } in &FAULTS {
            machine.sh(make);
            let found = findings(machine, *code, make);
            let wanted = found.iter().find(|finding| {
                let text = |name: &str| finding[name].as_str().unwrap_or_default();
                finding["check"] == *check
                    && words.iter().all(|word| text("what").contains(word))
                    && text("remedy").contains(remedy)
            });
            assert!(wanted.is_some(), "{make}: {found:#?}");
            let expected = if *code == 20 { "fault" } else { "warning" };
            assert_eq!(wanted.unwrap()["severity"], expected, "{make}");
            machine.sh(mend);
        }
        assert_eq!(machine.sh(&format!("systemctl is-active {UNITS}")), "active\nactive\nactive\nactive");
        let text = machine.sh("alertctl doctor");
        assert!(text.contains("last failed start: at 20") && text.contains("(it has started since)"), "{text}");
        // Without rights it says what it could not look at, and it starts nothing.
        machine.sh("useradd stranger; systemctl stop alertd.service");
        let output = machine.try_sh("setpriv --reuid stranger --regid stranger --init-groups alertctl doctor");
        assert!(output.status.code() == Some(20) && told(&output).contains("run it as root"), "{}", told(&output));
        assert_eq!(machine.show("alertd.service", "ActiveState"), "inactive");
    }

    fn the_clock_is_judged_by_what_systemd_and_the_newest_alert_say(machine: &Machine) {
        machine.install();
        machine.sh("alertctl key add alice >/dev/null; alertctl publish kept");
        let real = machine.sh("timedatectl show --property=NTP --property=NTPSynchronized");
        assert!(real.contains("NTP=") && real.contains("NTPSynchronized="), "what systemd really says: {real}");
        for (timedatectl, virt, code, what, remedy) in CLOCKS {
            machine.write("/usr/local/bin/timedatectl", &format!("#!/bin/sh\n{timedatectl}\n"));
            machine.write("/usr/local/bin/systemd-detect-virt", &format!("#!/bin/sh\n{virt}\n"));
            machine.sh("chmod 755 /usr/local/bin/*");
            let found = findings(machine, code, what);
            assert_eq!(finding(&found, "clock", what).map(|said| said.contains(remedy)), Some(true), "{what}: {found:#?}");
        }
        machine.sh("rm /usr/local/bin/timedatectl /usr/local/bin/systemd-detect-virt");
        // Seen from an hour ago, the newest alert is in the future.
        let library = Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1");
        machine.put(library, "/root/libfaketime.so.1");
        let doctor = "FAKETIME=-1h LD_PRELOAD=/root/libfaketime.so.1 alertctl doctor --json";
        let found = findings_of(machine, doctor, 10, "a clock that was set back");
        let remedy = finding(&found, "clock", "in the future: the clock was set back");
        assert!(remedy.is_some_and(|remedy| remedy.contains("timedatectl")), "{found:#?}");
    }

    fn an_instance_is_looked_at_by_its_own_units_files_and_commands(machine: &Machine) {
        machine.install();
        let units = "alertd@blue.socket alertd-control@blue.socket alertd-publish@blue.socket alertd@blue.service";
        machine.write("/etc/alertd/blue.toml", "");
        machine.write("/etc/systemd/system/alertd@blue.socket.d/port.conf", "[Socket]\nListenStream=127.0.0.1:8081\n");
        machine.sh(&format!("systemctl daemon-reload && systemctl enable --now {units} 2>&1 && alertctl --instance blue key add alice"));
        let doctor = |code, context: &str| findings_of(machine, "alertctl --instance blue doctor --json", code, context);
        let found = doctor(0, "a sound instance");
        for (check, what) in [("units", "alertd@blue.service runs"), ("configuration", "/etc/alertd/blue.toml is valid"), ("files", "/var/lib/alertd/blue belongs to alertd"), ("port", "127.0.0.1:8081 accepts connections"), ("descriptors", "descriptors are open"), ("daemon", "ready")] {
            assert!(finding(&found, check, what).is_some(), "{what}: {found:#?}");
        }
        let faults: [(&str, i32, &str, &str, &str, &str); 5] = [
            ("systemctl stop alertd@blue.service", 20, "units", "alertd@blue.service is stopped", "systemctl start alertd@blue.service", "true"),
            ("printf '[http]\\nmax_boddy = 5\\n' >/etc/alertd/blue.toml; systemctl restart alertd@blue || true", 20, "last failed start", "/etc/alertd/blue.toml:2", "systemctl start alertd@blue.service", "true"),
            ("true", 20, "configuration", "/etc/alertd/blue.toml:2", "alertctl --instance blue config check && systemctl reload-or-restart alertd@blue.service", ": >/etc/alertd/blue.toml"),
            ("chown root: /var/lib/alertd/blue/auth.json", 20, "files", "/var/lib/alertd/blue/auth.json", "chown -R alertd: /var/lib/alertd/blue", "chown alertd: /var/lib/alertd/blue/auth.json; alertctl --instance blue reload"),
            ("alertctl --instance blue key add bob --expires 3d >/dev/null", 10, "keys", "of bob expires in", "alertctl --instance blue key rotate", "alertctl --instance blue key revoke bob >/dev/null"),
        ];
        for (make, code, check, what, remedy, mend) in faults {
            machine.sh(make);
            let found = doctor(code, make);
            assert_eq!(finding(&found, check, what).map(|said| said.contains(remedy)), Some(true), "{make}: {found:#?}");
            if check != "files" {
                // The other daemon has nothing to do with it; only the files lie in its directory.
                assert!(findings(machine, 0, make).iter().all(|finding| finding["severity"] == "ok"));
            }
            machine.sh(&format!("{mend}; if [ '{mend}' != true ]; then systemctl start alertd@blue; fi"));
        }
        machine.sh(&format!("systemctl stop {units}; systemd-run --quiet --unit=thief systemd-socket-activate -l 127.0.0.1:8081 /bin/cat; until ss -ltn | grep -q 127.0.0.1:8081; do :; done"));
        let found = doctor(20, "a port that is taken");
        let remedy = finding(&found, "port", "another program listens on 127.0.0.1:8081");
        assert!(remedy.is_some_and(|remedy| remedy.contains("systemctl edit alertd@blue.socket")), "{found:#?}");
    }
}
