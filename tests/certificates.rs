//! Certificates made by real openssl: which serve, which are refused, how their end is told, and how a new one is taken up.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::{Daemon, Request, program, told};

fn sh(directory: &Path, script: &str) -> String {
    let output = Command::new("sh").args(["-euc", script]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", told(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A directory with a root, an intermediate, and tools to make leaves.
fn authority() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    sh(
        directory.path(),
        "printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' >leaf.ext
         printf 'basicConstraints=critical,CA:TRUE\\nkeyUsage=keyCertSign\\n' >ca.ext
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.pem -days 90 -subj /CN=root 2>/dev/null
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout middle.key -out middle.csr -subj /CN=middle 2>/dev/null
         openssl x509 -req -in middle.csr -CA root.pem -CAkey root.key -CAcreateserial -days 60 -extfile ca.ext -out middle.pem 2>/dev/null",
    );
    directory
}

/// Makes NAME.pem, a chain of two, and NAME.key from the options of genpkey; `before` precedes openssl, as faketime does.
fn leaf(directory: &Path, name: &str, genpkey: &str, before: &str, days: u32) -> (PathBuf, PathBuf) {
    sh(
        directory,
        &format!(
            "openssl genpkey {genpkey} -out {name}.key 2>/dev/null
             openssl req -new -key {name}.key -subj /CN=localhost -out {name}.csr
             {before} openssl x509 -req -in {name}.csr -CA middle.pem -CAkey middle.key -CAcreateserial -days {days} -extfile leaf.ext -out {name}.crt 2>/dev/null
             cat {name}.crt middle.pem >{name}.pem"
        ),
    );
    (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")))
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

fn configuration(cert: &Path, key: &Path) -> String {
    format!("[http]\ntls_cert = \"{}\"\ntls_key = \"{}\"\n", cert.display(), key.display())
}

/// A client that trusts the root alone.
fn fetch(daemon: &Daemon, directory: &Path) -> Output {
    let url = format!("https://localhost:{}/livez", daemon.address.port());
    Command::new("curl").args(["-sS", "--cacert"]).arg(directory.join("root.pem")).arg(url).output().unwrap()
}

fn serial(daemon: &Daemon, directory: &Path) -> String {
    let port = daemon.address.port();
    sh(
        directory,
        &format!("openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null | openssl x509 -noout -serial"),
    )
}

fn check(directory: &Path, text: &str) -> Output {
    let file = directory.join("check.toml");
    std::fs::write(&file, format!("state_dir = \"{}\"\n{text}", directory.display())).unwrap();
    program("alertctl").args(["config", "check", "--config"]).arg(file).output().unwrap()
}

#[test]
fn every_kind_of_key_and_file_that_openssl_writes_serves_its_chain() {
    let authority = authority();
    let directory = authority.path();
    let kinds = [
        ("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
        ("p256", P256),
        ("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
        ("ed25519", "-algorithm ED25519"),
    ];
    for (name, genpkey) in kinds {
        let (cert, key) = leaf(directory, name, genpkey, "", 20);
        let mut keys = vec![("PKCS #8", "BEGIN PRIVATE KEY", key.clone())];
        if name != "ed25519" {
            let label = if name == "rsa" { "BEGIN RSA PRIVATE KEY" } else { "BEGIN EC PRIVATE KEY" };
            sh(directory, &format!("openssl pkey -traditional -in {name}.key -out {name}.old.key"));
            keys.push(("PKCS #1 or SEC1", label, directory.join(format!("{name}.old.key"))));
        }
        // Chain and key in one file, as the hook of the package writes it.
        sh(directory, &format!("cat {name}.pem {name}.key >{name}.both.pem"));
        keys.push(("one file", "BEGIN PRIVATE KEY", directory.join(format!("{name}.both.pem"))));
        for (format, label, key) in keys {
            assert!(std::fs::read_to_string(&key).unwrap().contains(label), "{name}: {format}");
            let cert = if format == "one file" { &key } else { &cert };
            let daemon = Daemon::with(&configuration(cert, &key));
            let answer = fetch(&daemon, directory);
            assert_eq!(String::from_utf8_lossy(&answer.stdout), "alive\n", "{name}, {format}: {}", told(&answer));
        }
    }
}

#[test]
fn a_key_that_is_of_another_certificate_or_encrypted_is_refused_by_name() {
    let authority = authority();
    let directory = authority.path();
    let kinds =
        [("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"), ("p256", P256), ("ed25519", "-algorithm ED25519")];
    for (name, genpkey) in kinds {
        let (cert, key) = leaf(directory, name, genpkey, "", 20);
        let (_, other) = leaf(directory, "other", genpkey, "", 20);
        let refused = check(directory, &configuration(&cert, &other));
        let text = told(&refused);
        let words =
            format!("http.tls_key: {}: is not the key of the certificate in {}", other.display(), cert.display());
        assert!(refused.status.code() == Some(78) && text.contains(&words), "{name}: {text}");
        let encrypted = directory.join("encrypted.key");
        sh(directory, &format!("openssl pkcs8 -topk8 -in {name}.key -passout pass:secret -out encrypted.key"));
        let refused = check(directory, &configuration(&cert, &encrypted));
        let text = told(&refused);
        assert!(
            refused.status.code() == Some(78) && text.contains("is encrypted") && text.contains("openssl pkey"),
            "{text}"
        );
        assert_eq!(check(directory, &configuration(&cert, &key)).status.code(), Some(0));
    }
    let swapped = check(directory, &configuration(&directory.join("p256.key"), &directory.join("p256.pem")));
    let text = told(&swapped);
    assert!(text.contains("contains no certificate") && text.contains("contains no private key"), "{text}");
}

/// F5: no place said a word.
#[test]
fn f5_an_expired_certificate_is_told_everywhere_and_takes_nothing_away() {
    let authority = authority();
    let directory = authority.path();
    let (cert, key) = leaf(directory, "old", P256, "faketime -f -40d", 10);
    let checked = check(directory, &configuration(&cert, &key));
    let words = format!("the TLS certificate in {} expired at ", cert.display());
    let text = told(&checked);
    assert!(checked.status.success() && text.contains(&words) && text.contains("systemctl reload alertd"), "{text}");
    let daemon = Daemon::with(&configuration(&cert, &key));
    let line = daemon.said("message_id=certificate-not-valid");
    assert!(line.starts_with("error ") && line.contains(&words), "{line}");
    let status = daemon.status();
    assert!(status["ready"] == true && status["certificate"]["warning"].as_str().unwrap().contains(&words), "{status}");
    assert_eq!(status["certificate"]["file"], cert.display().to_string());
    let shown = told(&daemon.ctl(&["status"]));
    assert!(shown.contains("certificate") && shown.contains("warning") && shown.contains(&words), "{shown}");
    let refused = fetch(&daemon, directory);
    assert!(told(&refused).contains("expired"), "{}", told(&refused));
    let url = format!("https://localhost:{}/livez", daemon.address.port());
    assert!(Command::new("curl").args(["-sSk", &url]).status().unwrap().success());
    // Renewed, and nothing is left of the warning.
    leaf(directory, "old", P256, "", 40);
    let reloaded = daemon.ctl(&["reload"]);
    assert!(reloaded.status.success(), "{}", told(&reloaded));
    assert_eq!(String::from_utf8_lossy(&fetch(&daemon, directory).stdout), "alive\n");
    assert_eq!(daemon.status()["certificate"]["warning"], serde_json::Value::Null);
}

#[test]
fn the_end_of_the_certificate_is_in_status_metrics_and_log_before_it_comes() {
    let authority = authority();
    let directory = authority.path();
    let (cert, key) = leaf(directory, "short", P256, "", 5);
    let daemon = Daemon::with(&configuration(&cert, &key));
    let line = daemon.said("message_id=certificate-ends");
    assert!(line.starts_with("warn ") && line.contains("expires in 4 days, at "), "{line}");
    let end = sh(directory, "date -u -d \"$(openssl x509 -noout -enddate -in short.crt | cut -d= -f2)\" +%s");
    let metrics = Request::get("/metrics").over(&daemon.control()).text();
    let metric = "alertd_certificate_expiry_timestamp_seconds ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(metric)).expect("the metric");
    assert_eq!(value.parse::<f64>().unwrap(), end.parse::<f64>().unwrap());
    let plain = Daemon::start();
    assert!(!Request::get("/metrics").over(&plain.control()).text().contains(metric.trim()));
    assert_eq!(plain.status()["certificate"], serde_json::Value::Null);
}

#[test]
fn a_reload_takes_the_new_certificate_or_says_why_not() {
    let authority = authority();
    let directory = authority.path();
    let (cert, key) = leaf(directory, "one", P256, "", 20);
    let (next_cert, next_key) = leaf(directory, "two", "-algorithm ED25519", "", 20);
    let mut daemon = Daemon::with(&configuration(&cert, &key));
    let first = serial(&daemon, directory);
    // Half of a renewal.
    std::fs::copy(&next_cert, &cert).unwrap();
    let refused = daemon.ctl(&["reload"]);
    let text = told(&refused);
    assert!(refused.status.code() == Some(78) && text.contains("is not the key of the certificate"), "{text}");
    assert_eq!(serial(&daemon, directory), first);
    std::fs::copy(&next_key, &key).unwrap();
    assert!(daemon.ctl(&["reload"]).status.success());
    let second = serial(&daemon, directory);
    assert_ne!(second, first);
    // Other paths.
    let (third_cert, third_key) = leaf(directory, "three", P256, "", 20);
    daemon.configure(&configuration(&third_cert, &third_key));
    assert!(daemon.ctl(&["reload"]).status.success());
    assert_ne!(serial(&daemon, directory), second);
    // Off needs a restart, and the certificate that is served stays in the status.
    daemon.configure("");
    let off = daemon.ctl(&["reload"]);
    assert!(off.status.success() && told(&off).contains("restart alertd to apply http.tls_cert"), "{}", told(&off));
    assert_eq!(String::from_utf8_lossy(&fetch(&daemon, directory).stdout), "alive\n");
    assert_eq!(daemon.status()["certificate"]["file"], third_cert.display().to_string());
    assert_eq!(daemon.stop().code(), Some(0));
    let daemon = daemon.again();
    daemon.configure(&configuration(&third_cert, &third_key));
    let on = daemon.ctl(&["reload"]);
    assert!(on.status.success() && told(&on).contains("restart alertd to apply http.tls_cert"), "{}", told(&on));
    assert_eq!(daemon.status()["certificate"], serde_json::Value::Null);
}

/// F5: the reload said that the certificate was read again, and the old one was served until it expired.
#[test]
fn f5_a_reload_says_that_a_credential_needs_a_restart() {
    let authority = authority();
    let directory = authority.path();
    leaf(directory, "tls", P256, "", 20);
    let credentials = directory.display().to_string();
    let configuration = "[http]\ntls_cert = \"tls.pem\"\ntls_key = \"tls.key\"\n";
    let daemon = Daemon::with_environment(configuration, &[("CREDENTIALS_DIRECTORY", &credentials)]);
    assert_eq!(String::from_utf8_lossy(&fetch(&daemon, directory).stdout), "alive\n");
    let reloaded = daemon.ctl(&["reload"]);
    let text = told(&reloaded);
    assert!(
        reloaded.status.success() && text.contains("restart alertd to apply http.tls_cert, http.tls_key"),
        "{text}"
    );
    let absent = program("alertd").arg("--check").arg("--config").arg(directory.join("absent.toml")).output();
    drop(absent);
    std::fs::write(directory.join("names.toml"), configuration).unwrap();
    let checked = program("alertd").arg("--check").arg("--config").arg(directory.join("names.toml")).output().unwrap();
    let text = told(&checked);
    assert!(checked.status.code() == Some(78) && text.contains("LoadCredential=tls.pem:"), "{text}");
}
