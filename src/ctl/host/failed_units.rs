//! Units that fail and come back: alerts about incidents, for `alertctl journal`.
//!
//! An entry of the service manager about a unit, that it failed or was started, only says when to look at the unit. What is
//! published follows from the state in which systemd then has it. So a unit that is restarted automatically has not failed, a
//! failure is reported once, and nothing depends on a place in the journal: at its start this compares the units that it
//! knows as failed with those that systemd has, and so it does every few minutes, because not every return has an entry (a
//! mount by hand, `systemctl reset-failed`, a unit with `LogLevelMax=`).
//!
//! Failures of units with `OnFailure=alertd-unit-failed@…` are left to `alertctl unit-failed`, but the return of such a unit
//! is reported here. One that failed and came back while nothing was here is not known, so at the start the units whose
//! failures the journal has are resolved, without an alert.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Map;
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval_at, sleep};

use super::entry::Entry;
use super::failure::{FAILED, Failed, FailureAlert};
use super::journal_alert::is_own_unit;
use super::known::{Change, KnownFailure, KnownFailures};
use super::manager::{self, Activity, Unit};
use super::reader::{self, Reader};
use super::{BACK, draft, host, incident_name};
use crate::alert::{IncidentReport, IncidentStatus, Level, Topic};
use crate::ctl::client::Client;
use crate::ctl::deliver::{Await, FOR_EVER, resolve, send, stored_before};
use crate::ctl::exit::Failure;
use crate::ctl::output::note;
use crate::ctl::tail::backoff::Backoff;
use crate::random;
use crate::text::hex;

/// "Started …", "Mounted …", "Finished …" and so on, from the service manager: a start has succeeded.
const STARTED: &str = "39f53479d3a045ac8e11786248231fbf";
/// How often all units are compared.
const COMPARE_INTERVAL: Duration = Duration::from_secs(300);
/// Entries that are taken together.
const MAX_BATCH: usize = 512;
/// How many of the last failures in the journal are looked at when this starts.
const MAX_EARLIER: usize = 1000;
/// How many journal lines of the unit an alert includes.
const LINES: u16 = 10;

/// The units of this machine that fail and come back.
pub(super) struct FailedUnits<'a> {
    topic: Topic,
    client: &'a Client,
    known: KnownFailures,
    is_deaf: bool,
}

impl<'a> FailedUnits<'a> {
    /// Reads the known failures from the file beside the position in the journal.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be read, or holds anything else.
    pub(super) fn open(topic: Topic, client: &'a Client, position: &Path) -> Result<Self, Failure> {
        let mut file = position.to_owned().into_os_string();
        file.push(".failed-units");
        Ok(Self { topic, client, known: KnownFailures::open(file.into())?, is_deaf: false })
    }

    /// Reports failures and returns without end.
    ///
    /// # Errors
    /// [`Failure`] if the journal cannot be read, the file cannot be written, or the daemon refuses the alerts.
    pub(super) async fn run(&mut self) -> Result<(), Failure> {
        let matches = [FAILED, STARTED].map(|id| format!("MESSAGE_ID={id}")).into_iter().chain(["_PID=1".to_owned()]);
        let matches: Vec<String> = matches.collect();
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let mut is_first = true;
        loop {
            // Before the comparison, so that no entry is between the two.
            let end = reader::newest_cursor().await?;
            let mut reader = Reader::start(&reader::from("--follow", end.as_deref(), &matches))?;
            self.compare().await?;
            if std::mem::take(&mut is_first) {
                self.resolve_earlier().await?;
            }
            let mut ticks = interval_at(tokio::time::Instant::now() + COMPARE_INTERVAL, COMPARE_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    entries = reader.some(MAX_BATCH) => {
                        if entries.is_empty() {
                            break;
                        }
                        backoff.succeeded();
                        let units = named(&entries, |unit| self.known.contains(unit));
                        self.look(units).await?;
                    }
                    _ = ticks.tick() => self.compare().await?,
                }
            }
            let ended = reader.end().await;
            note(&ended.err().map_or_else(|| "journalctl ended; starting it again".to_owned(), |e| e.to_string()));
            sleep(backoff.next(None, random::fraction())).await;
        }
    }

    /// Looks at the units that are known as failed, and at those that have failed.
    async fn compare(&mut self) -> Result<(), Failure> {
        let Some(failed) = self.heard(manager::failed().await) else { return Ok(()) };
        let units = failed.into_iter().filter(|unit| !is_own_unit(unit)).chain(self.known.names().cloned()).collect();
        self.look(units).await
    }

    /// Looks at these units, and reports what has become of them.
    async fn look(&mut self, units: BTreeSet<String>) -> Result<(), Failure> {
        if units.is_empty() {
            return Ok(());
        }
        let shown = manager::show(units.iter().map(String::as_str)).await;
        for unit in self.heard(shown).unwrap_or_default() {
            match self.known.change(&unit) {
                Some(Change::Failed) => self.failed(&unit).await?,
                Some(Change::Back(failure)) => self.back(&unit, &failure).await?,
                None => {}
            }
        }
        Ok(())
    }

    async fn failed(&mut self, unit: &Unit) -> Result<(), Failure> {
        let name = &unit.name;
        // Beyond that many, a failure is an alert like any other: its key keeps it from being repeated, and no incident stays
        // open without anything that would resolve it.
        let is_tracked = !self.known.is_full() || self.known.contains(name);
        let host = host();
        if !unit.is_reported {
            let given = Failed::with_result(&unit.result, &unit.run);
            let failed = match given.find_entry(name).await {
                Some(entry) => Failed::from_entry(name, &entry).await,
                None => given,
            };
            let alert = FailureAlert {
                unit: name,
                topic: &self.topic,
                lines: LINES,
                incident: incident_name(&host, name).filter(|_| is_tracked),
                further: None,
                key: key("failed", &host, unit, &unit.run),
                retry_for: FOR_EVER,
            };
            failed.publish(self.client, alert).await?;
        }
        if is_tracked {
            return self.known.insert(name, KnownFailure { host, run: unit.run.clone() });
        }
        note(&format!("too many units have failed: nothing will be published when {name} is back"));
        Ok(())
    }

    async fn back(&mut self, unit: &Unit, failure: &KnownFailure) -> Result<(), Failure> {
        let KnownFailure { host, run } = failure;
        let name = &unit.name;
        let words = if unit.is_active { "is active again" } else { "is not failed any more" };
        let metadata = [("unit", name), ("host", host)].map(|(field, value)| (field.to_owned(), value.as_str().into()));
        let report = incident_name(host, name).map(|name| IncidentReport::new(name, IncidentStatus::Resolved));
        let draft = draft(&self.topic, Level::Info, &format!("{name} {words}"), Map::from_iter(metadata))?;
        let body = draft.reporting(report).publish_body();
        let key = key("back", host, unit, run);
        stored_before(send(self.client, None, &body, &key, (FOR_EVER, Await::Person)).await)?;
        self.known.remove(name)
    }

    /// Resolves the incidents of units that failed and came back while nothing was here.
    async fn resolve_earlier(&mut self) -> Result<(), Failure> {
        let arguments = [format!("--lines={MAX_EARLIER}"), format!("MESSAGE_ID={FAILED}"), "_PID=1".to_owned()];
        let units = named(&reader::read(&arguments, MAX_EARLIER).await?, |_| false);
        if units.is_empty() {
            return Ok(());
        }
        let shown = manager::show(units.iter().map(String::as_str)).await;
        let shown = self.heard(shown).unwrap_or_default();
        let is_back = |unit: &&Unit| unit.activity == Activity::Other && !self.known.contains(&unit.name);
        for name in shown.iter().filter(is_back).filter_map(|unit| incident_name(&host(), &unit.name)) {
            resolve(self.client, &self.topic, &name, BACK, (FOR_EVER, Await::Person)).await?;
        }
        Ok(())
    }

    /// What systemd said. That it said nothing is noted once, until it does.
    fn heard<T>(&mut self, said: Result<T, String>) -> Option<T> {
        if let (Err(why), false) = (&said, self.is_deaf) {
            let remedy = "until systemd answers, failed units are not reported; is dbus installed?";
            note(&format!("cannot ask systemd about units: {why}; {remedy}"));
        }
        self.is_deaf = said.is_err();
        said.ok()
    }
}

/// The units to look at because of these entries: all that failed, and of those that were started the ones of interest.
fn named(entries: &[Entry], is_of_interest: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let unit = |entry: &Entry| {
        let unit = entry.text("UNIT").filter(|unit| !is_own_unit(unit))?;
        let is_failure = entry.text("MESSAGE_ID").is_some_and(|id| id == FAILED);
        (is_failure || is_of_interest(&unit)).then_some(unit)
    };
    entries.iter().filter_map(unit).collect()
}

/// The same for the same change of the same run.
fn key(change: &str, host: &str, unit: &Unit, run: &str) -> String {
    // Without a run, the time tells failures apart.
    let time = if run.is_empty() { unit.changed.as_str() } else { "" };
    format!("unit-{}", hex(&Sha256::digest(format!("{change} {host} {} {run} {time}", unit.name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_looked_at_and_a_start_only_of_a_unit_that_is_known() {
        // As systemd 252 and 257 log them.
        let entries = [
            r#"{"_PID":"1","MESSAGE_ID":"d9b373ed55a64feb8242e02dbe79a49c","UNIT":"mnt-x.mount","UNIT_RESULT":"exit-code","MESSAGE":"mnt-x.mount: Failed with result 'exit-code'."}"#,
            r#"{"_PID":"1","MESSAGE_ID":"39f53479d3a045ac8e11786248231fbf","UNIT":"one.service","JOB_TYPE":"start","JOB_RESULT":"done","MESSAGE":"Finished one.service."}"#,
            r#"{"_PID":"1","MESSAGE_ID":"39f53479d3a045ac8e11786248231fbf","UNIT":"two.service","JOB_TYPE":"start","JOB_RESULT":"done","MESSAGE":"Started two.service."}"#,
            r#"{"_PID":"1","MESSAGE_ID":"d9b373ed55a64feb8242e02dbe79a49c","UNIT":"alertd-journal.service"}"#,
            r#"{"_PID":"1","MESSAGE_ID":"d9b373ed55a64feb8242e02dbe79a49c","USER_UNIT":"of-a-user.service"}"#,
        ];
        let entries: Vec<Entry> = entries.iter().filter_map(|json| Entry::parse(json)).collect();
        let units = named(&entries, |unit| unit == "one.service");
        assert_eq!(units.iter().collect::<Vec<_>>(), ["mnt-x.mount", "one.service"]);
    }
}
