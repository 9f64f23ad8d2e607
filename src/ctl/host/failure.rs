//! A failure of a unit: what the journal and the service manager say about it, and the alert that reports it.
//!
//! The service manager logs each failure with a fixed MESSAGE_ID, in every release and whether or not it restarts the unit.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::entry::Entry;
use super::reader;
use super::{draft, host, last_lines};
use crate::alert::{IncidentName, IncidentReport, IncidentStatus, Level, Topic};
use crate::ctl::client::{Client, ClientError};
use crate::ctl::deliver::{Await, Undelivered, send, stored_before};
use crate::ctl::exit::Failure;
use crate::ctl::output::note;
use crate::text::truncate;

/// "Failed with result …", from the service manager.
pub(super) const FAILED: &str = "d9b373ed55a64feb8242e02dbe79a49c";
/// "Main process exited …", from the service manager.
const EXITED: &str = "MESSAGE_ID=98e322203f7a4ed290d09fe03c09fe15";
/// How long to wait until the journal has the entry of the failure.
const JOURNAL_DELAY: Duration = Duration::from_millis(500);
/// Maximum bytes of one journal line.
const MAX_LINE: usize = 400;
/// Failures are counted up to this number in one alert.
const MAX_FAILURES: usize = 10_000;

/// How a unit failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failed {
    /// `exit-code`, `signal`, `timeout` and so on.
    result: String,
    /// `exited`, `killed` or `dumped`, if a process ended.
    code: Option<String>,
    /// The exit code, or the signal.
    status: Option<String>,
    invocation: Option<String>,
}

/// An alert about one or several failures of a unit.
pub(super) struct FailureAlert<'a> {
    pub(super) unit: &'a str,
    pub(super) topic: &'a Topic,
    /// How many journal lines of the unit it includes.
    pub(super) lines: u16,
    pub(super) incident: Option<IncidentName>,
    /// How many failures it is about, and the time since the last alert, if it is not the first one.
    pub(super) further: Option<(usize, Duration)>,
    /// Identifies repeats.
    pub(super) key: String,
    pub(super) retry_for: Duration,
}

/// The service manager's entries about failures of the unit; none if the journal cannot be read.
pub(super) async fn failures(unit: &str, arguments: &[String]) -> Vec<Entry> {
    let matches = [format!("MESSAGE_ID={FAILED}"), format!("UNIT={unit}")];
    let found = reader::read(&[arguments, &matches].concat(), MAX_FAILURES).await;
    found.unwrap_or_else(|failure| {
        note(&failure.to_string());
        Vec::new()
    })
}

impl Failed {
    /// A failure of which only the result is known, and the run if that is not empty.
    pub(super) fn with_result(result: &str, invocation: &str) -> Self {
        let invocation = (!invocation.is_empty()).then(|| invocation.to_owned());
        Self { result: result.to_owned(), invocation, ..Self::default() }
    }

    /// The details that the service manager puts into the environment of a unit started by `OnFailure=`. It gives none if
    /// several failed units started it.
    pub(super) fn from_environment(unit: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        if variable("MONITOR_UNIT")? != unit {
            return None;
        }
        Some(Self {
            result: variable("MONITOR_SERVICE_RESULT")?,
            code: variable("MONITOR_EXIT_CODE"),
            status: variable("MONITOR_EXIT_STATUS"),
            invocation: variable("MONITOR_INVOCATION_ID"),
        })
    }

    pub(super) async fn from_entry(unit: &str, entry: &Entry) -> Self {
        let invocation = entry.text("INVOCATION_ID");
        let result = entry.text("UNIT_RESULT").unwrap_or_else(|| "unknown".to_owned());
        let mut failed = Self { result, invocation, ..Self::default() };
        if let Some(invocation) = &failed.invocation {
            let arguments = ["--lines=1", EXITED, &format!("UNIT={unit}"), &format!("INVOCATION_ID={invocation}")];
            let exited = reader::read(&arguments.map(str::to_owned), 1).await.unwrap_or_default();
            if let Some(exited) = exited.first() {
                (failed.code, failed.status) = (exited.text("EXIT_CODE"), exited.text("EXIT_STATUS"));
            }
        }
        failed
    }

    /// The journal entry of this failure. Waits for it up to [`JOURNAL_DELAY`].
    pub(super) async fn find_entry(&self, unit: &str) -> Option<Entry> {
        let invocation = self.invocation.as_ref()?;
        let deadline = Instant::now() + JOURNAL_DELAY;
        loop {
            let arguments = ["--lines=1".to_owned(), format!("INVOCATION_ID={invocation}")];
            let found = failures(unit, &arguments).await.pop();
            if found.is_some() || Instant::now() >= deadline {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Publishes this failure, which is the last one of those that the alert is about.
    ///
    /// # Errors
    /// [`Failure`] if the alert is not stored, or may not be.
    pub(super) async fn publish(&self, client: &Client, alert: FailureAlert<'_>) -> Result<(), Failure> {
        let FailureAlert { unit, topic, lines, incident, further, key, retry_for } = alert;
        let mut metadata = self.metadata(unit);
        let mut message = format!("{unit} failed: {}", self.reason());
        if let Some((count, within)) = further {
            message = format!("{unit} failed {count} more times in {} s: {}", within.as_secs(), self.reason());
            metadata.insert("failures".to_owned(), count.into());
        }
        let body = |metadata| {
            let report = incident.clone().map(|name| IncidentReport::new(name, IncidentStatus::Open));
            Ok::<_, Failure>(draft(topic, Level::Error, &message, metadata)?.reporting(report).publish_body())
        };
        let plain = body(metadata.clone())?;
        metadata.insert("journal".to_owned(), self.lines(unit, lines).await.into());
        match send(client, None, &body(metadata)?, &key, (retry_for, Await::Person)).await {
            // With a small http.max_body, the alert without journal lines still gets through.
            Err(Undelivered::Refused(ClientError::Refused { status: 413, .. })) => {
                note("left out the journal lines, which are too large for http.max_body");
                send(client, None, &plain, &format!("{key}-plain"), (retry_for, Await::Person)).await?;
            }
            other => stored_before(other)?,
        }
        Ok(())
    }

    /// The last lines that the unit wrote, or that the service manager wrote about it, oldest first.
    ///
    /// Lines of earlier runs are left out. A line without an invocation id is kept, because journald cannot determine the
    /// id of a line that it reads after the run has ended.
    async fn lines(&self, unit: &str, limit: u16) -> Vec<String> {
        if limit == 0 {
            return Vec::new();
        }
        let (written_by, about) = (format!("_SYSTEMD_UNIT={unit}"), format!("UNIT={unit}"));
        let arguments = [format!("--lines={limit}"), written_by, "+".into(), "_UID=0".into(), about];
        let entries = reader::read(&arguments, usize::from(limit)).await.unwrap_or_default();
        let message =
            |entry: &Entry| truncate(entry.text("MESSAGE").unwrap_or_default().trim_end(), MAX_LINE).into_owned();
        last_lines(entries.iter().filter(|entry| self.is_of_this_run(entry)).map(message).collect())
    }

    fn is_of_this_run(&self, entry: &Entry) -> bool {
        // In an entry of the service manager, INVOCATION_ID is the id of the unit's run, and _SYSTEMD_INVOCATION_ID is the
        // manager's own.
        let run = entry
            .text("INVOCATION_ID")
            .or_else(|| if entry.text("UNIT").is_some() { None } else { entry.text("_SYSTEMD_INVOCATION_ID") });
        run.is_none() || self.invocation.is_none() || run == self.invocation
    }

    fn is_exit(&self) -> bool {
        self.code.as_deref().is_none_or(|code| code == "exited")
    }

    /// The reason of the failure, for people.
    fn reason(&self) -> String {
        let status = self.status.as_deref().unwrap_or("unknown");
        let signal = if self.is_exit() { status.to_owned() } else { signal(status) };
        match self.result.as_str() {
            "exit-code" => format!("exit code {status}"),
            "signal" => format!("killed by {signal}"),
            "core-dump" => format!("killed by {signal}, core dumped"),
            "timeout" => "it timed out".to_owned(),
            "watchdog" => "its watchdog timed out".to_owned(),
            "start-limit-hit" => "it was started too often".to_owned(),
            "oom-kill" => "the system ran out of memory".to_owned(),
            other => other.to_owned(),
        }
    }

    fn metadata(&self, unit: &str) -> Map<String, Value> {
        let mut metadata = Map::new();
        let mut put = |name: &str, value: Value| drop(metadata.insert(name.to_owned(), value));
        put("unit", unit.into());
        put("host", host().into());
        put("result", self.result.as_str().into());
        if let Some(status) = &self.status {
            if self.is_exit() {
                put("exit_code", status.parse::<i64>().map_or_else(|_| json!(status), Into::into));
            } else {
                put("signal", signal(status).into());
            }
        }
        if let Some(invocation) = &self.invocation {
            put("invocation_id", invocation.as_str().into());
        }
        metadata
    }
}

/// The name of a signal. Some releases of systemd log only its number.
fn signal(status: &str) -> String {
    let name = match status {
        "1" => "HUP",
        "2" => "INT",
        "3" => "QUIT",
        "4" => "ILL",
        "5" => "TRAP",
        "6" => "ABRT",
        "7" => "BUS",
        "8" => "FPE",
        "9" => "KILL",
        "11" => "SEGV",
        "13" => "PIPE",
        "14" => "ALRM",
        "15" => "TERM",
        "31" => "SYS",
        other => other,
    };
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("signal {name}") } else { format!("SIG{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Option<Failed> {
        let variable = |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Failed::from_environment("a.service", variable)
    }

    #[test]
    fn the_environment_counts_if_it_is_about_this_unit() {
        let failed = given(&[
            ("MONITOR_UNIT", "a.service"),
            ("MONITOR_SERVICE_RESULT", "exit-code"),
            ("MONITOR_EXIT_CODE", "exited"),
            ("MONITOR_EXIT_STATUS", "3"),
            ("MONITOR_INVOCATION_ID", "abc"),
        ])
        .unwrap();
        assert_eq!(failed.reason(), "exit code 3");
        let metadata = Value::Object(failed.metadata("a.service"));
        assert_eq!((&metadata["exit_code"], &metadata["invocation_id"]), (&json!(3), &json!("abc")));
        assert_eq!((&metadata["unit"], metadata.get("signal")), (&json!("a.service"), None));
        assert_eq!(given(&[("MONITOR_UNIT", "b.service"), ("MONITOR_SERVICE_RESULT", "signal")]), None);
        assert_eq!(given(&[]), None);
    }

    #[test]
    fn lines_of_an_earlier_run_are_left_out() {
        let failed = Failed { invocation: Some("this".into()), ..Failed::default() };
        let is_kept = |json: &str| failed.is_of_this_run(&Entry::parse(json).unwrap());
        for kept in [
            r#"{"_SYSTEMD_INVOCATION_ID":"this"}"#,
            r#"{"UNIT":"a.service","INVOCATION_ID":"this","_SYSTEMD_INVOCATION_ID":"the manager's"}"#,
            r#"{"UNIT":"a.service","_SYSTEMD_INVOCATION_ID":"the manager's"}"#,
            r#"{"_SYSTEMD_UNIT":"a.service"}"#,
        ] {
            assert!(is_kept(kept), "{kept}");
        }
        assert!(!is_kept(r#"{"_SYSTEMD_INVOCATION_ID":"before"}"#));
        assert!(!is_kept(r#"{"UNIT":"a.service","INVOCATION_ID":"before"}"#));
    }

    #[test]
    fn a_signal_is_named_whether_its_name_or_number_was_logged() {
        for status in ["SEGV", "11"] {
            let failed = Failed {
                result: "core-dump".into(),
                code: Some("dumped".into()),
                status: Some(status.into()),
                invocation: None,
            };
            assert_eq!(failed.reason(), "killed by SIGSEGV, core dumped");
            assert_eq!(failed.metadata("x")["signal"], "SIGSEGV");
        }
        assert_eq!(signal("34"), "signal 34");
    }
}
