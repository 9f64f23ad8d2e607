use std::fs;

use super::keys::find;
use super::*;

fn inputs(file: &str, environment: &[(&str, &str)]) -> (tempfile::TempDir, Inputs) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.toml");
    fs::write(&path, file).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let inputs = Inputs { file: Some(path), environment, is_root: true, ..Inputs::default() };
    (directory, inputs)
}

fn loaded(file: &str, environment: &[(&str, &str)]) -> Resolved {
    let (_directory, inputs) = inputs(file, environment);
    load(&inputs).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The errors, with the file's directory left out.
fn refused(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let (directory, inputs) = inputs(file, environment);
    let errors = load(&inputs).map(|r| show(&r)).expect_err(file).0;
    let prefix = format!("{}/", directory.path().display());
    errors.into_iter().map(|error| error.replace(&prefix, "")).collect()
}

#[test]
fn the_defaults_are_the_contracts() {
    let Resolved { config, .. } = loaded("", &[]);
    assert_eq!(config.http.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!((config.http.max_body, config.http.heartbeat), (65_536, Duration::from_secs(15)));
    assert_eq!((config.alerts.latest_ttl.as_secs(), config.alerts.retain_age.as_secs()), (1800, 604_800));
    assert_eq!((config.alerts.retain_count, config.alerts.retain_bytes), (1_000_000, 1 << 30));
    assert_eq!(config.control_socket, Path::new("/run/alertd/control.sock"));
    assert_eq!((config.auth.store_dir, config.auth.iterations), ("/var/lib/alertd".into(), 100_000));
    assert_eq!((config.stage, config.durability), (Stage::Prod, Durability::Fsync));
}

#[test]
fn a_plain_user_gets_the_xdg_directories() {
    let (_directory, mut given) = inputs("", &[("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/7")]);
    given.is_root = false;
    let config = load(&given).unwrap().config;
    assert_eq!(config.state_dir, Path::new("/home/u/.local/state/alertd"));
    assert_eq!(config.control_socket, Path::new("/run/user/7/alertd/control.sock"));
    given.environment.push(("STATE_DIRECTORY".into(), "/var/lib/other".into()));
    let config = load(&given).unwrap().config;
    assert_eq!(
        (config.state_dir.as_path(), config.auth.store_dir.as_path()),
        (Path::new("/var/lib/other"), Path::new("/var/lib/other"))
    );
    assert_eq!(config.publish_socket, Path::new("/run/alertd/publish.sock"));
}

#[test]
fn the_environment_wins_over_the_file_and_each_value_names_its_source() {
    let file = "stage = \"dev\"\n[http]\nlisten = [\"127.0.0.1:1\", \"[::1]:2\"]\nmax_streams = 5\n[limits]\npublish_rate = 7\n";
    let environment = [
        ("ALERTD_HTTP_MAX_STREAMS", "1_000"),
        ("STAGE", "prod"),
        ("AUTH_STORE_DIR", "/keys"),
        ("ALERTD_HTTP_CORS_ORIGINS", "https://a.example, https://b.example"),
        ("ALERTD_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("ALERTD_SERVICE_HOST", "10.0.0.1"),
        ("UNRELATED", "x"),
    ];
    let resolved = loaded(file, &environment);
    let config = &resolved.config;
    assert_eq!((config.http.max_streams, config.stage, config.http.listen.len()), (1000, Stage::Prod, 2));
    assert_eq!((config.http.cors_origins.len(), config.auth.store_dir.as_path()), (2, Path::new("/keys")));
    let shown = show(&resolved);
    for (value, source) in [
        ("http.max_streams = \"1_000\"", "# env ALERTD_HTTP_MAX_STREAMS"),
        ("stage = \"prod\"", "# env STAGE"),
        ("limits.publish_rate = 7", "a.toml:6"),
        ("http.heartbeat = \"15s\"", "# default"),
    ] {
        assert!(
            shown.lines().any(|line| line.starts_with(value) && line.ends_with(source)),
            "{value} {source}\n{shown}"
        );
    }
    assert_eq!(loaded("", &[("STAGE", "dev"), ("ALERTD_STAGE", "prod")]).config.stage, Stage::Prod);
}

#[test]
fn all_errors_are_found_at_once_each_with_its_place() {
    let file = "stage = \"test\"\n[http]\nlisten = 8080\nlissten = \"x\"\n[foo]\nbar = 1\n";
    assert_eq!(
        refused(file, &[("ALERTD_LOG_LEVEL", "loud"), ("ALERTD_HTP_LISTEN", "x")]),
        [
            "a.toml:6:1: foo.bar: there is no such setting; alertd.toml(5) lists all",
            "a.toml:4:1: http.lissten: there is no such setting; did you mean http.listen?",
            "env ALERTD_HTP_LISTEN: there is no such setting; did you mean ALERTD_HTTP_LISTEN?",
            "a.toml:1:9: stage: is \"test\", must be \"prod\" or \"dev\"",
            "a.toml:3:10: http.listen: is 8080, must be a text or a list of texts",
            "env ALERTD_LOG_LEVEL: log.level: is \"loud\", must be \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"",
        ]
    );
    assert_eq!(refused("stage = \"prod\nx = 1", &[]).len(), 1);
    let (_directory, mut missing) = inputs("", &[]);
    missing.file = Some("/nowhere/alertd.toml".into());
    let error = load(&missing).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/alertd.toml: cannot be read: No such file"), "{error}");
    missing.file = None;
    missing.default_file = "/nowhere/alertd.toml".into();
    assert!(load(&missing).is_ok());
}

#[test]
fn each_bad_value_is_refused_with_what_would_be_right() {
    let table = [
        ("stage", "1", "must be \"prod\" or \"dev\""),
        ("stage", "\"\"", "must be \"prod\" or \"dev\""),
        ("stage", "true", "must be \"prod\" or \"dev\""),
        ("stage", "\"PROD\"", "must be \"prod\" or \"dev\""),
        ("state_dir", "\"relative/dir\"", "must be an absolute path"),
        ("state_dir", "5", "must be a text in quotes"),
        ("state_dir", "\"\"", "must be an absolute path"),
        ("control_socket", "\"sock\"", "must be an absolute path"),
        ("control_socket", "[]", "must be a text in quotes"),
        ("publish_socket", "\"~/sock\"", "must be an absolute path"),
        ("http.listen", "\"\"", "must be an address and port"),
        ("http.listen", "[]", "must be an address and port"),
        ("http.listen", "\"localhost:80\"", "is no address and port"),
        ("http.listen", "\"127.0.0.1\"", "is no address and port"),
        ("http.listen", "\":8080\"", "is no address and port"),
        ("http.listen", "\"127.0.0.1:99999\"", "is no address and port"),
        ("http.listen", "[\"127.0.0.1:1\", 2]", "must be a text in quotes"),
        ("http.trusted_proxies", "\"10.0.0.0/40\"", "is no address or network"),
        ("http.trusted_proxies", "[\"proxy\"]", "is no address or network"),
        ("http.trusted_proxies", "true", "must be a text or a list"),
        ("http.tls_cert", "\"/etc/cert.pem\"", "needs http.tls_key beside it"),
        ("http.tls_key", "\"/etc/key.pem\"", "needs http.tls_cert beside it"),
        ("http.tls_cert", "\"cert.pem\"", "must be an absolute path"),
        ("http.max_body", "\"64 kilobytes\"", "must be a size"),
        ("http.max_body", "\"10\"", "must be a size from 1KiB to 16MiB"),
        ("http.max_body", "\"17MiB\"", "must be a size from 1KiB to 16MiB"),
        ("http.max_body", "-1", "must be a size"),
        ("http.max_body", "1.5", "must be a size"),
        ("http.max_body", "\"99999999999999999999GiB\"", "must be a size"),
        ("http.max_connections", "0", "must be a whole number from 1 to 1000000"),
        ("http.max_connections", "\"many\"", "must be a whole number"),
        ("http.max_connections", "1000001", "must be a whole number"),
        ("http.max_streams", "0", "must be a whole number"),
        ("http.max_streams", "-5", "must be a whole number"),
        ("http.max_streams", "0x10", "must be a whole number"),
        ("http.heartbeat", "15", "must be a duration such as"),
        ("http.heartbeat", "\"15\"", "must be a duration such as"),
        ("http.heartbeat", "\"0s\"", "must be from 1s to 1h"),
        ("http.heartbeat", "\"2h\"", "must be from 1s to 1h"),
        ("http.heartbeat", "\"fifteen\"", "must be a duration such as"),
        ("http.retry", "\"5s..1s\"", "must be a span such as"),
        ("http.retry", "\"1s-5s\"", "must be a span such as"),
        ("http.retry", "1", "must be a span such as"),
        ("http.retry", "\"1ms..5s\"", "must be a span such as"),
        ("http.stream_lifetime", "\"-1s\"", "must be a duration"),
        ("http.cors_origins", "\"dash.example.org\"", "is no origin"),
        ("http.cors_origins", "[\"https://a.example/path\"]", "is no origin"),
        ("http.cors_origins", "[1]", "must be a text in quotes"),
        ("auth.store", "\"ldap\"", "must be \"file\" or \"engine\""),
        ("auth.store", "\"engine\"", "belongs to the redis engine"),
        ("auth.store_dir", "\"data/auth\"", "must be an absolute path"),
        ("auth.iterations", "9999", "must be a whole number from 10000 to 10000000"),
        ("auth.iterations", "100000000", "must be a whole number"),
        ("auth.iterations", "1e5", "must be a whole number"),
        ("auth.query_token", "\"yes\"", "must be true or false"),
        ("auth.query_token", "1", "must be true or false"),
        ("auth.stale_max", "\"0s\"", "must be from 1s"),
        ("alerts.latest_ttl", "30", "must be a duration"),
        ("alerts.latest_ttl", "\"30min\"", "must be a duration"),
        ("alerts.retain_age", "\"a week\"", "must be a duration"),
        ("alerts.retain_age", "2026-11-24", "must be a duration"),
        ("alerts.retain_count", "-1", "must be a whole number"),
        ("alerts.retain_count", "\"1M\"", "must be a whole number"),
        ("alerts.retain_bytes", "\"1GB/day\"", "must be a size"),
        ("alerts.retain_bytes", "true", "must be a size"),
        ("alerts.topic_count", "1.5", "must be a whole number"),
        ("engine.kind", "\"sqlite\"", "must be \"embedded\" or \"redis\""),
        ("engine.kind", "\"redis\"", "which this version does not have"),
        ("engine.durability", "\"primary\"", "must be \"fsync\" or \"none\""),
        ("engine.durability", "false", "must be \"fsync\" or \"none\""),
        ("engine.redis.host", "\"redis://:secret@host\"", "a password belongs into password_file"),
        ("engine.redis.port", "0", "must be a whole number from 1 to 65535"),
        ("engine.redis.port", "65536", "must be a whole number"),
        ("engine.redis.tls", "\"on\"", "must be true or false"),
        ("engine.redis", "5", "is a section: write [engine.redis]"),
        ("http", "\"x\"", "is a section: write [http]"),
        ("hub.memory", "\"1KiB\"", "must be a size from 1MiB"),
        ("hub.max_subscriptions", "0", "must be a whole number"),
        ("hub.max_subscriptions_per_key", "\"all\"", "must be a whole number"),
        ("limits.publish_rate", "-1", "must be a whole number"),
        ("limits.streams_per_key", "9999999999", "must be a whole number"),
        ("limits.failed_auth_rate", "\"30/min\"", "must be a whole number"),
        ("log.target", "\"file\"", "must be \"auto\" or \"journald\" or \"syslog\" or \"stderr\""),
        ("log.level", "\"verbose\"", "must be \"error\""),
        ("log.mirror_alerts", "[true]", "must be true or false"),
        ("log.format", "\"json\"", "there is no such setting"),
        ("http.port", "8080", "there is no such setting"),
        ("listen", "\"127.0.0.1:1\"", "there is no such setting; "),
        ("alerts.retain-age", "\"7d\"", "did you mean alerts.retain_age?"),
    ];
    assert!(table.len() >= 80);
    for (name, value, words) in table {
        let errors = refused(&format!("{name} = {value}\n"), &[]);
        assert_eq!(errors.len(), 1, "{name} = {value}: {errors:?}");
        assert!(errors[0].starts_with("a.toml:1:") && errors[0].contains(words), "{name} = {value}: {errors:?}");
        assert!(!errors[0].contains("secret"), "{errors:?}");
    }
    let redis = refused("", &[("REDIS_HOST", "localhost")]);
    assert!(redis[0].starts_with("env REDIS_HOST: engine.kind: is \"redis\""), "{redis:?}");
}

#[test]
fn a_reload_names_what_waits_for_a_restart() {
    let old = loaded("[http]\nlisten = \"127.0.0.1:1\"\nheartbeat = \"5s\"\n", &[]);
    let new = loaded("[http]\nlisten = \"127.0.0.1:2\"\nheartbeat = \"6s\"\n[log]\ntarget = \"stderr\"\n", &[]);
    assert_eq!(old.needs_restart(&new), ["http.listen", "log.target"]);
}

#[test]
fn the_shipped_files_are_right() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/alertd.example.toml");
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        fs::write(shipped, example()).unwrap();
    }
    assert_eq!(fs::read_to_string(shipped).unwrap(), example(), "run the tests once with UPDATE_EXAMPLE=1");
    let defaults = loaded("", &[]);
    for file in [example(), include_str!("../../config/alertd.toml").to_owned()] {
        assert_eq!(defaults.needs_restart(&loaded(&file, &[])), Vec::<String>::new());
    }
    assert!(KEYS.iter().all(|key| man().contains(&variable(key.name)) && find(key.name).is_some()));
}
