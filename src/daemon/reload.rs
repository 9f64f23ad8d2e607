//! Reading file, keys and certificates again without touching a stream.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::settings;
use crate::api::Reloaded;
use crate::config::{self, Inputs, Resolved};
use crate::engine::Engine;
use crate::http;
use crate::http::tls::Tls;
use crate::hub::Hub;
use crate::keyring::Keyring;
use crate::log::{self, Event};
use crate::service::Service;
use crate::systemd::Notifier;

/// All that can change while the daemon runs.
pub(super) struct Reloader {
    pub(super) inputs: Inputs,
    /// As of the start: what only a restart changes is compared with it.
    pub(super) resolved: Resolved,
    pub(super) service: Arc<Service>,
    pub(super) http: Arc<ArcSwap<http::Settings>>,
    pub(super) hub: Hub,
    pub(super) engine: Engine,
    pub(super) keyring: Arc<Keyring>,
    pub(super) stale_max: watch::Sender<Duration>,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Reloader {
    /// All of it comes into force, or nothing. The errors are for whoever asked, and in the log.
    pub(super) async fn reload(&mut self, notifier: &Notifier, log: &log::Handle) -> Result<Reloaded, Vec<String>> {
        notifier.reloading();
        let done = self.apply(log).await;
        match &done {
            Ok(reloaded) => {
                let needs_restart = reloaded.needs_restart.join(", ");
                tracing::info!(
                    message_id = %Event::Reloaded,
                    needs_restart,
                    "configuration, keys and certificates read again"
                );
                notifier.ready(&if needs_restart.is_empty() {
                    "reloaded".to_owned()
                } else {
                    format!("reloaded; waiting for a restart: {needs_restart}")
                });
            }
            Err(errors) => {
                let errors = errors.join("\n");
                tracing::error!(
                    message_id = %Event::ReloadRefused,
                    "the new configuration is refused, the old one stays in force:\n{errors}"
                );
                notifier.ready("reload refused, the old configuration stays in force: see the journal");
            }
        }
        done
    }

    async fn apply(&mut self, log: &log::Handle) -> Result<Reloaded, Vec<String>> {
        let one = |error: String| vec![error];
        let new = config::load(&self.inputs).map_err(|errors| errors.0)?;
        let config = &new.config;
        // Only read, so that nothing is in force yet if the keys are refused.
        let certificates = config.http.tls().map(|(cert, key)| Tls::load(cert, key)).transpose();
        let certificates = certificates.map_err(|error| one(error.to_string()))?;
        let github = settings::github(config, &self.inputs).map_err(|error| one(error.to_string()))?;
        let keyring = Arc::clone(&self.keyring);
        // Those of a fleet are followed anyway, and must not keep a node from its configuration while they are away.
        let is_file = self.resolved.config.auth.store == config::Store::File;
        let reread = tokio::task::spawn_blocking(move || if is_file { keyring.reload() } else { Ok(0) }).await;
        reread.map_err(|error| one(error.to_string()))?.map_err(|error| one(error.to_string()))?;
        if let (Some(tls), Some(new)) = (&self.tls, &certificates) {
            tls.replace(new);
        }
        self.service.configure(settings::service(&new, github));
        self.http.store(Arc::new(settings::http(config)));
        self.stale_max.send_replace(config.auth.stale_max);
        self.hub.configure(settings::hub(config));
        self.engine.set_retention(settings::retention(config));
        log.set_level(settings::level(config));
        let waiting = self.resolved.config.restart_needed(config);
        Ok(Reloaded { needs_restart: waiting.into_iter().map(str::to_owned).collect(), warnings: new.warnings })
    }
}
