//! GitHub's events: each one that the webhook is set to send becomes one alert.
//!
//! Only a few fields are read: the repository, the sender, and the object that the event is about with its title and page.
//! Runs, checks and deployments also have an outcome, and security alerts a severity.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Entry, Sender, draft, field, non_empty, parse, severity, short};
use crate::alert::{DraftError, Level, Topic};

#[derive(Deserialize)]
struct Payload {
    action: Option<String>,
    repository: Option<Named>,
    organization: Option<Account>,
    sender: Option<Account>,
    // Push only.
    #[serde(rename = "ref")]
    reference: Option<String>,
    after: Option<String>,
    compare: Option<String>,
    commits: Option<Vec<IgnoredAny>>,
    head_commit: Option<Commit>,
    #[serde(default)]
    deleted: bool,
    // Commit status only.
    state: Option<String>,
    context: Option<String>,
    sha: Option<String>,
    target_url: Option<String>,
    // The object that the event is about.
    alert: Option<Subject>,
    check_run: Option<Subject>,
    check_suite: Option<Subject>,
    deployment_status: Option<Subject>,
    discussion: Option<Subject>,
    issue: Option<Subject>,
    pull_request: Option<Subject>,
    release: Option<Subject>,
    workflow_job: Option<Subject>,
    workflow_run: Option<Subject>,
}

#[derive(Deserialize)]
struct Named {
    full_name: String,
    html_url: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    login: String,
}

#[derive(Deserialize)]
struct Commit {
    message: String,
}

#[derive(Default, Deserialize)]
struct Subject {
    title: Option<String>,
    name: Option<String>,
    tag_name: Option<String>,
    environment: Option<String>,
    secret_type_display_name: Option<String>,
    number: Option<u64>,
    html_url: Option<String>,
    head_branch: Option<String>,
    head_sha: Option<String>,
    conclusion: Option<String>,
    state: Option<String>,
    rule: Option<Advice>,
    security_advisory: Option<Advice>,
}

/// The advisory or rule behind a security alert.
#[derive(Deserialize)]
struct Advice {
    summary: Option<String>,
    description: Option<String>,
    severity: Option<String>,
    security_severity_level: Option<String>,
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
    body: &[u8],
) -> Result<Vec<Entry>, DraftError> {
    let needed = |name: &str| {
        header(name).and_then(non_empty).ok_or_else(|| field(name, "is missing: GitHub sends this header"))
    };
    let (event, delivery) = (needed("X-GitHub-Event")?, needed("X-GitHub-Delivery")?);
    let payload: Payload = parse(body)?;
    if event == "ping" {
        return Ok(Vec::new());
    }
    let draft = draft(topic, &payload.text(event), payload.level(event), &payload.details(event, delivery))?;
    // A redelivery has the id of the first delivery.
    Ok(vec![Entry::new(Sender::GitHub, delivery, String::new(), draft)])
}

impl Payload {
    fn subject(&self) -> Option<&Subject> {
        [
            &self.alert,
            &self.check_run,
            &self.check_suite,
            &self.deployment_status,
            &self.discussion,
            &self.issue,
            &self.pull_request,
            &self.release,
            &self.workflow_job,
            &self.workflow_run,
        ]
        .into_iter()
        .find_map(Option::as_ref)
    }

    /// The result of a run, check or deployment.
    fn outcome(&self, event: &str) -> Option<&str> {
        match event {
            "status" => self.state.as_deref(),
            "deployment_status" => self.subject()?.state.as_deref(),
            _ => self.subject()?.conclusion.as_deref(),
        }
    }

    fn severity(&self) -> Option<&str> {
        let alert = self.alert.as_ref()?;
        let advice = alert.security_advisory.as_ref().or(alert.rule.as_ref())?;
        advice.security_severity_level.as_deref().or(advice.severity.as_deref())
    }

    fn level(&self, event: &str) -> Level {
        let opens = matches!(
            self.action.as_deref(),
            Some(
                "created"
                    | "opened"
                    | "reopened"
                    | "reintroduced"
                    | "auto_reopened"
                    | "appeared_in_branch"
                    | "publicly_leaked"
            )
        );
        match self.outcome(event) {
            Some("failure" | "error" | "timed_out" | "startup_failure") => Level::Error,
            Some("cancelled" | "action_required" | "stale") => Level::Warn,
            _ if self.alert.is_none() || !opens => Level::Info,
            _ if event == "secret_scanning_alert" => Level::Error,
            // An open security alert is at least a warning.
            _ => self.severity().and_then(severity::level).map_or(Level::Warn, |level| level.max(Level::Warn)),
        }
    }

    fn details<'a>(&'a self, event: &'a str, delivery: &'a str) -> Details<'a> {
        let subject = self.subject();
        let of_subject = |pick: fn(&Subject) -> &Option<String>| subject.and_then(|subject| pick(subject).as_deref());
        let page = self.repository.as_ref().and_then(|repository| repository.html_url.as_deref());
        Details {
            source: Sender::GitHub.as_str(),
            event,
            action: self.action.as_deref(),
            delivery,
            repository: self.repository.as_ref().map(|repository| repository.full_name.as_str()),
            sender: self.sender.as_ref().map(|sender| sender.login.as_str()),
            reference: self.reference.as_deref().or_else(|| of_subject(|subject| &subject.head_branch)),
            commit: self.after.as_deref().or(self.sha.as_deref()).or_else(|| of_subject(|subject| &subject.head_sha)),
            outcome: self.outcome(event),
            severity: self.severity(),
            url: of_subject(|subject| &subject.html_url)
                .or(self.target_url.as_deref())
                .or(self.compare.as_deref())
                .or(page),
        }
    }

    /// `octo/hello: workflow_run completed: CI (failure)`.
    fn text(&self, event: &str) -> String {
        let place = self.repository.as_ref().map(|repository| repository.full_name.as_str());
        let place =
            place.or_else(|| self.organization.as_ref().map(|account| account.login.as_str())).unwrap_or("GitHub");
        let what = if event == "push" { self.pushed() } else { self.described(event) };
        short(&format!("{place}: {what}"))
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

    fn described(&self, event: &str) -> String {
        let mut words = event.to_owned();
        if let Some(action) = &self.action {
            words.push_str(&format!(" {action}"));
        }
        let subject = self.subject();
        if let Some(title) = subject.and_then(Subject::title).or(self.context.as_deref()) {
            words.push_str(&format!(": {title}"));
        }
        if let Some(number) = subject.and_then(|subject| subject.number) {
            words.push_str(&format!(" #{number}"));
        }
        if let Some(outcome) = self.outcome(event) {
            words.push_str(&format!(" ({outcome})"));
        }
        words
    }
}

impl Subject {
    fn title(&self) -> Option<&str> {
        let advice = self.security_advisory.as_ref().or(self.rule.as_ref());
        let of_advice = advice.and_then(|advice| advice.summary.as_deref().or(advice.description.as_deref()));
        let own = [&self.title, &self.name, &self.tag_name, &self.environment, &self.secret_type_display_name];
        own.into_iter().find_map(|text| non_empty(text.as_deref()?)).or(of_advice)
    }
}

#[cfg(test)]
mod tests;
