//! Suggestions for unknown names in the configuration.

use super::keys::{KEYS, variable};

/// A longer name cannot be a misspelled key, and comparing it would take long.
const MAX_COMPARED_BYTES: usize = 100;

/// The remedy for an unknown key of the file.
pub(super) fn remedy_for_key(name: &str) -> String {
    let leaf = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    if let Some(remedy) = remedy_for_secret(name) {
        return remedy;
    }
    // The most common mistake is the right name in the wrong section, or in none.
    // [engine.redis] is left out, because a bare `port` or `host` is almost never the one of Redis.
    let candidates = KEYS.iter().map(|key| key.name).filter(|known| !known.starts_with("engine.redis."));
    let same_leaf: Vec<_> = candidates.filter(|known| leaf(known) == leaf(name)).collect();
    let near = match same_leaf[..] {
        [only] => Some(only.to_owned()),
        _ => nearest(name, KEYS.iter().map(|key| key.name.to_owned())),
    };
    remedy(near)
}

/// The remedy for an unknown variable.
pub(super) fn remedy_for_variable(name: &str) -> String {
    remedy_for_secret(name).unwrap_or_else(|| remedy(nearest(name, KEYS.iter().map(|key| variable(key.name)))))
}

fn remedy(near: Option<String>) -> String {
    near.map_or_else(|| "see alertd.toml(5) for all settings".into(), |near| format!("did you mean {near}?"))
}

/// The remedy for a name that suggests a secret: no similar key, because a secret must not be moved there.
fn remedy_for_secret(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let is_secret = ["password", "passwd", "secret"].iter().any(|word| name.contains(word)) && !name.contains("file");
    let remedy = if name.contains("redis") {
        "put the secret into a file and set engine.redis.password_file to its path"
    } else {
        "remove the secret; alertctl key add creates keys"
    };
    is_secret.then(|| remedy.to_owned())
}

fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    if name.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let (distance, best) = known.map(|known| (strsim::levenshtein(name, &known), known)).min()?;
    (distance <= 1 + name.len() / 4).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_name_gets_the_right_suggestion() {
        for (misspelled, expected) in [
            ("http.lissten", "http.listen"),
            ("htp.listen", "http.listen"),
            ("listen", "http.listen"),
            ("http.retain_age", "alerts.retain_age"),
            ("alerts.retain-age", "alerts.retain_age"),
            ("stag", "stage"),
            ("engine.redis.hosts", "engine.redis.host"),
        ] {
            assert_eq!(remedy_for_key(misspelled), format!("did you mean {expected}?"), "{misspelled}");
        }
        assert_eq!(remedy_for_variable("ALERTD_HTP_LISTEN"), "did you mean ALERTD_HTTP_LISTEN?");
        for far in ["http.port", "x.y.z", "a".repeat(5000).as_str()] {
            assert_eq!(remedy_for_key(far), "see alertd.toml(5) for all settings", "{far}");
        }
    }

    #[test]
    fn the_remedy_for_a_secret_is_a_file() {
        for name in ["engine.redis.password", "ALERTD_ENGINE_REDIS_PASSWORD"] {
            assert!(remedy_for_key(name).ends_with("set engine.redis.password_file to its path"), "{name}");
        }
        assert!(remedy_for_key("auth.secret").ends_with("alertctl key add creates keys"));
        assert_eq!(remedy_for_key("engine.redis.pasword_file"), "did you mean engine.redis.password_file?");
    }
}
