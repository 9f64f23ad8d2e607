//! `alertctl unit-failed`: publishes an alert about a failed unit, and one more if it soon fails again.
//!
//! The journal has the details of each failure, and they are counted there. For the first failure the details also come in
//! environment variables, because the journal may have the entry only later.
//!
//! The alert reports an incident if the unit stays failed and `alertd-journal.service` is enabled, which resolves it when the
//! unit is back. If the unit came back before the alert was stored, that service may have looked before; the incident is
//! then resolved here.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::entry::Entry;
use super::failure::{Failed, FailureAlert, failures};
use super::manager::{self, Activity, Unit};
use super::{BACK, host, incident_name};
use crate::alert::IncidentName;
use crate::ctl::args::UnitFailed;
use crate::ctl::client::Client;
use crate::ctl::deliver::{Await, resolve};
use crate::ctl::exit::Failure;
use crate::ctl::output::note;
use crate::ctl::publish::random_key;

/// The time of watching for further failures doubles up to this.
const MAX_WATCH: Duration = Duration::from_secs(3600);
/// How often a unit is looked at while it starts.
const START_INTERVAL: Duration = Duration::from_secs(1);
/// The service that reports when units are back.
const JOURNAL_SERVICE: &str = "alertd-journal.service";

/// Maximum length of NAME so that `alertd-unit-failed@NAME.service` has the 255 characters that a unit's name may have.
const MAX_INSTANCE: usize = 255 - "alertd-unit-failed@.service".len();

/// Publishes an alert about the failure, then watches for further failures.
///
/// # Errors
/// [`Failure`] if the first alert could not be published.
pub(crate) async fn run(mut args: UnitFailed, client: &Client) -> Result<(), Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    args.unit = failed_unit(args.unit, variable("MONITOR_UNIT"));
    let given = Failed::from_environment(&args.unit, variable);
    let mut last_entry = match &given {
        Some(failed) => failed.find_entry(&args.unit).await,
        None => failures(&args.unit, &["--lines=1".to_owned()]).await.pop(),
    };
    let failed = match (given, &last_entry) {
        (Some(failed), _) => failed,
        (None, Some(entry)) => Failed::from_entry(&args.unit, entry).await,
        (None, None) => {
            note(&format!("the journal has no failure of {}", args.unit));
            Failed::with_result("unknown", "")
        }
    };
    publish(&args, client, &failed, None).await?;
    let mut quiet = args.quiet.min(MAX_WATCH);
    while !quiet.is_zero() {
        let began = Instant::now();
        sleep(quiet).await;
        let after = match last_entry.as_ref().and_then(Entry::cursor) {
            Some(cursor) => format!("--after-cursor={cursor}"),
            None => format!("--since=-{}s", began.elapsed().as_secs() + 1),
        };
        let mut more = failures(&args.unit, &[after]).await;
        let count = more.len();
        let Some(last) = more.pop() else { break };
        let failed = Failed::from_entry(&args.unit, &last).await;
        last_entry = Some(last);
        // Keep watching: the alert about the next failure may get through.
        if let Err(failure) = publish(&args, client, &failed, Some((count, quiet))).await {
            note(&failure.to_string());
        }
        quiet = quiet.saturating_mul(2).min(MAX_WATCH);
    }
    Ok(())
}

/// The unit that failed. systemd cannot name an instance after a unit with a very long name; the instance then has any other
/// name, and the environment names the unit.
fn failed_unit(instance: String, monitored: Option<String>) -> String {
    monitored.filter(|unit| unit.len() > MAX_INSTANCE).unwrap_or(instance)
}

async fn publish(
    args: &UnitFailed,
    client: &Client,
    failed: &Failed,
    further: Option<(usize, Duration)>,
) -> Result<(), Failure> {
    let UnitFailed { unit, topic, lines, retry_for, .. } = args;
    let incident = incident(unit).await;
    let alert = FailureAlert {
        unit,
        topic,
        lines: *lines,
        incident: incident.clone(),
        further,
        key: random_key()?,
        retry_for: *retry_for,
    };
    failed.publish(client, alert).await?;
    match incident {
        Some(name) if is_back(unit).await => resolve(client, topic, &name, BACK, (*retry_for, Await::Person)).await,
        _ => Ok(()),
    }
}

/// The incident that an alert about this unit reports: none if systemd is about to restart the unit, or if nothing would
/// resolve the incident.
async fn incident(unit: &str) -> Option<IncidentName> {
    let units = manager::show([unit, JOURNAL_SERVICE]).await.unwrap_or_default();
    let is = |name: &str, test: fn(&Unit) -> bool| units.iter().any(|unit| unit.name == name && test(unit));
    let is_reported =
        is(unit, |unit| unit.activity == Activity::Failed) && is(JOURNAL_SERVICE, |unit| unit.follows_units);
    is_reported.then(|| incident_name(&host(), unit)).flatten()
}

/// Whether the unit is not failed any more. Waits for the end of a start.
async fn is_back(unit: &str) -> bool {
    let deadline = Instant::now() + MAX_WATCH;
    loop {
        let shown = manager::show([unit]).await.unwrap_or_default();
        match shown.first().map(|unit| unit.activity) {
            Some(Activity::Starting) if Instant::now() < deadline => sleep(START_INTERVAL).await,
            activity => return activity == Some(Activity::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_unit_whose_name_is_too_long_for_an_instance() {
        let long = format!("{}.service", "x".repeat(240));
        assert_eq!(failed_unit("word".into(), Some(long.clone())), long);
        assert_eq!(failed_unit("a.service".into(), Some("b.service".into())), "a.service");
        assert_eq!(failed_unit("a.service".into(), None), "a.service");
    }
}
