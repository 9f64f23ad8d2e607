//! The configuration as a whole: files, variables, errors and warnings.

mod documents;
mod platform;
mod refusals;

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use super::document::example;
use super::keys::{Apply, KEYS, find, variable};
use super::*;
use crate::alert::Pattern;
use crate::api::Stage;
use crate::log::{Level, Target};

fn inputs(file: &str, environment: &[(&str, &str)]) -> (tempfile::TempDir, Inputs) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.toml");
    fs::write(&path, file).unwrap();
    let env = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    (directory, Inputs { file: Some(path), env, is_root: true, ..Inputs::default() })
}

fn loaded(file: &str, environment: &[(&str, &str)]) -> Resolved {
    let (_directory, inputs) = inputs(file, environment);
    load(&inputs).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The errors, without the directory of the file.
fn refused_with(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let (directory, inputs) = inputs(file, environment);
    let errors = load(&inputs).map(|resolved| show(&resolved)).expect_err(file).0;
    let prefix = format!("{}/", directory.path().display());
    errors.into_iter().map(|error| error.replace(&prefix, "")).collect()
}

fn refused(file: &str) -> Vec<String> {
    refused_with(file, &[])
}

/// The source that `show` gives for a key.
fn source(resolved: &Resolved, key: &str) -> String {
    resolved.source(key).unwrap().to_string()
}

#[test]
fn defaults_without_any_settings() {
    let Config { stage, http, auth, alerts, engine, hooks, hub, limits, log, control_socket, .. } =
        loaded("", &[]).config;
    assert_eq!(stage, Stage::Prod);
    assert_eq!(http.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!((http.max_body, http.max_connections, http.max_streams), (65_536, 16_384, 16_384));
    assert_eq!(
        (http.heartbeat, http.stream_lifetime, http.hsts),
        (Duration::from_secs(8), Duration::ZERO, Duration::ZERO)
    );
    assert_eq!(http.retry, (Duration::from_secs(1), Duration::from_secs(5)));
    assert!(http.tls().is_none() && http.trusted_proxies.is_empty() && http.cors_origins.is_empty());
    assert_eq!((auth.store, auth.store_dir.as_path()), (Store::File, Path::new("/var/lib/alertd")));
    assert_eq!((auth.iterations, auth.query_token, auth.stale_max.as_secs()), (100_000, false, 300));
    assert_eq!((alerts.latest_ttl.as_secs(), alerts.retain_age.as_secs()), (1800, 604_800));
    assert_eq!((alerts.retain_count, alerts.retain_bytes, alerts.topic_count), (1_000_000, 1 << 30, 100_000));
    assert_eq!((engine.kind, engine.durability), (EngineKind::Embedded, Durability::Fsync));
    assert_eq!(
        (hooks.max_body, hooks.github_secret_file.as_str(), hooks.github_topics),
        (1 << 20, "", vec![Pattern::All])
    );
    assert_eq!((hub.memory, hub.max_subscriptions, hub.max_subscriptions_per_key), (64 << 20, 1024, 64));
    assert_eq!((limits.publish_rate, limits.streams_per_key, limits.failed_auth_rate), (0, 0, 30));
    assert_eq!((log.target, log.level, log.mirror_alerts), (Target::Auto, Level::INFO, false));
    assert_eq!(control_socket, Path::new("/run/alertd/control.sock"));
}

#[test]
fn directories_come_from_systemd_or_the_system_or_the_user() {
    let given = |environment: &[(&str, &str)], is_root| {
        let (_directory, mut inputs) = inputs("", environment);
        inputs.is_root = is_root;
        load(&inputs).unwrap()
    };
    let paths = |resolved: &Resolved| {
        let Config { state_dir, publish_socket, auth, .. } = &resolved.config;
        assert_eq!(*state_dir, auth.store_dir);
        (state_dir.display().to_string(), publish_socket.display().to_string())
    };
    let home = ("HOME", "/home/u");
    let (state, run) = (("XDG_STATE_HOME", "/s"), ("XDG_RUNTIME_DIR", "/run/user/7"));
    for (environment, is_root, state_dir, publish_socket) in [
        (vec![home], true, "/var/lib/alertd", "/run/alertd/publish.sock"),
        (vec![home], false, "/home/u/.local/state/alertd", "/home/u/.local/state/alertd/publish.sock"),
        (vec![home, state, run], false, "/s/alertd", "/run/user/7/alertd/publish.sock"),
        (
            vec![home, ("XDG_STATE_HOME", "relative")],
            false,
            "/home/u/.local/state/alertd",
            "/home/u/.local/state/alertd/publish.sock",
        ),
        (vec![home, run, ("STATE_DIRECTORY", "/var/lib/x:/other")], false, "/var/lib/x", "/run/alertd/publish.sock"),
        (vec![("STATE_DIRECTORY", "/v"), ("RUNTIME_DIRECTORY", "/r")], true, "/v", "/r/publish.sock"),
    ] {
        let found = given(&environment, is_root);
        assert_eq!(paths(&found), (state_dir.into(), publish_socket.into()), "{environment:?}");
    }
    let systemd = given(&[("STATE_DIRECTORY", "/v"), ("RUNTIME_DIRECTORY", "/r")], false);
    assert_eq!(source(&systemd, "state_dir"), "systemd $STATE_DIRECTORY");
    assert_eq!(source(&systemd, "control_socket"), "systemd $RUNTIME_DIRECTORY");
    assert_eq!(source(&systemd, "auth.store_dir"), "default");
    let (_directory, mut nowhere) = inputs("", &[]);
    nowhere.is_root = false;
    let errors = load(&nowhere).map(|_| ()).unwrap_err().0;
    assert_eq!(errors[0], "default: state_dir: has no default without $HOME; set state_dir, or $HOME");
}

#[test]
fn the_environment_overrides_the_file_and_each_value_has_its_source() {
    let file = "stage = \"dev\"\n[http]\nlisten = [\"127.0.0.1:1\", \"[::1]:2\"]\nmax_streams = 0x5\n[limits]\npublish_rate = 7\n";
    let environment = [
        ("ALERTD_HTTP_MAX_STREAMS", "1000"),
        ("STAGE", "prod"),
        ("AUTH_STORE_DIR", "/keys"),
        ("ALERTD_HTTP_CORS_ORIGINS", "https://a.example, https://b.example"),
        ("ALERTD_LOG_MIRROR_ALERTS", "true"),
        ("ALERTD_PORT", "tcp://10.0.0.1:8080"),
        ("ALERTD_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("ALERTD_SERVICE_HOST", "10.0.0.1"),
        ("ALERTD_CONFIG", "/etc/other.toml"),
        ("REDIS_HOST", ""),
        ("UNRELATED", "x"),
    ];
    let resolved = loaded(file, &environment);
    let config = &resolved.config;
    assert_eq!((config.http.max_streams, config.stage, config.http.listen.len()), (1000, Stage::Prod, 2));
    assert_eq!((config.http.cors_origins.len(), config.auth.store_dir.as_path()), (2, Path::new("/keys")));
    let shown = show(&resolved);
    for (value, source) in [
        ("http.max_streams = 1000 ", "# env ALERTD_HTTP_MAX_STREAMS"),
        ("stage = \"prod\" ", "# env STAGE"),
        ("http.cors_origins = [\"https://a.example\", \"https://b.example\"] ", "# env ALERTD_HTTP_CORS_ORIGINS"),
        ("log.mirror_alerts = true ", "# env ALERTD_LOG_MIRROR_ALERTS"),
        ("limits.publish_rate = 7 ", "a.toml:6"),
        ("http.heartbeat = \"8s\" ", "# default"),
    ] {
        let is_there = shown.lines().any(|line| line.starts_with(value) && line.ends_with(source));
        assert!(is_there, "{value} {source}\n{shown}");
    }
    assert_eq!(resolved.sources().count(), KEYS.len());
    assert!(resolved.warnings.is_empty(), "{:?}", resolved.warnings);
    assert!(resolved.ignored().unwrap().ends_with(": ALERTD_PORT, ALERTD_PORT_8080_TCP, ALERTD_SERVICE_HOST"));
}

#[test]
fn the_output_of_show_loads_to_the_same_configuration() {
    let file = "[http]\nlisten = [\"127.0.0.1:1\", \"[::1]:2\"]\ntls_cert = \"/a \\\"b\\\"\"\ntls_key = \"/k\"\n";
    let first = loaded(file, &[("ALERTD_LIMITS_PUBLISH_RATE", "5"), ("ALERTD_HTTP_TRUSTED_PROXIES", "::1,10.0.0.0/8")]);
    let second = loaded(&show(&first), &[]);
    assert_eq!(first.config, second.config);
}

#[test]
fn the_prefixed_variable_overrides_the_legacy_one_with_a_warning() {
    let resolved = loaded("", &[("ALERTD_STAGE", "prod"), ("STAGE", "dev")]);
    assert_eq!(resolved.config.stage, Stage::Prod);
    assert_eq!(resolved.warnings, ["env STAGE: is overridden by ALERTD_STAGE; unset one of them"]);
    assert!(loaded("", &[("ALERTD_STAGE", "dev"), ("STAGE", "dev")]).warnings.is_empty());
}

#[test]
fn redis_host_alone_selects_the_engine() {
    let both = [("REDIS_HOST", "localhost"), ("REDIS_PORT", "6380")];
    let resolved = loaded("", &both);
    assert!(resolved.warnings.is_empty(), "{:?}", resolved.warnings);
    let engine = &resolved.config.engine;
    assert_eq!((engine.kind, engine.durability), (EngineKind::Redis, Durability::Primary));
    assert_eq!((engine.redis.host.as_str(), engine.redis.port), ("localhost", 6380));
    assert_eq!(source(&resolved, "engine.kind"), "env REDIS_HOST");
    // A configured engine is kept, and the host has no effect.
    let resolved = loaded("engine.kind = \"embedded\"\n", &both);
    assert_eq!(
        resolved.warnings,
        [
            "env REDIS_HOST: engine.redis.host: has no effect with the embedded engine; remove it",
            "env REDIS_PORT: engine.redis.port: has no effect with the embedded engine; remove it",
        ]
    );
    assert_eq!(loaded("", &[("ALERTD_ENGINE_REDIS_HOST", "h")]).config.engine.kind, EngineKind::Embedded);
}

#[test]
fn redis_has_one_kind_of_server_and_settings_that_do_not_fit_are_reported() {
    let redis = |more: &str| format!("[engine]\nkind = \"redis\"\n{more}");
    assert_eq!(
        refused(&redis(
            "durability = \"fsync\"\n[engine.redis]\nhost = \"h\"\ncluster = [\"a:1\"]\ntls_ca = \"/ca\"\n"
        )),
        [
            "a.toml:3:14: engine.durability: \"fsync\" is for the embedded engine; write \"primary\" or \"replicas:N\"",
            "a.toml:6:11: engine.redis.cluster: cannot be combined with engine.redis.host; keep one of them",
            "a.toml:7:10: engine.redis.tls_ca: requires engine.redis.tls = true; set both, or neither",
        ]
    );
    let resolved =
        loaded(&redis("durability = \"replicas:2\"\n[engine.redis]\nport = 1\nsentinels = \"a:1, [::1]:2\"\n"), &[]);
    assert_eq!(resolved.config.engine.durability, Durability::Replicas(2));
    assert_eq!(resolved.config.engine.redis.sentinels, [("a".into(), 1), ("::1".into(), 2)]);
    let [warning] = resolved.warnings.as_slice() else { panic!("{:?}", resolved.warnings) };
    assert!(warning.ends_with("engine.redis.port: has no effect without engine.redis.host; remove it"), "{warning}");
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_file() {
    let file = "stage = \"test\"\n[http]\nlisten = 8080\n  lissten = \"x\"\n[foo]\nbar = 1\n";
    assert_eq!(
        refused_with(file, &[("ALERTD_LOG_LEVEL", "loud"), ("ALERTD_HTP_LISTEN", "x")]),
        [
            "a.toml:1:9: stage: \"test\" is unknown; write \"prod\" or \"dev\"",
            "a.toml:3:10: http.listen: 8080 is neither text nor a list; write [\"…\", \"…\"]",
            "a.toml:4:3: http.lissten: unknown setting; did you mean http.listen?",
            "a.toml:6:1: foo.bar: unknown setting; see alertd.toml(5) for all settings",
            "env ALERTD_HTP_LISTEN: unknown setting; did you mean ALERTD_HTTP_LISTEN?",
            "env ALERTD_LOG_LEVEL: log.level: \"loud\" is unknown; write \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"",
        ]
    );
    // A syntax error in the file does not hide errors in the environment.
    assert_eq!(refused_with("stage = \"prod\nx = 1", &[("ALERTD_X", "1")]).len(), 2);
    let columns = refused("[http]\nlisten = \"ünïcode\" # ü\nretry = 1\n");
    assert!(columns[0].starts_with("a.toml:2:10: ") && columns[1].starts_with("a.toml:3:9: "), "{columns:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_but_the_default_one_may_be_missing() {
    let (directory, mut given) = inputs("", &[]);
    let mut error = |file: &Path| {
        given.file = Some(file.to_owned());
        load(&given).map(|_| ()).unwrap_err().to_string()
    };
    let missing = error(Path::new("/nowhere/alertd.toml"));
    assert!(missing.starts_with("/nowhere/alertd.toml: cannot be read: No such file"), "{missing}");
    assert!(error(directory.path()).contains(": cannot be read: Is a directory"));
    let path = directory.path().join("b.toml");
    fs::write(&path, b"stage = \"prod\"\n# \xff\n").unwrap();
    assert_eq!(error(&path), format!("{}:2:1: the line is not UTF-8; save the file as UTF-8", path.display()));
    fs::write(&path, "# \n".repeat(400_000)).unwrap();
    assert!(error(&path).contains(": is larger than 1048576 bytes"));
    given.file = None;
    given.default_file = "/nowhere/alertd.toml".into();
    assert_eq!(load(&given).unwrap().file, None);
}

#[test]
fn a_variable_that_is_not_utf8_is_an_error() {
    let (_directory, mut given) = inputs("", &[]);
    given.env.push(("ALERTD_STATE_DIR".into(), std::ffi::OsString::from_vec(vec![b'/', 0xff])));
    let error = load(&given).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "env ALERTD_STATE_DIR: state_dir: is not UTF-8; correct it");
}

#[test]
fn the_two_sockets_must_differ_and_fit_an_address() {
    let reason =
        "is the same path as the other socket, which would give publishers full access; choose different paths";
    let both = "control_socket = \"/s\"\npublish_socket = \"/s\"\n";
    assert_eq!(refused(both), [format!("a.toml:2:18: publish_socket: {reason}")]);
    let one = "control_socket = \"/run/alertd/publish.sock\"\n";
    assert_eq!(refused(one), [format!("a.toml:1:18: control_socket: {reason}")]);
    let path = |length: usize| format!("control_socket = \"/{}\"\n", "s".repeat(length - 1));
    assert_eq!(loaded(&path(107), &[]).config.control_socket.as_os_str().len(), 107);
    assert!(
        refused(&path(108))[0]
            .ends_with("has 108 bytes; choose a path of at most 107 bytes, the limit of Unix sockets")
    );
}

#[test]
fn a_reload_names_settings_that_need_a_restart() {
    let config = |file: &str| loaded(file, &[]).config;
    let old = config("[http]\nlisten = \"127.0.0.1:1\"\nheartbeat = \"5s\"\n");
    let new =
        config("[http]\nlisten = \"127.0.0.1:2\"\nheartbeat = \"6s\"\n[log]\ntarget = \"stderr\"\nlevel = \"debug\"\n");
    assert_eq!(old.restart_needed(&new), ["http.listen", "log.target"]);
    assert!(old.restart_needed(&old.clone()).is_empty());
    // The same value in another notation.
    assert!(config("http.max_connections = 1_000").restart_needed(&config("http.max_connections = 1000")).is_empty());
    assert_eq!(config("").restart_needed(&config("state_dir = \"/d\"")), ["state_dir", "auth.store_dir"]);
    let tls = |cert: &str| config(&format!("[http]\ntls_cert = \"{cert}\"\ntls_key = \"/key\"\n"));
    assert_eq!(config("").restart_needed(&tls("/a")), ["http.tls_cert", "http.tls_key"]);
    assert!(tls("/a").restart_needed(&tls("/b")).is_empty());
}

#[test]
fn every_key_has_one_name_in_the_file_and_one_in_the_environment() {
    let names: std::collections::BTreeSet<_> = KEYS.iter().map(|key| variable(key.name)).collect();
    assert_eq!(names.len(), KEYS.len());
    assert!(KEYS.iter().all(|key| find(key.name).is_some_and(|found| found.name == key.name) && !key.about.is_empty()));
    assert_eq!(
        (variable("stage"), variable("engine.redis.host")),
        ("ALERTD_STAGE".into(), "ALERTD_ENGINE_REDIS_HOST".into())
    );
}
