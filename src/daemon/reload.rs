//! Reload: reads configuration, keys and certificates again, without interrupting streams.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{secret, settings};
use crate::api::{Listening, Reloaded};
use crate::config::{self, Inputs, Resolved};
use crate::engine::Engine;
use crate::http;
use crate::http::tls::Tls;
use crate::hub::Hub;
use crate::keyring::Keyring;
use crate::log::{self, Event};
use crate::service::{Actor, Service};
use crate::systemd::Notifier;

/// Everything that a reload can change.
pub(super) struct Reloader {
    pub(super) inputs: Inputs,
    /// The configuration at the start, from which follows which changes need a restart.
    pub(super) resolved: Resolved,
    pub(super) service: Arc<Service>,
    pub(super) http: Arc<ArcSwap<http::Settings>>,
    pub(super) hub: Hub,
    pub(super) engine: Engine,
    pub(super) keyring: Arc<Keyring>,
    pub(super) stale_max: watch::Sender<Duration>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) listening: Listening,
}

impl Reloader {
    /// Applies the whole new configuration or, if it has errors, nothing. The errors are logged and returned.
    pub(super) async fn reload(
        &mut self,
        by: &Actor,
        notifier: &Notifier,
        log: &log::Handle,
    ) -> Result<Reloaded, Vec<String>> {
        notifier.reloading();
        let done = self.apply(log).await;
        self.service.note_reload(&done);
        match &done {
            Ok(reloaded) => {
                let needs_restart = reloaded.needs_restart.join(", ");
                let but = if needs_restart.is_empty() {
                    String::new()
                } else {
                    format!("; these need a restart: {needs_restart}")
                };
                tracing::info!(
                    message_id = %Event::Reloaded,
                    needs_restart,
                    by = by.id(),
                    by_user = by.user(),
                    by_uid = by.uid(),
                    "configuration, keys and certificates were reloaded by {by}{but}"
                );
                notifier.ready(&if needs_restart.is_empty() {
                    "reloaded".to_owned()
                } else {
                    format!("reloaded; restart to apply {needs_restart}")
                });
            }
            Err(errors) => {
                let errors = errors.join("\n");
                tracing::error!(
                    message_id = %Event::ReloadRefused,
                    by = by.id(),
                    by_user = by.user(),
                    by_uid = by.uid(),
                    "reloaded by {by}, the new configuration is invalid, keeping the current one:\n{errors}"
                );
                notifier.ready("reload failed, keeping the current configuration: see the journal");
            }
        }
        done
    }

    /// Settings of TLS that are credentials: systemd passes the same ones until the next start, whatever became of their
    /// sources.
    fn fixed_certificate(&self, files: Option<(PathBuf, PathBuf)>) -> impl Iterator<Item = String> {
        let directory = self.inputs.credentials();
        let named = files.into_iter().flat_map(|(cert, key)| [("http.tls_cert", cert), ("http.tls_key", key)]);
        let is_fixed = move |file: &PathBuf| directory.as_ref().is_some_and(|directory| file.starts_with(directory));
        named.filter(move |(_, file)| is_fixed(file)).map(|(name, _)| name.to_owned())
    }

    async fn apply(&mut self, log: &log::Handle) -> Result<Reloaded, Vec<String>> {
        let one = |error: String| vec![error];
        let new = config::load(&self.inputs).map_err(|errors| errors.0)?;
        let config = &new.config;
        // Not applied before the keys are read, because these may have errors too.
        let files = secret::certificate_files(config, &self.inputs, None).map_err(|error| one(error.to_string()))?;
        let certificates = files.as_ref().map(|(cert, key)| Tls::load(cert, key)).transpose();
        let certificates = certificates.map_err(|error| one(error.to_string()))?;
        let github = settings::github(config, &self.inputs).map_err(|error| one(error.to_string()))?;
        // Of the settings in force: changed ones wait for a restart, and what belongs to them would not fit.
        let fleet = settings::redis(&self.resolved.config, &self.inputs).map_err(|error| one(error.to_string()))?;
        let keyring = Arc::clone(&self.keyring);
        // The keys of a fleet are followed anyway, and a reload must work while Redis is unavailable.
        let is_file = self.resolved.config.auth.store == config::Store::File;
        let reread = tokio::task::spawn_blocking(move || if is_file { keyring.reload() } else { Ok(0) }).await;
        reread.map_err(|error| one(error.to_string()))?.map_err(|error| one(error.to_string()))?;
        if let (Some(tls), Some(new)) = (&self.tls, &certificates) {
            tls.replace(new);
        }
        self.service.configure(settings::service(&new, github, self.listening.clone(), self.tls.as_deref()));
        self.http.store(Arc::new(settings::http(config)));
        self.stale_max.send_replace(config.auth.stale_max);
        self.hub.configure(settings::hub(config));
        self.engine.set_retention(settings::retention(config));
        self.engine.set_incidents(settings::incidents(config));
        fleet.iter().for_each(|fleet| self.engine.set_secrets(fleet));
        log.set_level(config.log.level);
        let mut needs_restart: Vec<_> =
            self.resolved.config.restart_needed(config).into_iter().map(str::to_owned).collect();
        needs_restart
            .extend(self.fixed_certificate(files).filter(|name| !needs_restart.contains(name)).collect::<Vec<_>>());
        Ok(Reloaded { needs_restart, warnings: new.warnings })
    }
}
