//! Converts the configuration into the settings of each layer.

use std::ffi::OsString;
use std::num::NonZero;
use std::time::Duration;

use super::secret::{self, SecretError};
use crate::api::{Listening, Stage};
use crate::config::{Config, Durability, EngineKind, Inputs, Resolved};
use crate::engine::redis::Topology;
use crate::engine::{Clock, Retention, embedded, redis};
use crate::hooks::signature::Secret;
use crate::http::tls::Tls;
use crate::systemd::Unit;
use crate::{http, hub, incident, keyring, log, service};

/// The settings of the GitHub hook; `None` if it is off.
pub(super) fn github(config: &Config, inputs: &Inputs) -> Result<Option<service::GitHub>, SecretError> {
    let secret = secret::read("hooks.github_secret_file", &config.hooks.github_secret_file, inputs)?;
    let topics = config.hooks.github_topics.clone();
    Ok(secret.map(|secret| service::GitHub { secret: Secret::new(secret), topics }))
}

pub(super) fn service(
    resolved: &Resolved,
    github: Option<service::GitHub>,
    listening: Listening,
    tls: Option<&Tls>,
) -> service::Settings {
    let config = &resolved.config;
    service::Settings {
        stage: config.stage,
        latest_ttl: config.alerts.latest_ttl,
        retain_age: config.alerts.retain_age,
        heartbeat: config.http.heartbeat,
        retry: config.http.retry,
        stream_lifetime: config.http.stream_lifetime,
        max_connections: config.http.max_connections,
        max_streams: config.http.max_streams,
        streams_per_key: config.limits.streams_per_key,
        publish_rate: config.limits.publish_rate,
        failed_auth_rate: config.limits.failed_auth_rate,
        github,
        mirror_alerts: config.log.mirror_alerts,
        config_file: resolved.file.as_ref().map(|file| file.display().to_string()),
        listening,
        state_dir: config.state_dir.clone(),
        retain: (config.alerts.retain_count, config.alerts.retain_bytes),
        max_open_incidents: config.incidents.max_open,
        certificate: tls.and_then(Tls::certificate),
    }
}

pub(super) fn http(config: &Config) -> http::Settings {
    http::Settings {
        max_body: config.http.max_body,
        max_hook_body: config.hooks.max_body,
        trusted_proxies: config.http.trusted_proxies.clone(),
        query_token: config.auth.query_token,
        ntfy_below: config.ntfy.below,
        cors_origins: config.http.cors_origins.clone(),
        hsts: config.http.hsts,
        documentation: config.stage == Stage::Dev,
    }
}

pub(super) fn hub(config: &Config) -> hub::Settings {
    hub::Settings {
        memory: config.hub.memory,
        max_subscriptions: config.hub.max_subscriptions,
        max_subscriptions_per_key: config.hub.max_subscriptions_per_key,
    }
}

pub(super) fn embedded(config: &Config, clock: Clock) -> embedded::Settings {
    embedded::Settings {
        directory: config.state_dir.clone(),
        durability: match config.engine.durability {
            Durability::None => embedded::Durability::None,
            _ => embedded::Durability::Fsync,
        },
        retention: retention(config),
        clock,
    }
}

/// The settings of the redis engine, if that is the configured one, for a program that runs outside the service.
///
/// # Errors
/// A secret cannot be read.
pub(crate) fn redis_outside(resolved: &Resolved, inputs: &Inputs) -> Result<Option<redis::Settings>, SecretError> {
    let file = resolved.file.as_ref().unwrap_or(&inputs.default_file);
    let unit = Unit::of_configuration(file);
    // A credential is where systemd will take it from.
    let stored = unit.and_then(|unit| unit.credential(&resolved.config.engine.redis.password_file));
    let stored = stored.map(|path| path.display().to_string());
    redis_with(&resolved.config, stored.as_ref(), inputs)
}

/// The settings of the redis engine, if that is the configured one. Reads its secrets; the name of the node is added later.
pub(super) fn redis(config: &Config, inputs: &Inputs) -> Result<Option<redis::Settings>, SecretError> {
    redis_with(config, None, inputs)
}

fn redis_with(
    config: &Config,
    password_file: Option<&String>,
    inputs: &Inputs,
) -> Result<Option<redis::Settings>, SecretError> {
    let engine = &config.engine;
    if engine.kind != EngineKind::Redis {
        return Ok(None);
    }
    let redis = &engine.redis;
    let topology = if !redis.sentinels.is_empty() {
        Topology::Sentinel { sentinels: redis.sentinels.clone(), service: redis.sentinel_service.clone() }
    } else if !redis.cluster.is_empty() {
        Topology::Cluster { nodes: redis.cluster.clone() }
    } else {
        Topology::Alone { host: redis.host.clone(), port: redis.port }
    };
    Ok(Some(redis::Settings {
        topology,
        username: Some(redis.username.clone()).filter(|name| !name.is_empty()),
        password: secret::read("engine.redis.password_file", password_file.unwrap_or(&redis.password_file), inputs)?,
        tls: if redis.tls {
            Some(redis::Tls { ca: redis.tls_ca.as_deref().map(secret::authorities).transpose()? })
        } else {
            None
        },
        key_prefix: redis.key_prefix.clone(),
        durability: match engine.durability {
            Durability::Replicas(number) => redis::Durability::Replicas(number),
            _ => redis::Durability::Primary,
        },
        retention: retention(config),
        directory: Some(config.state_dir.clone()),
        node: String::new(),
        clock: None,
        local: super::wall_clock(),
    }))
}

pub(super) fn retention(config: &Config) -> Retention {
    Retention {
        age_ms: u64::try_from(config.alerts.retain_age.as_millis()).unwrap_or(u64::MAX),
        count: config.alerts.retain_count,
        bytes: config.alerts.retain_bytes,
        topic_count: config.alerts.topic_count,
    }
}

pub(super) fn incidents(config: &Config) -> incident::Settings {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let incidents = &config.incidents;
    incident::Settings {
        repeat_interval_ms: ms(incidents.repeat_interval),
        remind_after_ms: ms(incidents.remind_after),
        remind_level: incidents.remind_level,
        max_open: incidents.max_open,
        max_open_per_user: incidents.max_open_per_user,
    }
}

pub(super) fn keyring(config: &Config) -> keyring::Settings {
    // At most half of the processors, so that verification does not slow down other requests.
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2);
    keyring::Settings { directory: config.auth.store_dir.clone(), iterations: config.auth.iterations, workers }
}

pub(super) fn log(config: &Config, journal_stream: Option<OsString>) -> log::Settings {
    log::Settings { target: config.log.target, level: config.log.level, identifier: "alertd".into(), journal_stream }
}
