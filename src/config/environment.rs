//! Settings from the environment: `ALERTD_<SECTION>_<KEY>`, and the variables of the former alert server.

use std::ffi::{OsStr, OsString};

use super::keys::{KEYS, variable};
use super::nearest::remedy_for_variable;
use super::source::{Remarks, Source};

/// Variables of the former alert server, without the prefix, and the keys that they set. A variable with the prefix
/// overrides them.
const LEGACY_VARIABLES: [(&str, &str); 4] = [
    ("STAGE", "stage"),
    ("AUTH_STORE_DIR", "auth.store_dir"),
    ("REDIS_HOST", "engine.redis.host"),
    ("REDIS_PORT", "engine.redis.port"),
];

/// Belongs to `--config`.
const CONFIG: &str = "ALERTD_CONFIG";
/// Protocols of services.
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// A variable that sets a key.
pub(super) struct Set<'a> {
    pub(super) name: &'static str,
    pub(super) text: &'a str,
    pub(super) source: Source,
}

/// The relevant part of the environment.
#[derive(Default)]
pub(super) struct Found<'a> {
    /// The settings, legacy variables first.
    pub(super) set: Vec<Set<'a>>,
    /// Names of variables that look like settings, but were set by a container platform.
    pub(super) foreign: Vec<String>,
}

/// Reads the environment; each unknown name is an error.
pub(super) fn read<'a>(environment: &'a [(OsString, OsString)], errors: &mut Remarks) -> Found<'a> {
    let (mut legacy, mut prefixed, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
    for (given, value) in environment {
        let Some(given) = given.to_str() else { continue };
        let legacy_key = LEGACY_VARIABLES.iter().find(|(known, _)| *known == given).map(|(_, name)| *name);
        if given == CONFIG || legacy_key.is_none() && !given.starts_with("ALERTD_") {
            continue;
        }
        let shown: String = given.escape_debug().take(100).collect();
        if is_set_by_platform(given, value) {
            foreign.push(shown);
            continue;
        }
        let source = Source::Environment(shown);
        let prefixed_key = || KEYS.iter().map(|key| key.name).find(|name| variable(name) == given);
        let Some(name) = legacy_key.or_else(prefixed_key) else {
            errors.add(source, format!("unknown setting; {}", remedy_for_variable(given)));
            continue;
        };
        match value.to_str() {
            None => errors.add(source, format!("{name}: is not UTF-8; correct it")),
            // `.env` files often leave unused variables empty.
            Some("") if legacy_key.is_some() => {}
            Some(text) => {
                let list = if legacy_key.is_some() { &mut legacy } else { &mut prefixed };
                list.push(Set { name, text, source });
            }
        }
    }
    legacy.append(&mut prefixed);
    foreign.sort_unstable();
    Found { set: legacy, foreign }
}

/// Whether a variable has the form of those that Kubernetes sets for each service and Docker for each link. For a service
/// named `redis`, `alertd` or `alertd-http` they look like settings.
fn is_set_by_platform(name: &str, value: &OsStr) -> bool {
    let value = value.to_str().unwrap_or_default();
    let is_address = || value.split_once("://").is_some_and(|(scheme, _)| PROTOCOLS.contains(&scheme));
    // NAME_PORT_6379_TCP, NAME_PORT_6379_TCP_ADDR
    let is_port = |(_, rest): (&str, &str)| {
        let mut parts = rest.split('_');
        let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
        number && parts.next().is_some_and(|part| PROTOCOLS.contains(&part.to_ascii_lowercase().as_str()))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT") && is_address()
        || name.rsplit_once("_PORT_").is_some_and(is_port)
        || name.split_once("_PORT_").is_some_and(is_port)
        || name.ends_with("_NAME") && value.starts_with('/')
        || name.contains("_ENV_")
}

/// The value of a variable, unless it is empty.
pub(super) fn find<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str()).filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_container_platforms_are_told_from_settings() {
        for (name, value) in [
            ("REDIS_PORT", "tcp://10.43.7.19:6379"),
            ("REDIS_PORT", "udp://10.43.7.19:6379"),
            ("ALERTD_PORT", "tcp://[fd00::1]:8080"),
            ("ALERTD_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("ALERTD_PORT_8080_TCP_PROTO", "tcp"),
            ("ALERTD_PORT_8080_TCP_PORT", "8080"),
            ("ALERTD_PORT_132_SCTP_ADDR", "10.0.0.1"),
            ("ALERTD_SERVICE_HOST", "10.0.0.1"),
            ("ALERTD_SERVICE_PORT", "8080"),
            ("ALERTD_SERVICE_PORT_HTTP", "8080"),
            ("ALERTD_HTTP_SERVICE_HOST", "10.0.0.1"),
            ("ALERTD_HTTP_PORT", "tcp://10.0.0.1:80"),
            ("ALERTD_ENGINE_REDIS_PORT", "tcp://10.0.0.1:6379"),
            ("ALERTD_PORT_FORWARD_PORT_53_UDP", "udp://10.0.0.1:53"),
            ("ALERTD_NAME", "/web/alertd"),
            ("ALERTD_ENV_PATH", "/usr/bin"),
        ] {
            assert!(is_set_by_platform(name, OsStr::new(value)), "{name}={value}");
        }
        for (name, value) in [
            ("REDIS_PORT", "6379"),
            ("REDIS_PORT", "none"),
            ("REDIS_PORT", "redis://:hunter2@h"),
            ("REDIS_HOST", "tcp://10.0.0.1"),
            ("ALERTD_PORT", "8080"),
            ("ALERTD_HTTP_PORT", "8080"),
            ("ALERTD_HTTP_LISTEN", "tcp://10.0.0.1:80"),
            ("ALERTD_PORT_HTTP", "8080"),
            ("ALERTD_SERVICE", "x"),
            ("ALERTD_NAME", "blue"),
        ] {
            assert!(!is_set_by_platform(name, OsStr::new(value)), "{name}={value}");
        }
    }

    #[test]
    fn no_setting_is_hidden_by_a_platform() {
        let variables = KEYS
            .iter()
            .map(|key| variable(key.name))
            .chain(LEGACY_VARIABLES.iter().map(|(known, _)| (*known).to_owned()));
        for name in variables {
            assert!(!is_set_by_platform(&name, OsStr::new("value")), "{name}");
        }
    }
}
