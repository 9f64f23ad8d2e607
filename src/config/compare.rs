//! Errors and warnings that concern several settings together.
//!
//! Called after every value was parsed by itself.

use super::keys::{Apply, KEYS, Key};
use super::load::{Loader, default_of};
use super::settings::{Config, Engine, EngineKind, Redis, Store};
use super::source::Source;
use super::value::Raw;

impl Config {
    /// The keys whose value in `new` takes effect only after a restart, in the order of the file. A reload applies all other
    /// changes.
    #[must_use]
    pub(crate) fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        let needs_restart = |key: &&Key| match key.apply {
            Apply::Live => false,
            Apply::Restart => (key.differs)(self, new),
            Apply::Switch => (key.differs)(self, new) && self.http.tls().is_some() != new.http.tls().is_some(),
        };
        KEYS.iter().filter(needs_restart).map(|key| key.name).collect()
    }
}

impl Loader {
    pub(super) fn compare(&mut self, config: &Config) {
        // Looks at the raw values, because a value that is set but invalid has its own error and is not missing.
        let empty = Raw::Text(String::new());
        let is_unset = |name| self.values.get(name).is_none_or(|(raw, _)| *raw == empty);
        if config.http.tls_cert.is_some() && is_unset("http.tls_key") {
            self.refuse("http.tls_cert", "requires http.tls_key; set both, or neither");
        } else if config.http.tls_key.is_some() && is_unset("http.tls_cert") {
            self.refuse("http.tls_key", "requires http.tls_cert; set both, or neither");
        }
        if config.control_socket == config.publish_socket && config.control_socket.is_absolute() {
            // The error is about the one that was set, not about the default.
            let is_default = matches!(self.values.get("publish_socket"), Some((_, Source::Default)));
            let name = if is_default { "control_socket" } else { "publish_socket" };
            self.refuse(
                name,
                "is the same path as the other socket, which would give publishers full access; choose different paths",
            );
        }
        if !self.errors.is_empty() {
            // The checks below would report consequences of these errors.
            return;
        }
        let Engine { kind, durability, ref redis } = config.engine;
        if durability.engine() != kind {
            let shown = self.values.get("engine.durability").map_or_else(String::new, |(raw, _)| raw.show());
            self.refuse(
                "engine.durability",
                &match kind {
                    EngineKind::Embedded => {
                        format!("{shown} is for the redis engine; write \"fsync\" or \"none\"")
                    }
                    EngineKind::Redis => {
                        format!("{shown} is for the embedded engine; write \"primary\" or \"replicas:N\"")
                    }
                },
            );
        }
        if config.auth.store == Store::Engine && kind == EngineKind::Embedded {
            self.refuse("auth.store", "the embedded engine does not store keys; write \"file\"");
        }
        match kind {
            EngineKind::Embedded => self.warn_of_redis(|_| true, "with the embedded engine"),
            EngineKind::Redis => self.compare_redis(redis),
        }
    }

    fn compare_redis(&mut self, redis: &Redis) {
        let servers = [
            ("engine.redis.host", !redis.host.is_empty()),
            ("engine.redis.sentinels", !redis.sentinels.is_empty()),
            ("engine.redis.cluster", !redis.cluster.is_empty()),
        ];
        let set: Vec<_> = servers.into_iter().filter_map(|(name, is_set)| is_set.then_some(name)).collect();
        match set.as_slice() {
            [_] => {}
            [] => self.refuse(
                "engine.kind",
                "\"redis\" requires a server; set engine.redis.host, engine.redis.sentinels or engine.redis.cluster",
            ),
            [first, rest @ ..] => {
                for name in rest {
                    self.refuse(name, &format!("cannot be combined with {first}; keep one of them"));
                }
            }
        }
        if redis.host.is_empty() {
            self.warn_of_redis(|name| name == "engine.redis.port", "without engine.redis.host");
        }
        if redis.sentinels.is_empty() {
            self.warn_of_redis(|name| name == "engine.redis.sentinel_service", "without engine.redis.sentinels");
        }
        if redis.tls_ca.is_some() && !redis.tls {
            self.refuse("engine.redis.tls_ca", "requires engine.redis.tls = true; set both, or neither");
        }
    }

    /// Warns of keys of [engine.redis] that have no effect. Default values are ignored, because a copy of the example file
    /// sets all of them.
    fn warn_of_redis(&mut self, concerns: impl Fn(&str) -> bool, reason: &str) {
        for key in KEYS.iter().filter(|key| key.name.starts_with("engine.redis.") && concerns(key.name)) {
            if let Some((raw, source)) = self.values.get(key.name)
                && default_of(key).as_ref() != Some(raw)
            {
                self.warnings.add(source.clone(), format!("{}: has no effect {reason}; remove it", key.name));
            }
        }
    }
}
