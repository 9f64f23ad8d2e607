//! `alertctl unit-failed`: what a failed unit left behind becomes an alert, and what fails again soon one more.
//!
//! The service manager logs each failure with a message id of its own, on every release and whether or not it restarts the
//! unit; those entries say what happened and are what is counted. For the first one the manager also tells the details in
//! the environment, sooner than the journal has them.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::entry::Entry;
use super::reader;
use super::{body, host, tail_of};
use crate::alert::Level;
use crate::ctl::args::UnitFailed;
use crate::ctl::client::{Client, ClientError};
use crate::ctl::exit::Failure;
use crate::ctl::output::note;
use crate::ctl::publish::{Undelivered, random_key, send};
use crate::text::truncate;

/// "Failed with result …", from the service manager.
const FAILED: &str = "MESSAGE_ID=d9b373ed55a64feb8242e02dbe79a49c";
/// "Main process exited …", from the service manager.
const EXITED: &str = "MESSAGE_ID=98e322203f7a4ed290d09fe03c09fe15";
/// So long the journal may take to have what an alert is about.
const JOURNAL_DELAY: Duration = Duration::from_millis(500);
/// Bytes of one journal line.
const MAX_LINE: usize = 400;
/// A failure each millisecond, for an hour, is not counted further.
const MAX_FAILURES: usize = 10_000;
/// The watch for more failures doubles up to this.
const MAX_WATCH: Duration = Duration::from_secs(3600);

/// One failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Failed {
    /// `exit-code`, `signal`, `timeout` and so on.
    result: String,
    /// `exited`, `killed` or `dumped`, where a process ended.
    code: Option<String>,
    /// The exit code, or the signal.
    status: Option<String>,
    invocation: Option<String>,
}

/// Publishes the alert, then watches for more of them.
///
/// # Errors
/// [`Failure`] where the first alert could not be published.
pub(crate) async fn run(args: UnitFailed, client: &Client) -> Result<(), Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let told = Failed::told(&args.unit, variable);
    let mut seen = match &told {
        Some(failed) => failed.logged(&args.unit).await,
        None => failures(&args.unit, &["--lines=1".to_owned()]).await.pop(),
    };
    let failed = match (told, &seen) {
        (Some(failed), _) => failed,
        (None, Some(entry)) => Failed::of(&args.unit, entry).await,
        (None, None) => {
            note(&format!("the journal knows of no failure of {}", args.unit));
            Failed { result: "unknown".to_owned(), ..Failed::default() }
        }
    };
    publish(&args, client, &failed, 1, Duration::ZERO).await?;
    let mut quiet = args.quiet.min(MAX_WATCH);
    while !quiet.is_zero() {
        let began = Instant::now();
        sleep(quiet).await;
        let after = match seen.as_ref().and_then(Entry::cursor) {
            Some(cursor) => format!("--after-cursor={cursor}"),
            None => format!("--since=-{}s", began.elapsed().as_secs() + 1),
        };
        let mut more = failures(&args.unit, &[after]).await;
        let count = more.len();
        let Some(last) = more.pop() else { break };
        let failed = Failed::of(&args.unit, &last).await;
        seen = Some(last);
        // The next time says it as well; this one must not end the watch.
        if let Err(failure) = publish(&args, client, &failed, count, quiet).await {
            note(&failure.to_string());
        }
        quiet = quiet.saturating_mul(2).min(MAX_WATCH);
    }
    Ok(())
}

/// What the service manager logged of failures of the unit; without a readable journal nothing.
async fn failures(unit: &str, arguments: &[String]) -> Vec<Entry> {
    let matches = [FAILED.to_owned(), format!("UNIT={unit}")];
    let found = reader::read(&[arguments, &matches].concat(), MAX_FAILURES).await;
    found.unwrap_or_else(|failure| {
        note(&failure.to_string());
        Vec::new()
    })
}

async fn publish(
    args: &UnitFailed,
    client: &Client,
    failed: &Failed,
    count: usize,
    within: Duration,
) -> Result<(), Failure> {
    let lines = failed.lines(&args.unit, args.lines).await;
    let mut metadata = failed.metadata(&args.unit);
    let mut message = format!("{} failed: {}", args.unit, failed.reason());
    if !within.is_zero() {
        let seconds = within.as_secs();
        message = format!("{} failed {count} more times in {seconds} s: {}", args.unit, failed.reason());
        metadata.insert("failures".to_owned(), count.into());
    }
    let plain = body(&args.topic, Level::Error, &message, metadata.clone())?;
    metadata.insert("journal".to_owned(), lines.into());
    let whole = body(&args.topic, Level::Error, &message, metadata)?;
    let key = random_key()?;
    match send(client, None, &whole, &key, args.retry_for).await {
        // A daemon that takes only small bodies still gets what matters.
        Err(Undelivered::Refused(ClientError::Refused { status: 413, .. })) => {
            note("the journal lines are too large for http.max_body and are left out");
            send(client, None, &plain, &random_key()?, args.retry_for).await?;
        }
        other => drop(other?),
    }
    Ok(())
}

impl Failed {
    /// As the service manager says it in the environment of what `OnFailure=` starts, unless several units set it off.
    fn told(unit: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
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

    /// As the journal has it.
    async fn of(unit: &str, entry: &Entry) -> Self {
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

    /// The journal's entry of this failure, waited for a little.
    async fn logged(&self, unit: &str) -> Option<Entry> {
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

    /// The last lines that the unit wrote or the service manager wrote about it, oldest first.
    ///
    /// Those of earlier runs are left out. A line without a run's id is kept: the journal does not find the id where it
    /// takes the line up after the run has ended.
    async fn lines(&self, unit: &str, most: u16) -> Vec<String> {
        if most == 0 {
            return Vec::new();
        }
        let (wrote, about) = (format!("_SYSTEMD_UNIT={unit}"), format!("UNIT={unit}"));
        let arguments = [format!("--lines={most}"), wrote, "+".into(), "_UID=0".into(), about];
        let entries = reader::read(&arguments, usize::from(most)).await.unwrap_or_default();
        let message =
            |entry: &Entry| truncate(entry.text("MESSAGE").unwrap_or_default().trim_end(), MAX_LINE).into_owned();
        tail_of(entries.iter().filter(|entry| self.is_of_this_run(entry)).map(message).collect())
    }

    fn is_of_this_run(&self, entry: &Entry) -> bool {
        // In what the manager says of a unit, the id of the unit's run is INVOCATION_ID; the other one is the manager's own.
        let run = entry
            .text("INVOCATION_ID")
            .or_else(|| if entry.text("UNIT").is_some() { None } else { entry.text("_SYSTEMD_INVOCATION_ID") });
        run.is_none() || self.invocation.is_none() || run == self.invocation
    }

    fn is_exit(&self) -> bool {
        self.code.as_deref().is_none_or(|code| code == "exited")
    }

    /// For a person.
    fn reason(&self) -> String {
        let status = self.status.as_deref().unwrap_or("unknown");
        let signal = if self.is_exit() { status.to_owned() } else { signal(status) };
        match self.result.as_str() {
            "exit-code" => format!("exit code {status}"),
            "signal" => format!("ended by {signal}"),
            "core-dump" => format!("ended by {signal}, core dumped"),
            "timeout" => "it took too long".to_owned(),
            "watchdog" => "it gave no sign of life in time".to_owned(),
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

/// A signal's name; the journal of some releases has the number alone.
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

    fn told(pairs: &[(&str, &str)]) -> Option<Failed> {
        Failed::told("a.service", |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_managers_words_are_taken_if_they_are_about_this_unit() {
        let failed = told(&[
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
        assert_eq!(told(&[("MONITOR_UNIT", "b.service"), ("MONITOR_SERVICE_RESULT", "signal")]), None);
        assert_eq!(told(&[]), None);
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
    fn a_signal_has_its_name_however_it_was_written() {
        for status in ["SEGV", "11"] {
            let failed = Failed {
                result: "core-dump".into(),
                code: Some("dumped".into()),
                status: Some(status.into()),
                invocation: None,
            };
            assert_eq!(failed.reason(), "ended by SIGSEGV, core dumped");
            assert_eq!(failed.metadata("x")["signal"], "SIGSEGV");
        }
        assert_eq!(signal("34"), "signal 34");
    }
}
