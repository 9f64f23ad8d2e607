//! GitHub's events: each one that the webhook is set to send becomes one alert.
//!
//! | file | owns |
//! |---|---|
//! | [`events`] | what each event is about, by its name |
//!
//! Only a few fields are read: the repository, the sender, and the event's own object with its title and page. Runs,
//! checks and deployments also have an outcome, and security alerts a severity.

mod events;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::events::Found;
use super::{Entry, Sender, draft, field, non_empty, parse, severity};
use crate::alert::{DraftError, IncidentName, IncidentReport, IncidentStatus, Level, Topic};

/// The fields that many events have.
#[derive(Deserialize)]
struct Payload {
    action: Option<String>,
    repository: Option<Repository>,
    organization: Option<Account>,
    enterprise: Option<Enterprise>,
    sender: Option<Account>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    /// Commit status only.
    sha: Option<String>,
    /// Push only, as all below.
    after: Option<String>,
    compare: Option<String>,
    commits: Option<Vec<IgnoredAny>>,
    head_commit: Option<Commit>,
    #[serde(default)]
    deleted: bool,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
    html_url: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    login: String,
}

#[derive(Deserialize)]
struct Enterprise {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Commit {
    message: String,
}

#[derive(Serialize)]
struct Details<'a> {
    source: &'static str,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    delivery: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

/// The alert of an event. A ping, which only tests the connection, has none.
pub(crate) fn read<'h>(
    topic: &Topic,
    header: impl Fn(&str) -> Option<&'h str>,
    body: &str,
) -> Result<Vec<Entry>, DraftError> {
    let needed = |name: &str| {
        header(name).and_then(non_empty).ok_or_else(|| field(name, "is missing: GitHub sends this header"))
    };
    let (event, delivery) = (needed("X-GitHub-Event")?, needed("X-GitHub-Delivery")?);
    let (payload, members): (Payload, Map<String, Value>) = (parse(body)?, parse(body)?);
    if event == "ping" {
        return Ok(Vec::new());
    }
    let found = Found::of(event, &members);
    let details = payload.details(event, delivery, &found);
    let level = payload.level(event, &found);
    let draft = draft(topic, &payload.text(event, &found), level, &details)?;
    let draft = draft.reporting(payload.incident(event, level, &found)).cut_to_frame();
    // A redelivery has the id of the first delivery.
    Ok(vec![Entry::new(Sender::GitHub, delivery, String::new(), draft)])
}

impl Payload {
    /// The runs of a workflow on a branch are one incident: a failure opens it, and a success resolves it.
    fn incident(&self, event: &str, level: Level, found: &Found<'_>) -> Option<IncidentReport> {
        if event != "workflow_run" || self.action.as_deref() != Some("completed") {
            return None;
        }
        let status = match (found.outcome()?, level) {
            ("success", _) => IncidentStatus::Resolved,
            (_, Level::Warn | Level::Error) => IncidentStatus::Open,
            _ => return None,
        };
        let (repository, branch) = (&self.repository.as_ref()?.full_name, found.of_object("head_branch")?);
        let name = format!("{repository}/{}@{branch}", found.of_object("name")?);
        Some(IncidentReport::new(IncidentName::nearest(&name)?, status))
    }

    fn level(&self, event: &str, found: &Found<'_>) -> Level {
        let action = self.action.as_deref().unwrap_or_default();
        // A later action on a finished check is not its result again.
        let is_result = !matches!(action, "rerequested" | "requested_action");
        let outcome = found.outcome().filter(|_| is_result).map(str::to_ascii_lowercase);
        match (outcome.as_deref(), event) {
            (Some("failure" | "error" | "errored" | "timed_out" | "startup_failure"), _) => Level::Error,
            (
                Some("cancelled" | "action_required" | "stale" | "rejected" | "invalidated" | "at_risk" | "off_track"),
                _,
            ) => Level::Warn,
            // The webhook was deleted, so no more events will come.
            (_, "meta") if action == "deleted" => Level::Warn,
            (_, "installation") if matches!(action, "deleted" | "suspend") => Level::Warn,
            _ if !found.is_security_alert() || !opens(action) => Level::Info,
            _ if found.is_leak() => Level::Error,
            // An open security alert is at least a warning.
            _ => found.severity().map_or(Level::Warn, |word| severity::level_or_warn(word).max(Level::Warn)),
        }
    }

    fn details<'a>(&'a self, event: &'a str, delivery: &'a str, found: &Found<'a>) -> Details<'a> {
        let page = self.repository.as_ref().and_then(|repository| repository.html_url.as_deref());
        Details {
            source: Sender::GitHub.as_str(),
            event,
            action: self.action.as_deref(),
            delivery,
            repository: self.repository.as_ref().map(|repository| repository.full_name.as_str()),
            sender: self.sender.as_ref().map(|sender| sender.login.as_str()),
            reference: self.reference.as_deref().or_else(|| found.of_object("head_branch")),
            commit: self.after.as_deref().or(self.sha.as_deref()).or_else(|| found.of_object("head_sha")),
            outcome: found.outcome(),
            severity: found.severity(),
            url: found.page().or(self.compare.as_deref()).or(page),
        }
    }

    /// `octo/hello: workflow_run completed: CI (failure)`.
    fn text(&self, event: &str, found: &Found<'_>) -> String {
        let repository = self.repository.as_ref().map(|repository| repository.full_name.as_str());
        let place = repository
            .or_else(|| self.organization.as_ref().map(|account| account.login.as_str()))
            .or_else(|| self.enterprise.as_ref()?.name.as_deref())
            .unwrap_or("GitHub");
        let what = if event == "push" { self.pushed() } else { self.described(event, found) };
        format!("{place}: {what}")
    }

    fn pushed(&self) -> String {
        let who = self.sender.as_ref().map_or("somebody", |sender| sender.login.as_str());
        let reference = self.reference.as_deref().unwrap_or("?");
        let branch =
            reference.strip_prefix("refs/heads/").or(reference.strip_prefix("refs/tags/")).unwrap_or(reference);
        if self.deleted {
            return format!("{who} deleted {branch}");
        }
        let commits = match self.commits.as_ref().map_or(0, Vec::len) {
            1 => "1 commit".to_owned(),
            number => format!("{number} commits"),
        };
        let first_line = self.head_commit.as_ref().and_then(|commit| non_empty(commit.message.lines().next()?));
        let last = first_line.map_or_else(String::new, |line| format!(": {line}"));
        format!("{who} pushed {commits} to {branch}{last}")
    }

    fn described(&self, event: &str, found: &Found<'_>) -> String {
        let mut words = event.to_owned();
        if let Some(action) = &self.action {
            words.push_str(&format!(" {action}"));
        }
        if let Some(title) = found.title() {
            words.push_str(&format!(": {title}"));
        }
        if let Some(number) = found.number() {
            words.push_str(&format!(" #{number}"));
        }
        if let Some(outcome) = found.outcome().filter(|outcome| self.action.as_deref() != Some(*outcome)) {
            words.push_str(&format!(" ({outcome})"));
        }
        if let Some(reason) = found.reason() {
            words.push_str(&format!(": {reason}"));
        }
        words
    }
}

/// Whether an action means that a security alert is open from now on.
fn opens(action: &str) -> bool {
    matches!(
        action,
        "create"
            | "created"
            | "opened"
            | "reopen"
            | "reopened"
            | "reopened_by_user"
            | "reintroduced"
            | "auto_reopened"
            | "appeared_in_branch"
            | "publicly_leaked"
            | "published"
            | "reported"
    )
}

#[cfg(test)]
mod tests;
