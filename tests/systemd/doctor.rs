//! `alertctl doctor` on machines where nothing is wrong, and where one thing after the other is.

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

const FAULTS: [Fault; 15] = [
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

fn findings(machine: &Machine, code: i32, context: &str) -> Vec<Value> {
    let output = machine.try_sh("alertctl doctor --json");
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
}
