//! Bad configurations and command lines, with their exit codes and messages. Each kind of bad value has its place among the
//! unit tests of the configuration; here are the programs.

use std::fs;
use std::process::Stdio;

use crate::harness::{Daemon, program, told};

#[test]
fn alertd_refuses_a_bad_configuration_with_all_errors_and_78() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.toml");
    let cases: &[(&str, &[&str])] = &[
        ("stage = \"test\"\n[http]\nlisten = \"here\"\n", &["bad.toml:1:9: stage: ", "bad.toml:3:10: http.listen: "]),
        ("[http]\nlisten\n", &["bad.toml:2:", "invalid TOML"]),
        ("[htp]\nlisten = \"x\"\n", &["bad.toml:2:1: htp.listen: unknown setting; did you mean http.listen?"]),
        ("stage = \"prod\"\nstage = \"dev\"\n", &["bad.toml:2:1: duplicate key"]),
        ("[http]\ntls_cert = \"/nowhere/c.pem\"\ntls_key = \"/nowhere/k.pem\"\n", &["http.tls_cert: /nowhere/c.pem: "]),
        ("[engine]\nkind = \"redis\"\n", &["bad.toml:2:8: engine.kind: ", "set engine.redis.host"]),
    ];
    for (text, words) in cases {
        fs::write(&path, text).unwrap();
        for check in [true, false] {
            let mut command = program("alertd");
            command.arg("--config").arg(&path).args(check.then_some("--check"));
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(78), "{}", told(&output));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(words.iter().all(|word| said.contains(word)), "{text}\n{said}");
            assert!(said.starts_with("alertd: "), "{said}");
        }
    }
    fs::write(&path, "").unwrap();
    let good = program("alertd").arg("--config").arg(&path).arg("--check").output().unwrap();
    assert!(good.status.success() && good.stderr.is_empty(), "{}", told(&good));
}

#[test]
fn bad_environments_are_named() {
    for (name, value, words) in [
        ("ALERTD_HTTP_LISTEN", "8080", "env ALERTD_HTTP_LISTEN: http.listen: \"8080\" is not an address with a port"),
        ("ALERTD_LOG_LEVL", "info", "did you mean ALERTD_LOG_LEVEL?"),
        ("STAGE", "staging", "env STAGE: stage: \"staging\" is unknown; write \"prod\" or \"dev\""),
        (
            "AUTH_STORE_DIR",
            "./data/auth/",
            "env AUTH_STORE_DIR: auth.store_dir: \"./data/auth/\" is not an absolute path; begin it with /",
        ),
        ("REDIS_HOST", "me@host", "env REDIS_HOST: engine.redis.host: is not just a host"),
        ("REDIS_PORT", "port", "env REDIS_PORT: engine.redis.port: "),
        ("ALERTD_CONFIG", "/nowhere.toml", "/nowhere.toml: cannot be read"),
    ] {
        let output = program("alertd").arg("--check").env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{name}: {}", told(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words), "{name}: {said}");
    }
}

#[test]
fn a_start_that_cannot_work_says_what_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(at.join("file"), "").unwrap();
    fs::create_dir(at.join("foreign")).unwrap();
    fs::write(at.join("foreign/auth.json"), "{\"users\": {}}").unwrap();
    fs::create_dir(at.join("damaged")).unwrap();
    fs::write(at.join("damaged/alerts.redb"), "not a store of alerts").unwrap();
    let path = |name: &str| at.join(name).display().to_string();
    let cases: Vec<(&str, String, &str, i32)> = vec![
        ("ALERTD_HTTP_LISTEN", taken.local_addr().unwrap().to_string(), "another program uses it", 1),
        ("ALERTD_HTTP_LISTEN", "192.0.2.1:80".into(), "this machine has no such address", 1),
        ("ALERTD_CONTROL_SOCKET", path("file"), "a file that is not a socket is in the way", 1),
        ("ALERTD_STATE_DIR", path("file/below"), "cannot use", 1),
        ("ALERTD_AUTH_STORE_DIR", path("foreign"), "is not alertd's key file", 65),
        ("ALERTD_STATE_DIR", path("damaged"), "cannot be read", 65),
    ];
    for (name, value, words, code) in cases {
        let mut command = program("alertd");
        command.env("ALERTD_HTTP_LISTEN", "127.0.0.1:0").env("ALERTD_STATE_DIR", path("state"));
        command.env("ALERTD_CONTROL_SOCKET", path("c.sock")).env("ALERTD_PUBLISH_SOCKET", path("p.sock"));
        let output = command.env(name, &value).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}={value}: {}", told(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words) && said.contains("alertd: "), "{name}={value}: {said}");
    }
    assert_eq!(fs::read_to_string(at.join("foreign/auth.json")).unwrap(), "{\"users\": {}}");
    assert_eq!(fs::read_to_string(at.join("damaged/alerts.redb")).unwrap(), "not a store of alerts");
}

#[test]
fn wrong_command_lines_end_with_2_and_a_hint() {
    let cases: &[(&str, &[&str])] = &[
        ("alertd", &["--confg", "x"]),
        ("alertd", &["--config"]),
        ("alertd", &["start"]),
        ("alertd", &["--check", "--check"]),
        ("alertctl", &[]),
        ("alertctl", &["keys"]),
        ("alertctl", &["key"]),
        ("alertctl", &["key", "add"]),
        ("alertctl", &["key", "add", "alice", "--scope", "write"]),
        ("alertctl", &["key", "add", "alice", "--topic", "a b"]),
        ("alertctl", &["key", "add", "alice", "--topic", "a*"]),
        ("alertctl", &["key", "add", "alice", "--expires", "soon"]),
        ("alertctl", &["key", "add", "alice", "--expires", "90"]),
        ("alertctl", &["key", "add", "alice", "bob"]),
        ("alertctl", &["key", "list", "alice"]),
        ("alertctl", &["key", "revoke"]),
        ("alertctl", &["key", "rotate"]),
        ("alertctl", &["key", "rotate", "x", "--overlap", "1 day"]),
        ("alertctl", &["key", "import"]),
        ("alertctl", &["key", "delete", "x"]),
        ("alertctl", &["publish"]),
        ("alertctl", &["publish", "-t", "ops.*", "x"]),
        ("alertctl", &["publish", "-t", "", "x"]),
        ("alertctl", &["publish", "-l", "fatal", "x"]),
        ("alertctl", &["publish", "a", "b"]),
        ("alertctl", &["publish", "--retry-for", "x", "x"]),
        ("alertctl", &["tail", "a b"]),
        ("alertctl", &["tail", "-l", "loud"]),
        ("alertctl", &["tail", "-n", "few"]),
        ("alertctl", &["tail", "--exec"]),
        ("alertctl", &["history", "-n", "-1"]),
        ("alertctl", &["history", "a..b"]),
        ("alertctl", &["status", "now"]),
        ("alertctl", &["config"]),
        ("alertctl", &["config", "set"]),
        ("alertctl", &["reload", "--force"]),
        ("alertctl", &["completions"]),
        ("alertctl", &["completions", "tcsh"]),
        ("alertctl", &["--url"]),
        ("alertctl", &["--url", "ftp://x", "status"]),
        ("alertctl", &["--url", "http://u:p@x", "status"]),
        ("alertctl", &["--url", "http://x", "--socket", "/x", "status"]),
        ("alertctl", &["--socket", "/x", "--instance", "y", "status"]),
        ("alertctl", &["--key", "secret", "status"]),
    ];
    for (name, arguments) in cases {
        let output = program(name).args(*arguments).stdin(Stdio::null()).env("ALERTCTL_KEY", "x").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}: {}", told(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{name} {arguments:?}: {}", told(&output));
    }
}

#[test]
fn without_a_daemon_alertctl_says_so_with_69() {
    for arguments in [&["status"][..], &["reload"], &["history"], &["publish", "--retry-for", "0s", "x"]] {
        let output = program("alertctl").args(["--socket", "/nowhere/control.sock"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(69), "{arguments:?}: {}", told(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/control.sock"), "{}", told(&output));
    }
}

/// What Kubernetes sets in each container for services named `redis`, `alertd` and `alertd-http`.
const KUBERNETES: [(&str, &str); 10] = [
    ("REDIS_SERVICE_HOST", "10.43.7.19"),
    ("REDIS_SERVICE_PORT", "6379"),
    ("REDIS_PORT", "tcp://10.43.7.19:6379"),
    ("REDIS_PORT_6379_TCP", "tcp://10.43.7.19:6379"),
    ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
    ("ALERTD_PORT", "tcp://10.43.7.20:80"),
    ("ALERTD_SERVICE_PORT_HTTP", "80"),
    ("ALERTD_HTTP_SERVICE_HOST", "10.43.7.21"),
    ("ALERTD_HTTP_PORT", "tcp://10.43.7.21:80"),
    ("ALERTD_HTTP_PORT_80_TCP_ADDR", "10.43.7.21"),
];

#[test]
fn variables_that_a_platform_sets_for_other_services_are_ignored_and_named() {
    let daemon = Daemon::with_environment("", &KUBERNETES);
    let key = daemon.key("alice");
    daemon.publish(&key, "default", "well");
    let said = daemon.said("the environment has variables that a container platform sets");
    for name in ["REDIS_PORT", "ALERTD_PORT", "ALERTD_HTTP_SERVICE_HOST", "ALERTD_HTTP_PORT_80_TCP_ADDR"] {
        assert!(said.contains(name), "{name}: {said}");
    }
    let directory = tempfile::tempdir().unwrap();
    let check = |more: (&str, &str)| {
        let mut check = program("alertd");
        check.arg("--check").arg("--config").arg("/dev/null").env("ALERTD_STATE_DIR", directory.path());
        check.envs(KUBERNETES).env(more.0, more.1).output().unwrap()
    };
    let good = check(("UNRELATED", "x"));
    assert!(good.status.success() && told(&good).contains("ignored: ALERTD_HTTP_PORT, "), "{}", told(&good));
    for mistake in
        [("ALERTD_HTTP_PORT", "80"), ("REDIS_PORT", "sixthousand"), ("ALERTD_HTTP_MAX_STREAMS", "tcp://10.0.0.1:1")]
    {
        assert_eq!(check(mistake).status.code(), Some(78), "{mistake:?}");
    }
}

/// F20: what `alertctl` said, and where it stopped.
#[test]
fn f20_remedies_name_the_instance_the_plain_port_the_authority_and_the_file() {
    let mut daemon = Daemon::start();
    let directory = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let mut command = program("alertctl");
        command.env("SSL_CERT_FILE", directory.path().join("own.pem")).args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "{}", told(&output));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(&["--instance", "nope", "status"]).contains("systemctl start alertd@nope"));
    // A certificate as this command makes it is one of an authority.
    let openssl = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -out own.pem -days 90 \
                   -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null";
    let made = std::process::Command::new("sh").args(["-c", openssl]).current_dir(directory.path()).status();
    assert!(made.unwrap().success());
    let url = format!("https://{}", daemon.address);
    let plain = said(&["--url", &url, "status"]);
    assert!(plain.contains("plain HTTP") && plain.contains("http://"), "{plain}");
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (cert, key) = (file("own.pem"), file("own.key"));
    let secure =
        Daemon::with_environment("", &[("ALERTD_HTTP_TLS_CERT", cert.as_str()), ("ALERTD_HTTP_TLS_KEY", key.as_str())]);
    let authority = said(&["--url", &format!("https://{}", secure.address), "status"]);
    assert!(authority.contains("basicConstraints=critical,CA:FALSE"), "{authority}");

    daemon.key("alice");
    let other = daemon.ctl(&["key", "import", "/etc/passwd"]);
    assert_eq!(other.status.code(), Some(2), "{}", told(&other));
    assert!(told(&other).contains("/etc/passwd has no keys: name the auth.json of an alertd"), "{}", told(&other));
    let own = daemon.state().join("auth.json").display().to_string();
    assert!(daemon.ctl(&["key", "import", &own]).status.success());

    // Times have their zone, whether the machine has one or not.
    assert!(daemon.ctl(&["publish", "now"]).status.success());
    let listed = daemon.ctl_command().arg("history").env("TZ", "CET-1").output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("+01:00"), "{}", told(&listed));
    let listed = daemon.ctl_command().arg("history").env("TZ", "UTC").output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("+00:00"), "{}", told(&listed));
    daemon.stop();
}
