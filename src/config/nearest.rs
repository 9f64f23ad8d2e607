//! What an unknown name in the configuration was probably meant to be.

use super::keys::{KEYS, variable};

/// A longer name cannot be a slip of a known one, and comparing it would take long.
const MAX_COMPARED_BYTES: usize = 100;

/// What to do about an unknown key of the file.
pub(super) fn remedy_for_key(name: &str) -> String {
    let leaf = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    if let Some(remedy) = remedy_for_secret(name) {
        return remedy;
    }
    // The right name under the wrong section, or under none, is the commonest slip.
    // [engine.redis] is left out: a bare `port` or `host` is almost never the one of Redis.
    let usual = KEYS.iter().map(|key| key.name).filter(|known| !known.starts_with("engine.redis."));
    let moved: Vec<_> = usual.filter(|known| leaf(known) == leaf(name)).collect();
    let near = match moved[..] {
        [only] => Some(only.to_owned()),
        _ => nearest(name, KEYS.iter().map(|key| key.name.to_owned())),
    };
    remedy(near)
}

/// What to do about an unknown variable.
pub(super) fn remedy_for_variable(name: &str) -> String {
    remedy_for_secret(name).unwrap_or_else(|| remedy(nearest(name, KEYS.iter().map(|key| variable(key.name)))))
}

fn remedy(near: Option<String>) -> String {
    near.map_or_else(|| "alertd.toml(5) lists all".into(), |near| format!("did you mean {near}?"))
}

/// A secret must not be moved to a key that happens to have a similar name.
fn remedy_for_secret(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let is_secret = ["password", "passwd", "secret"].iter().any(|word| name.contains(word)) && !name.contains("file");
    let remedy = if name.contains("redis") {
        "put the secret into a file and name that in engine.redis.password_file"
    } else {
        "take the secret out of here; alertctl key add makes keys"
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
    fn slips_find_the_name_that_was_meant() {
        for (slip, meant) in [
            ("http.lissten", "http.listen"),
            ("htp.listen", "http.listen"),
            ("listen", "http.listen"),
            ("http.retain_age", "alerts.retain_age"),
            ("alerts.retain-age", "alerts.retain_age"),
            ("stag", "stage"),
            ("engine.redis.hosts", "engine.redis.host"),
        ] {
            assert_eq!(remedy_for_key(slip), format!("did you mean {meant}?"), "{slip}");
        }
        assert_eq!(remedy_for_variable("ALERTD_HTP_LISTEN"), "did you mean ALERTD_HTTP_LISTEN?");
        for far in ["http.port", "x.y.z", "a".repeat(5000).as_str()] {
            assert_eq!(remedy_for_key(far), "alertd.toml(5) lists all", "{far}");
        }
    }

    #[test]
    fn a_secret_is_sent_to_a_file() {
        for name in ["engine.redis.password", "ALERTD_ENGINE_REDIS_PASSWORD"] {
            assert!(remedy_for_key(name).ends_with("name that in engine.redis.password_file"), "{name}");
        }
        assert!(remedy_for_key("auth.secret").ends_with("alertctl key add makes keys"));
        assert_eq!(remedy_for_key("engine.redis.pasword_file"), "did you mean engine.redis.password_file?");
    }
}
