//! The environment: `ALERTD_<SECTION>_<KEY>`, and the names of older set-ups.

use std::ffi::{OsStr, OsString};

use super::keys::{KEYS, variable};
use super::nearest::remedy_for_variable;
use super::source::{Remarks, Source};

/// Names without the prefix, for their keys. Those with the prefix win.
const SEEDS: [(&str, &str); 4] = [
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

/// What the environment sets, the stronger after the weaker; each unknown name is an error.
pub(super) fn read<'a>(environment: &'a [(OsString, OsString)], errors: &mut Remarks) -> Vec<Set<'a>> {
    let (mut seeds, mut own) = (Vec::new(), Vec::new());
    for (given, value) in environment {
        let Some(given) = given.to_str() else { continue };
        let seed = SEEDS.iter().find(|(seed, _)| *seed == given).map(|(_, name)| *name);
        if seed.is_none() && !given.starts_with("ALERTD_") {
            continue;
        }
        let source = Source::Environment(given.escape_debug().take(100).collect());
        let named = || KEYS.iter().map(|key| key.name).find(|name| variable(name) == given);
        let Some(name) = seed.or_else(named) else {
            if !belongs_to_others(given) {
                errors.add(source, format!("there is no such setting; {}", remedy_for_variable(given)));
            }
            continue;
        };
        match value.to_str() {
            None => errors.add(source, format!("{name}: is not UTF-8; write it so")),
            // `.env` files leave empty what is not used.
            Some("") if seed.is_some() => {}
            Some(text) => if seed.is_some() { &mut seeds } else { &mut own }.push(Set { name, text, source }),
        }
    }
    seeds.append(&mut own);
    seeds
}

/// Container platforms inject some for a service that is called alertd; `--config` has the last.
fn belongs_to_others(name: &str) -> bool {
    name.starts_with("ALERTD_PORT") || name.starts_with("ALERTD_SERVICE_") || name == "ALERTD_CONFIG"
}

/// The text of a variable, empty ones being as good as none.
pub(super) fn find<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str()).filter(|v| !v.is_empty())
}
