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

/// A variable that sets a key.
pub(super) struct Set<'a> {
    pub(super) name: &'static str,
    pub(super) text: &'a str,
    pub(super) source: Source,
}

/// The settings in the environment, legacy variables first. Each unknown name is an error.
pub(super) fn read<'a>(environment: &'a [(OsString, OsString)], errors: &mut Remarks) -> Vec<Set<'a>> {
    let (mut legacy, mut prefixed) = (Vec::new(), Vec::new());
    for (given, value) in environment {
        let Some(given) = given.to_str() else { continue };
        let legacy_key = LEGACY_VARIABLES.iter().find(|(known, _)| *known == given).map(|(_, name)| *name);
        if legacy_key.is_none() && !given.starts_with("ALERTD_") {
            continue;
        }
        let source = Source::Environment(given.escape_debug().take(100).collect());
        let prefixed_key = || KEYS.iter().map(|key| key.name).find(|name| variable(name) == given);
        let Some(name) = legacy_key.or_else(prefixed_key) else {
            if !belongs_to_others(given) {
                errors.add(source, format!("unknown setting; {}", remedy_for_variable(given)));
            }
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
    legacy
}

/// Whether a variable with the prefix is not a setting: container platforms set ALERTD_PORT and ALERTD_SERVICE_* for a
/// service named alertd, and ALERTD_CONFIG belongs to `--config`.
fn belongs_to_others(name: &str) -> bool {
    name.starts_with("ALERTD_PORT") || name.starts_with("ALERTD_SERVICE_") || name == "ALERTD_CONFIG"
}

/// The value of a variable, unless it is empty.
pub(super) fn find<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str()).filter(|v| !v.is_empty())
}
