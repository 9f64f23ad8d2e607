//! What is wrong with a value only beside another one.
//!
//! Called when every value was read by itself.

use super::keys::{Apply, KEYS, Key};
use super::load::{Loader, default_of};
use super::settings::{Config, Engine, EngineKind, Redis, Store};
use super::source::Source;
use super::value::Raw;

impl Config {
    /// The keys whose value in `new` waits for a restart, in the order of the file. All other changes a reload puts into
    /// force.
    #[must_use]
    pub(crate) fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        let waits = |key: &&Key| match key.apply {
            Apply::Live => false,
            Apply::Restart => (key.differs)(self, new),
            Apply::Switch => (key.differs)(self, new) && self.http.tls().is_some() != new.http.tls().is_some(),
        };
        KEYS.iter().filter(waits).map(|key| key.name).collect()
    }
}

impl Loader {
    pub(super) fn compare(&mut self, config: &Config) {
        // One that is set but wrong has its own error, and is not missing.
        let nothing = Raw::Text(String::new());
        let is_unset = |name| self.values.get(name).is_none_or(|(raw, _)| *raw == nothing);
        if config.http.tls_cert.is_some() && is_unset("http.tls_key") {
            self.refuse("http.tls_cert", "stands alone; set http.tls_key too, or neither");
        } else if config.http.tls_key.is_some() && is_unset("http.tls_cert") {
            self.refuse("http.tls_key", "stands alone; set http.tls_cert too, or neither");
        }
        if config.control_socket == config.publish_socket && config.control_socket.is_absolute() {
            // The one that somebody set is the one to mend.
            let is_default = matches!(self.values.get("publish_socket"), Some((_, Source::Default)));
            let name = if is_default { "control_socket" } else { "publish_socket" };
            self.refuse(
                name,
                "is the same path as the other socket, so publishers could do everything; choose two paths",
            );
        }
        if !self.errors.is_empty() {
            // What is wrong with the engine follows from values that were not all read.
            return;
        }
        let Engine { kind, durability, ref redis } = config.engine;
        if durability.engine() != kind {
            let shown = self.values.get("engine.durability").map_or_else(String::new, |(raw, _)| raw.show());
            self.refuse(
                "engine.durability",
                &match kind {
                    EngineKind::Embedded => {
                        format!("{shown} belongs to the redis engine; write \"fsync\" or \"none\"")
                    }
                    EngineKind::Redis => {
                        format!("{shown} belongs to the embedded engine; write \"primary\" or \"replicas:N\"")
                    }
                },
            );
        }
        if config.auth.store == Store::Engine && kind == EngineKind::Embedded {
            self.refuse("auth.store", "the embedded engine keeps no keys; write \"file\"");
        }
        match kind {
            EngineKind::Embedded => self.warn_of_redis(|_| true, "on the embedded engine"),
            EngineKind::Redis => self.compare_redis(redis),
        }
    }

    fn compare_redis(&mut self, redis: &Redis) {
        let ways = [
            ("engine.redis.host", !redis.host.is_empty()),
            ("engine.redis.sentinels", !redis.sentinels.is_empty()),
            ("engine.redis.cluster", !redis.cluster.is_empty()),
        ];
        let set: Vec<_> = ways.into_iter().filter_map(|(name, is_set)| is_set.then_some(name)).collect();
        match set.as_slice() {
            [_] => {}
            [] => self
                .refuse("engine.kind", "\"redis\" needs a server; set one of engine.redis.host, sentinels and cluster"),
            [first, rest @ ..] => {
                for name in rest {
                    self.refuse(name, &format!("stands beside {first}; keep one of them"));
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
            self.refuse("engine.redis.tls_ca", "stands alone; set engine.redis.tls = true too, or neither");
        }
    }

    /// Of keys that are set in vain. A copy of the whole example sets them all, to nothing.
    fn warn_of_redis(&mut self, concerns: impl Fn(&str) -> bool, where_to: &str) {
        for key in KEYS.iter().filter(|key| key.name.starts_with("engine.redis.") && concerns(key.name)) {
            if let Some((raw, source)) = self.values.get(key.name)
                && default_of(key).as_ref() != Some(raw)
            {
                let reason = format!("{}: has no effect {where_to}; remove it", key.name);
                self.warnings.add(source.clone(), reason);
            }
        }
    }
}
