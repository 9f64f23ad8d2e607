//! File, environment and flags become one checked configuration.
//!
//! Called by the daemon at its start and at each reload, and by `alertctl`. All that it reads comes in through [`Inputs`].
//! Order: default < file < environment < flag. All errors are found at once, each with its place and the remedy; a
//! configuration with an error is none.

pub mod args;
mod document;
mod file;
mod keys;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use document::{example, man, show};
use keys::{KEYS, nearest, variable};
pub use value::{Network, duration};
use value::{Parsed, Raw};

/// What the configuration is made of.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// From `--config`; it must be there.
    pub file: Option<PathBuf>,
    /// Read if it is there.
    pub default_file: PathBuf,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether root runs it.
    pub is_root: bool,
}

/// Which stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// For everybody.
    #[default]
    Prod,
    /// With the documentation pages.
    Dev,
}

/// `engine.durability`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Answered when the disk has it.
    #[default]
    Fsync,
    /// Answered at once.
    None,
}

/// `log.target`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogTarget {
    /// The journal if there is one.
    #[default]
    Auto,
    /// The journal.
    Journald,
    /// Syslog.
    Syslog,
    /// Standard error.
    Stderr,
}

/// `log.level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The configuration in force; alertd.toml(5) explains each value.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "explained once, in the table of settings")]
pub struct Config {
    pub stage: Stage,
    pub state_dir: PathBuf,
    pub control_socket: PathBuf,
    pub publish_socket: PathBuf,
    pub http: Http,
    pub auth: Auth,
    pub alerts: Alerts,
    pub durability: Durability,
    pub hub: Hub,
    pub limits: Limits,
    pub log: Log,
}

/// `[http]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "explained once, in the table of settings")]
pub struct Http {
    pub listen: Vec<SocketAddr>,
    pub trusted_proxies: Vec<Network>,
    pub tls: Option<(PathBuf, PathBuf)>,
    pub max_body: usize,
    pub max_connections: usize,
    pub max_streams: u32,
    pub heartbeat: Duration,
    pub retry: (Duration, Duration),
    pub stream_lifetime: Duration,
    pub cors_origins: Vec<String>,
}

/// `[auth]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "explained once, in the table of settings")]
pub struct Auth {
    pub store_dir: PathBuf,
    pub iterations: u32,
    pub query_token: bool,
    pub stale_max: Duration,
}

/// `[alerts]`; 0 is no limit.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "explained once, in the table of settings")]
pub struct Alerts {
    pub latest_ttl: Duration,
    pub retain_age: Duration,
    pub retain_count: u64,
    pub retain_bytes: u64,
    pub topic_count: u64,
}

/// `[hub]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "explained once, in the table of settings")]
pub struct Hub {
    pub memory: usize,
    pub max_subscriptions: usize,
    pub max_subscriptions_per_key: usize,
}

/// `[limits]`; 0 is no limit.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "explained once, in the table of settings")]
pub struct Limits {
    pub publish_rate: u32,
    pub streams_per_key: u32,
    pub failed_auth_rate: u32,
}

/// `[log]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "explained once, in the table of settings")]
pub struct Log {
    pub target: LogTarget,
    pub level: LogLevel,
    pub mirror_alerts: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A line of the file, and the column of the value.
    File(PathBuf, usize, usize),
    /// A variable of the environment.
    Environment(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line, _) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "env {name}"),
        }
    }
}

/// A configuration, and where each value comes from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The values.
    pub config: Config,
    /// By name: as it would stand in the file, and its source.
    values: BTreeMap<&'static str, (Raw, Source)>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Resolved {
    /// Names of settings that differ in `new` and that only a restart puts into force.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<String> {
        let differs =
            |key: &&keys::Key| self.values.get(key.name).map(|v| &v.0) != new.values.get(key.name).map(|v| &v.0);
        KEYS.iter().filter(|key| !key.live).filter(differs).map(|key| key.name.to_owned()).collect()
    }

    /// Whether anybody set it.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.values.get(name).map(|(_, source)| source)
    }
}

/// All that is wrong, each with its place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Errors(pub Vec<String>);

/// Reads and checks everything.
///
/// # Errors
/// All of them at once.
pub fn load(inputs: &Inputs) -> Result<Resolved, Errors> {
    let mut loader = Loader { values: BTreeMap::new(), errors: Vec::new() };
    loader.defaults(inputs);
    let file = loader.file(inputs);
    loader.environment(inputs);
    let config = loader.build();
    if loader.errors.is_empty() {
        Ok(Resolved { config, values: loader.values, file })
    } else {
        Err(Errors(loader.errors))
    }
}

struct Loader {
    values: BTreeMap<&'static str, (Raw, Source)>,
    errors: Vec<String>,
}

impl Loader {
    fn defaults(&mut self, inputs: &Inputs) {
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            let (found, _) = file::read(&document::assignment(key));
            self.values.extend(found.into_iter().map(|found| (found.name, (found.raw, Source::Default))));
        }
        let variable = |name: &str| {
            let found = inputs.environment.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| PathBuf::from(value)).filter(|path| path.is_absolute())
        };
        let home = variable("HOME").unwrap_or_else(|| "/".into());
        let own = variable("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state")).join("alertd");
        let of_the_system = variable("STATE_DIRECTORY").or_else(|| inputs.is_root.then(|| "/var/lib/alertd".into()));
        let runtime = match (&of_the_system, variable("XDG_RUNTIME_DIR")) {
            (Some(_), _) => PathBuf::from("/run/alertd"),
            (None, Some(runtime)) => runtime.join("alertd"),
            (None, None) => own.clone(),
        };
        let state_dir = of_the_system.unwrap_or(own);
        for (name, path) in [
            ("state_dir", state_dir),
            ("control_socket", runtime.join("control.sock")),
            ("publish_socket", runtime.join("publish.sock")),
        ] {
            self.values.insert(name, (Raw::Text(path.display().to_string()), Source::Default));
        }
    }

    fn file(&mut self, inputs: &Inputs) -> Option<PathBuf> {
        let path = inputs.file.clone().unwrap_or_else(|| inputs.default_file.clone());
        let text = match std::fs::read(&path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => {
                    let line =
                        error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
                    self.errors.push(format!("{}:{}:1: the file is not UTF-8 there", path.display(), line + 1));
                    return None;
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && inputs.file.is_none() => return None,
            Err(error) => {
                self.errors.push(format!("{}: cannot be read: {error}; name another with --config", path.display()));
                return None;
            }
        };
        let (found, wrong) = file::read(&text);
        for wrong in wrong {
            self.errors.push(format!("{}:{}:{}: {}", path.display(), wrong.line, wrong.column, wrong.reason));
        }
        for found in found {
            self.values.insert(found.name, (found.raw, Source::File(path.clone(), found.line, found.column)));
        }
        Some(path)
    }

    fn environment(&mut self, inputs: &Inputs) {
        const SEEDS: [(&str, &str); 4] = [
            ("STAGE", "stage"),
            ("AUTH_STORE_DIR", "auth.store_dir"),
            ("REDIS_HOST", "engine.redis.host"),
            ("REDIS_PORT", "engine.redis.port"),
        ];
        let mut own = Vec::new();
        for (name, value) in &inputs.environment {
            let Some(name) = name.to_str() else { continue };
            let seed = SEEDS.iter().find(|(seed, _)| *seed == name).map(|(_, key)| *key);
            if seed.is_none() && !name.starts_with("ALERTD_") {
                continue;
            }
            let key = seed.or_else(|| KEYS.iter().find(|key| variable(key.name) == name).map(|key| key.name));
            let Some(key) = key else {
                // Container platforms inject these for a service that is called alertd; the file's name is a flag's.
                let injected =
                    ["ALERTD_PORT", "ALERTD_SERVICE_", "ALERTD_CONFIG"].iter().any(|form| name.starts_with(form));
                if !injected {
                    let names: Vec<_> = KEYS.iter().map(|key| variable(key.name)).collect();
                    let hint = nearest(name, names.iter().map(String::as_str));
                    let hint =
                        hint.map_or_else(|| "alertd.toml(5) lists all".into(), |near| format!("did you mean {near}?"));
                    self.errors.push(format!("env {name}: there is no such setting; {hint}"));
                }
                continue;
            };
            let Some(value) = value.to_str() else {
                self.errors.push(format!("env {name}: {key}: is not UTF-8"));
                continue;
            };
            let value = (Raw::Text(value.to_owned()), Source::Environment(name.to_owned()));
            if seed.is_some() { drop(self.values.insert(key, value)) } else { own.push((key, value)) }
        }
        // The names with ALERTD_ are the more precise ones.
        self.values.extend(own);
        if let Some((host, source @ Source::Environment(name))) = self.values.get("engine.redis.host")
            && name == "REDIS_HOST"
            && *host != Raw::Text(String::new())
            && matches!(self.values.get("engine.kind"), Some((_, Source::Default)))
        {
            let kind = (Raw::Text("redis".into()), source.clone());
            self.values.insert("engine.kind", kind);
        }
    }

    /// Takes a value; where it is wrong, says so and goes on with something, to find the other errors too.
    fn take<T>(&mut self, name: &'static str, parse: impl Fn(&Raw) -> Parsed<T>) -> Option<T> {
        let (raw, source) = self.values.get(name)?;
        match parse(raw) {
            Ok(value) => Some(value),
            Err(reason) => {
                let place = match source {
                    Source::File(path, line, column) => format!("{}:{line}:{column}", path.display()),
                    other => other.to_string(),
                };
                self.errors.push(format!("{place}: {name}: {reason}"));
                None
            }
        }
    }

    fn path(&mut self, name: &'static str) -> PathBuf {
        self.take(name, Raw::path).unwrap_or_default()
    }

    fn limit(&mut self, name: &'static str) -> u32 {
        let number = self.take(name, |raw| raw.number(0, 1_000_000_000)).unwrap_or_default();
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    fn count(&mut self, name: &'static str, least: u64, most: u64) -> usize {
        let number = self.take(name, |raw| raw.number(least, most)).unwrap_or_default();
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    fn bytes(&mut self, name: &'static str, least: u64, most: u64) -> usize {
        let number = self.take(name, |raw| raw.size(least, most)).unwrap_or_default();
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    fn time(&mut self, name: &'static str, least: Duration, most: Duration) -> Duration {
        self.take(name, |raw| raw.duration(least, most)).unwrap_or_default()
    }

    fn build(&mut self) -> Config {
        const SECOND: Duration = Duration::from_secs(1);
        const HOUR: Duration = Duration::from_secs(3600);
        const YEARS: Duration = Duration::from_secs(10 * 366 * 86_400);
        let stage = self.take("stage", |raw| raw.one_of(&[("prod", Stage::Prod), ("dev", Stage::Dev)]));
        let state_dir = self.path("state_dir");
        if !self.values.contains_key("auth.store_dir") {
            // Where that one is wrong, it is said once.
            let same = if state_dir.is_absolute() { state_dir.display().to_string() } else { "/".into() };
            let same = Raw::Text(same);
            self.values.insert("auth.store_dir", (same, Source::Default));
        }
        self.engine();
        Config {
            stage: stage.unwrap_or_default(),
            state_dir,
            control_socket: self.path("control_socket"),
            publish_socket: self.path("publish_socket"),
            http: Http {
                listen: self.take("http.listen", Raw::addresses).unwrap_or_default(),
                trusted_proxies: self.take("http.trusted_proxies", Raw::networks).unwrap_or_default(),
                tls: self.tls(),
                max_body: self.bytes("http.max_body", 1 << 10, 16 << 20),
                max_connections: self.count("http.max_connections", 1, 1_000_000),
                max_streams: u32::try_from(self.count("http.max_streams", 1, 1_000_000)).unwrap_or(u32::MAX),
                heartbeat: self.time("http.heartbeat", SECOND, HOUR),
                retry: self.take("http.retry", |raw| raw.span(SECOND / 10, HOUR)).unwrap_or_default(),
                stream_lifetime: self.time("http.stream_lifetime", Duration::ZERO, YEARS),
                cors_origins: self.take("http.cors_origins", origins).unwrap_or_default(),
            },
            auth: Auth {
                store_dir: self.path("auth.store_dir"),
                iterations: u32::try_from(self.count("auth.iterations", 10_000, 10_000_000)).unwrap_or(u32::MAX),
                query_token: self.take("auth.query_token", Raw::flag).unwrap_or_default(),
                stale_max: self.time("auth.stale_max", SECOND, YEARS),
            },
            alerts: Alerts {
                latest_ttl: self.time("alerts.latest_ttl", Duration::ZERO, YEARS),
                retain_age: self.time("alerts.retain_age", Duration::ZERO, YEARS),
                retain_count: self.count("alerts.retain_count", 0, 1_000_000_000) as u64,
                retain_bytes: self.bytes("alerts.retain_bytes", 0, 1 << 50) as u64,
                topic_count: self.count("alerts.topic_count", 0, 1_000_000_000) as u64,
            },
            durability: self.durability(),
            hub: Hub {
                memory: self.bytes("hub.memory", 1 << 20, 1 << 40),
                max_subscriptions: self.count("hub.max_subscriptions", 1, 1_000_000),
                max_subscriptions_per_key: self.count("hub.max_subscriptions_per_key", 1, 1_000_000),
            },
            limits: Limits {
                publish_rate: self.limit("limits.publish_rate"),
                streams_per_key: self.limit("limits.streams_per_key"),
                failed_auth_rate: self.limit("limits.failed_auth_rate"),
            },
            log: Log {
                target: self.take("log.target", log_target).unwrap_or_default(),
                level: self.take("log.level", log_level).unwrap_or_default(),
                mirror_alerts: self.take("log.mirror_alerts", Raw::flag).unwrap_or_default(),
            },
        }
    }

    fn tls(&mut self) -> Option<(PathBuf, PathBuf)> {
        let certificate = self.take("http.tls_cert", Raw::optional_path)?;
        let key = self.take("http.tls_key", Raw::optional_path)?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (given, _) => {
                let (given, missing) =
                    if given.is_some() { ("http.tls_cert", "http.tls_key") } else { ("http.tls_key", "http.tls_cert") };
                let _: Option<()> =
                    self.take(given, |_| Err(format!("needs {missing} beside it: set both, or neither")));
                None
            }
        }
    }

    /// What only a fleet has is known, so that a file may be prepared, but it cannot be chosen.
    fn engine(&mut self) {
        let _: Option<()> =
            self.take("engine.kind", |raw| match raw.one_of(&[("embedded", true), ("redis", false)])? {
                true => Ok(()),
                false => {
                    Err("is \"redis\", which this version does not have: take \"embedded\", and unset REDIS_HOST"
                        .into())
                }
            });
        let _: Option<()> = self.take("auth.store", |raw| match raw.one_of(&[("file", true), ("engine", false)])? {
            true => Ok(()),
            false => Err("is \"engine\", which belongs to the redis engine: take \"file\"".into()),
        });
        let _: Option<()> = self.take("engine.redis.host", |raw| {
            let host = raw.text()?;
            if host.contains(['/', '@', ' ']) {
                // Not repeated in the message: it may hold the password.
                return Err("must be a host name or address alone; a password belongs into password_file".into());
            }
            Ok(())
        });
        let _: Option<u64> = self.take("engine.redis.port", |raw| raw.number(1, 65_535));
        let _: Option<bool> = self.take("engine.redis.tls", Raw::flag);
        for name in ["engine.redis.sentinels", "engine.redis.cluster"] {
            let _: Option<Vec<String>> = self.take(name, Raw::list);
        }
        for name in ["engine.redis.username", "engine.redis.password_file", "engine.redis.key_prefix"] {
            let _: Option<String> = self.take(name, Raw::text);
        }
    }

    fn durability(&mut self) -> Durability {
        let words = [("fsync", Durability::Fsync), ("none", Durability::None)];
        self.take("engine.durability", |raw| raw.one_of(&words)).unwrap_or_default()
    }
}

fn origins(raw: &Raw) -> Parsed<Vec<String>> {
    let list = raw.list()?;
    let is_origin = |text: &str| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        text == "*" || rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', '?', '#']))
    };
    match list.iter().find(|item| !is_origin(item)) {
        Some(wrong) => Err(format!("{wrong:?} is no origin such as \"https://dash.example.org\", without a path")),
        None => Ok(list),
    }
}

fn log_target(raw: &Raw) -> Parsed<LogTarget> {
    raw.one_of(&[
        ("auto", LogTarget::Auto),
        ("journald", LogTarget::Journald),
        ("syslog", LogTarget::Syslog),
        ("stderr", LogTarget::Stderr),
    ])
}

fn log_level(raw: &Raw) -> Parsed<LogLevel> {
    raw.one_of(&[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ])
}

/// The file that is read where none is named.
#[must_use]
pub fn default_file() -> &'static Path {
    Path::new("/etc/alertd.toml")
}

#[cfg(test)]
mod tests;
