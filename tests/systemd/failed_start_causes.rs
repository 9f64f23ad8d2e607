//! Every cause of a start that fails for good, and what each of the places where an operator looks then says: the table
//! "When alertd does not start" of operations.md, row by row.

use std::collections::BTreeSet;

use serde_json::Value;

use super::machine::Machine;
use super::on_each_release;
use crate::harness::told;

const START_FAILED: &str = "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e1d";
/// Of systemd's entry that a unit starts.
const STARTING: &str = "7d4958e842da4a758f6c1cdc7b36dcc5";
const UNITS: &str = "alertd.socket alertd-control.socket alertd-publish.socket alertd.service";
const OPERATIONS: &str = include_str!("../../packaging/doc/operations.md");

/// A cause that only a person can remove.
struct Cause {
    /// As operations.md names it.
    name: &'static str,
    make: &'static str,
    status: &'static str,
    /// Words of the reason and of its remedy, wherever the reason is said.
    words: &'static [&'static str],
    /// The check of the doctor that finds the cause itself, beside the check "last failed start", and words of its remedy.
    doctor: Option<(&'static str, &'static str)>,
    mend: &'static str,
}

const CAUSES: [Cause; 17] = [
    Cause {
        name: "a mistake in the configuration",
        make: "printf '[http]\\nmax_boddy = 5\\n' >/etc/alertd.toml",
        status: "78",
        words: &["/etc/alertd.toml:2", "max_boddy", "max_body"],
        doctor: Some(("configuration", "alertctl config check")),
        mend: ": >/etc/alertd.toml",
    },
    Cause {
        name: "a certificate or key that is missing",
        make: "printf '[http]\\ntls_cert = \"/etc/c.pem\"\\ntls_key = \"/etc/k.pem\"\\n' >/etc/alertd.toml",
        status: "78",
        words: &["http.tls_cert", "/etc/c.pem", "http.tls_key", "/etc/k.pem", "No such file"],
        doctor: Some(("certificate", "alertctl config check")),
        mend: ": >/etc/alertd.toml",
    },
    Cause {
        name: "a certificate or key that the user `alertd` cannot read",
        make: "chmod 600 /etc/tls/k.pem && printf '[http]\\ntls_cert = \"/etc/tls/c.pem\"\\ntls_key = \"/etc/tls/k.pem\"\\n' >/etc/alertd.toml",
        status: "78",
        words: &["http.tls_key", "/etc/tls/k.pem", "Permission denied"],
        doctor: Some(("certificate", "alertctl config check")),
        mend: ": >/etc/alertd.toml",
    },
    Cause {
        name: "a key of another certificate",
        make: "chmod 644 /etc/tls/other.pem && printf '[http]\\ntls_cert = \"/etc/tls/c.pem\"\\ntls_key = \"/etc/tls/other.pem\"\\n' >/etc/alertd.toml",
        status: "78",
        words: &["http.tls_key", "/etc/tls/other.pem", "is not the key of the certificate in /etc/tls/c.pem"],
        doctor: Some(("certificate", "alertctl config check")),
        mend: ": >/etc/alertd.toml",
    },
    Cause {
        name: "a secret file or credential that is missing",
        make: "printf '[hooks]\\ngithub_secret_file = \"/etc/absent\"\\n' >/etc/alertd.toml",
        status: "78",
        words: &["hooks.github_secret_file", "/etc/absent", "No such file"],
        doctor: Some(("configuration", "alertctl config check")),
        mend: ": >/etc/alertd.toml",
    },
    Cause {
        name: "`state_dir` outside what the service may write",
        make: "mkdir -p /srv/alerts && chown alertd: /srv/alerts && echo 'state_dir = \"/srv/alerts\"' >/etc/alertd.toml",
        status: "78",
        words: &["/srv/alerts", "ReadWritePaths=/srv/alerts", "systemctl edit"],
        doctor: Some(("configuration", "alertctl config check")),
        mend: ": >/etc/alertd.toml",
    },
    Cause {
        name: "a log of another user",
        make: "chmod 0 /var/lib/alertd/log && chown root: /var/lib/alertd/log",
        status: "78",
        words: &["/var/lib/alertd/log", "Permission denied", "chown -R alertd: "],
        doctor: Some(("files", "chown -R alertd: /var/lib/alertd")),
        mend: "chown alertd: /var/lib/alertd/log && chmod 700 /var/lib/alertd/log",
    },
    Cause {
        name: "a key file of another user",
        make: "chown root: /var/lib/alertd/auth.json && chmod 600 /var/lib/alertd/auth.json",
        status: "78",
        words: &["/var/lib/alertd/auth.json", "Permission denied", "chown -R alertd: "],
        doctor: Some(("files", "chown -R alertd: /var/lib/alertd")),
        mend: "chown alertd: /var/lib/alertd/auth.json",
    },
    Cause {
        name: "a state directory of another user",
        make: "mkdir -p /srv/state && chown nobody: /srv/state && chmod 700 /srv/state && printf 'state_dir = \"/srv/state\"\\n' >/etc/alertd.toml && mkdir -p /run/systemd/system/alertd.service.d && printf '[Service]\\nReadWritePaths=/srv/state\\n' >/run/systemd/system/alertd.service.d/w.conf && systemctl daemon-reload",
        status: "78",
        words: &["/srv/state", "Permission denied", "chown -R alertd: /srv/state"],
        doctor: Some(("files", "chown -R alertd: /srv/state")),
        mend: ": >/etc/alertd.toml; rm /run/systemd/system/alertd.service.d/w.conf; systemctl daemon-reload",
    },
    Cause {
        name: "a read-only file system",
        make: "mount -t tmpfs -o mode=750,uid=$(id -u alertd),gid=$(id -g alertd) tmpfs /var/lib/alertd && mount -o remount,ro /var/lib/alertd",
        status: "78",
        words: &["/var/lib/alertd", "Read-only file system", "mount it writable"],
        doctor: Some(("disk", "mount it writable")),
        mend: "umount /var/lib/alertd",
    },
    Cause {
        name: "a foreign file in the place of the log",
        make: "cp /var/lib/alertd/alerts.redb /root/ && echo nonsense >/var/lib/alertd/alerts.redb",
        status: "65",
        words: &["/var/lib/alertd/alerts.redb", "cannot be read", "alertctl restore"],
        doctor: None,
        mend: "cat /root/alerts.redb >/var/lib/alertd/alerts.redb",
    },
    Cause {
        name: "a log that is missing",
        make: "mv /var/lib/alertd/log /root/log",
        status: "65",
        words: &["/var/lib/alertd/log", "missing"],
        doctor: None,
        mend: "mv /root/log /var/lib/alertd/log",
    },
    Cause {
        name: "a log of a later version",
        make: "mv /var/lib/alertd/log /root/log && cp -a /root/later /var/lib/alertd/log",
        status: "65",
        words: &["/var/lib/alertd/log", "format 9", "which this alertd does not know"],
        doctor: None,
        mend: "rm -r /var/lib/alertd/log; mv /root/log /var/lib/alertd/log",
    },
    Cause {
        name: "a damaged key file",
        make: "cp -a /var/lib/alertd/auth.json /root/ && echo '{\"kind\":' >/var/lib/alertd/auth.json",
        status: "65",
        words: &["/var/lib/alertd/auth.json"],
        doctor: None,
        mend: "cat /root/auth.json >/var/lib/alertd/auth.json",
    },
    Cause {
        name: "a foreign key file",
        make: "cp -a /var/lib/alertd/auth.json /root/ && echo '{\"_default\":{}}' >/var/lib/alertd/auth.json",
        status: "65",
        words: &["/var/lib/alertd/auth.json", "is not alertd's key file", "alertctl key import FILE"],
        doctor: None,
        mend: "cat /root/auth.json >/var/lib/alertd/auth.json",
    },
    Cause {
        name: "a key file of a later version",
        make: "cp -a /var/lib/alertd/auth.json /root/ && sed -i 's/\"alertd_keys\": 1/\"alertd_keys\": 9/' /var/lib/alertd/auth.json",
        status: "65",
        words: &["/var/lib/alertd/auth.json", "version 9", "install the alertd that wrote it"],
        doctor: None,
        mend: "cat /root/auth.json >/var/lib/alertd/auth.json",
    },
    Cause {
        name: "a link in the place of the key file",
        make: "mv /var/lib/alertd/auth.json /root/ && ln -s /root/auth.json /var/lib/alertd/auth.json",
        status: "78",
        words: &["/var/lib/alertd/auth.json", "links are not followed there"],
        doctor: None,
        mend: "rm /var/lib/alertd/auth.json; mv /root/auth.json /var/lib/alertd/auth.json",
    },
];

/// Makes what the causes need: a certificate with its key and another one, and a log whose format is a later one.
fn prepare(machine: &Machine) {
    machine.sh("alertctl key add alice >/dev/null; alertctl publish kept; mkdir -p /etc/tls; cd /etc/tls
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -days 60 -subj /CN=x 2>/dev/null
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.pem 2>/dev/null");
    machine.sh("systemctl stop alertd.service; cp -a /var/lib/alertd/log /root/later; systemctl start alertd.service");
    let segment = machine.sh("ls /root/later/*.seg | head -n 1");
    let mut bytes = machine.command("cat").arg(&segment).output().unwrap().stdout;
    // Kind, version, checksum of the version and the content; twice.
    for copy in [0, 2048] {
        let content = bytes[copy + 24..copy + 24 + 1024].to_vec();
        let sum = crc32c::crc32c_append(crc32c::crc32c(&9_u32.to_le_bytes()), &content);
        bytes[copy + 16..copy + 20].copy_from_slice(&9_u32.to_le_bytes());
        bytes[copy + 20..copy + 24].copy_from_slice(&sum.to_le_bytes());
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("segment");
    std::fs::write(&file, bytes).unwrap();
    machine.put(&file, "/root/segment");
    machine.sh(&format!("cat /root/segment >{segment}; rm /root/segment"));
}

/// What the journal has of priority err from the service.
fn errors(machine: &Machine) -> Vec<Value> {
    machine.journal("-p err _SYSTEMD_UNIT=alertd.service")
}

fn starts(machine: &Machine) -> usize {
    machine.journal(&format!("_PID=1 UNIT=alertd.service MESSAGE_ID={STARTING}")).len()
}

/// What `alertctl status` says within two seconds.
fn status(machine: &Machine) -> String {
    let output = machine.within_two_seconds("alertctl status");
    assert_eq!(output.status.code(), Some(69), "{}", told(&output));
    told(&output)
}

/// A finding of the doctor for this check whose remedy has these words.
fn found(report: &Value, check: &str, remedy: &str) -> Option<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let mut faults = findings.filter(|finding| finding["check"] == check && finding["severity"] == "fault");
    let fault = faults.find(|finding| finding["remedy"].as_str().unwrap().contains(remedy))?;
    Some(fault["what"].as_str().unwrap().to_owned())
}

fn doctor(machine: &Machine, context: &str) -> Value {
    let output = machine.try_sh("alertctl doctor --json");
    assert_eq!(output.status.code(), Some(20), "{context}: {}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check(machine: &Machine, cause: &Cause) {
    let Cause { name, make, status: code, words, doctor: own, mend } = cause;
    machine.sh(&format!("systemctl stop {UNITS}; {make}"));
    let (before, started) = (errors(machine).len(), starts(machine));
    let start = machine.try_sh("systemctl start alertd");
    assert!(
        !start.status.success() && told(&start).contains("journalctl -xeu alertd.service"),
        "{name}: {}",
        told(&start)
    );
    machine.until("alertd.service", "ActiveState", "failed");
    assert_eq!(machine.show("alertd.service", "ExecMainStatus"), *code, "{name}");
    for socket in ["alertd.socket", "alertd-control.socket", "alertd-publish.socket"] {
        machine.until(socket, "ActiveState", "inactive");
    }
    let logged = errors(machine).split_off(before);
    assert_eq!(logged.len(), 1, "{name}: one entry of priority err: {logged:?}");
    assert_eq!(logged[0]["MESSAGE_ID"], START_FAILED);
    let message = logged[0]["MESSAGE"].as_str().unwrap();
    assert!(!message.contains('\n'), "{name}: one line: {message}");
    let client = machine.try_sh("curl -sS --max-time 5 http://127.0.0.1:8080/livez");
    assert_eq!(client.status.code(), Some(7), "{name}: clients are refused: {}", told(&client));
    let ctl = status(machine);
    assert!(
        ctl.contains("alertd.service has failed") && ctl.contains("systemctl start alertd.service"),
        "{name}: {ctl}"
    );
    let publish = machine.within_two_seconds("alertctl publish lost");
    assert_eq!(publish.status.code(), Some(69), "{name}: {}", told(&publish));
    let shown = told(&machine.try_sh("systemctl status --no-pager --full alertd"));
    let report = doctor(machine, name);
    let last = found(&report, "last failed start", "systemctl start alertd.service");
    let last = last.unwrap_or_else(|| panic!("{name}: {report:#}"));
    for text in [message, &ctl, &told(&publish), &shown, &last] {
        for word in *words {
            assert!(text.contains(word), "{name}: {word}: {text}");
        }
    }
    if let Some((check, remedy)) = own {
        assert!(found(&report, check, remedy).is_some(), "{name}: {report:#}");
    }
    // A connection that was waiting when the sockets were closed may have started it once more, but no crash loop follows.
    let attempts = starts(machine) - started;
    assert!(attempts <= 3, "{name}: {attempts} starts");
    machine.sh(&format!("{mend}; systemctl start alertd"));
    assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
    assert!(machine.sh("alertctl history").contains("kept"), "{name}");
}

on_each_release! {
    /// F3, F4, F7.
    fn what_a_person_has_to_mend_is_tried_once_and_explained_everywhere(machine: &Machine) {
        machine.install();
        prepare(machine);
        for cause in &CAUSES {
            check(machine, cause);
        }
    }
}

/// The table of operations.md has exactly these causes, with their exit codes and checks.
#[test]
fn the_operators_table_is_what_was_tried() {
    let (_, section) = OPERATIONS.split_once("## When alertd does not start").unwrap();
    let (_, table) = section.split_once("| cause |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = table.lines().skip(2);
    let written: BTreeSet<Vec<String>> = rows
        .map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
            vec![cells[0].clone(), cells[1].clone(), cells.last().unwrap().clone()]
        })
        .collect();
    let tried: BTreeSet<Vec<String>> = CAUSES
        .iter()
        .map(|cause| {
            let check = cause.doctor.map_or("last failed start", |(check, _)| check);
            vec![cause.name.to_owned(), cause.status.to_owned(), check.to_owned()]
        })
        .collect();
    assert_eq!(written, tried);
}
