//! The table of GitHub's events: where each one has its title, outcome, severity and page.
//!
//! What an event is about follows from its name alone. Payloads also have objects of other events: a deployment that
//! Actions made comes with the check and the run that made it.

use serde_json::{Map, Value};

/// Where the payload has an event's own object, and what describes it. A path has dots between its members.
#[derive(Clone, Copy)]
pub(super) struct Event {
    name: &'static str,
    /// The event's own object; empty if it is the payload itself.
    object: &'static str,
    /// Paths in the object, separated by spaces; the first one with a text is used. Those joined by `+` are one title.
    titles: &'static str,
    /// The path of the result of a run, check or deployment.
    outcome: &'static str,
    /// The path of a sentence about the outcome.
    reason: &'static str,
    /// Paths of a security alert's severity, separated by spaces.
    severities: &'static str,
    /// The path of the page, unless it is the object's `html_url`.
    page: &'static str,
    /// Whether the event is a security alert.
    pub(super) is_security_alert: bool,
    /// Whether it is about a secret that was found, which is always serious.
    pub(super) is_leak: bool,
}

const fn event(name: &'static str, object: &'static str, titles: &'static str) -> Event {
    Event {
        name,
        object,
        titles,
        outcome: "",
        reason: "",
        severities: "",
        page: "",
        is_security_alert: false,
        is_leak: false,
    }
}

impl Event {
    const fn outcome(self, outcome: &'static str) -> Self {
        Self { outcome, ..self }
    }

    const fn reason(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    const fn page(self, page: &'static str) -> Self {
        Self { page, ..self }
    }

    const fn security(self, severities: &'static str) -> Self {
        Self { severities, is_security_alert: true, ..self }
    }

    const fn leak(self) -> Self {
        Self { is_leak: true, ..self.security("") }
    }
}

#[rustfmt::skip]
const EVENTS: &[Event] = &[
    event("branch_protection_configuration", "", ""),
    event("branch_protection_rule", "rule", "name"),
    event("cache_sync", "", ""),
    event("check_run", "check_run", "name").outcome("check_run.conclusion"),
    event("check_suite", "check_suite", "app.name head_branch").outcome("check_suite.conclusion"),
    event("code_scanning_alert", "alert", "rule.description rule.name rule.id").security("alert.rule.security_severity_level alert.rule.severity"),
    event("commit_comment", "comment", "path commit_id"),
    event("content_reference", "content_reference", "reference"),
    event("create", "", "ref_type+ref"),
    event("custom_property", "definition", "property_name"),
    event("custom_property_values", "", "new_property_values.0.property_name"),
    event("delete", "", "ref_type+ref"),
    event("dependabot_alert", "alert", "security_advisory.summary dependency.package.name").security("alert.security_advisory.severity alert.security_vulnerability.severity"),
    event("deploy_key", "key", "title"),
    event("deployment", "deployment", "environment"),
    event("deployment_protection_rule", "deployment", "environment"),
    event("deployment_review", "", "environment").outcome("action").reason("comment").page("workflow_run.html_url"),
    event("deployment_status", "deployment_status", "environment").outcome("deployment_status.state").reason("deployment_status.description").page("deployment_status.target_url"),
    event("discussion", "discussion", "title"),
    event("discussion_comment", "discussion", "title").page("comment.html_url"),
    event("enterprise", "enterprise", "name"),
    event("fork", "forkee", "full_name"),
    event("github_app_authorization", "", ""),
    event("gollum", "pages.0", "title page_name"),
    event("installation", "installation", "account.login"),
    event("installation_repositories", "", "repositories_added.0.full_name repositories_removed.0.full_name"),
    event("installation_target", "account", "login"),
    event("issue_comment", "issue", "title").page("comment.html_url"),
    event("issue_dependencies", "", "blocked_issue.title blocking_issue.title"),
    event("issues", "issue", "title"),
    event("label", "label", "name"),
    event("marketplace_purchase", "marketplace_purchase", "account.login+plan.name account.login"),
    event("member", "member", "login"),
    event("membership", "", "member.login+team.name member.login"),
    event("merge_group", "merge_group", "head_ref").outcome("reason"),
    event("meta", "hook", "name"),
    event("milestone", "milestone", "title"),
    event("org_block", "blocked_user", "login"),
    event("organization", "", "membership.user.login invitation.login invitation.email"),
    event("package", "package", "name+package_version.version name"),
    event("page_build", "build", "").outcome("build.status").reason("build.error.message"),
    event("personal_access_token_request", "personal_access_token_request", "owner.login"),
    event("project", "project", "name"),
    event("project_card", "project_card", "note"),
    event("project_column", "project_column", "name"),
    event("projects_v2", "projects_v2", "title"),
    event("projects_v2_item", "projects_v2_item", "content_type"),
    event("projects_v2_status_update", "projects_v2_status_update", "body").outcome("projects_v2_status_update.status"),
    event("public", "", ""),
    event("pull_request", "pull_request", "title"),
    event("pull_request_review", "pull_request", "title").outcome("review.state").page("review.html_url"),
    event("pull_request_review_comment", "pull_request", "title").page("comment.html_url"),
    event("pull_request_review_thread", "pull_request", "title"),
    event("registry_package", "registry_package", "name+package_version.version name"),
    event("release", "release", "name tag_name"),
    event("repository", "repository", "full_name"),
    event("repository_advisory", "repository_advisory", "summary").security("repository_advisory.severity"),
    event("repository_dispatch", "", "branch"),
    event("repository_import", "", "").outcome("status"),
    event("repository_ruleset", "repository_ruleset", "name"),
    event("repository_vulnerability_alert", "alert", "affected_package_name+external_identifier affected_package_name").security("alert.severity").page("alert.external_reference"),
    event("secret_scanning_alert", "alert", "secret_type_display_name secret_type").leak(),
    event("secret_scanning_alert_location", "alert", "secret_type_display_name secret_type").leak(),
    event("secret_scanning_scan", "", "type"),
    event("security_advisory", "security_advisory", "summary").security("security_advisory.severity"),
    event("security_and_analysis", "", ""),
    event("sponsorship", "sponsorship", "sponsor.login"),
    event("star", "", ""),
    event("status", "", "context").outcome("state").reason("description").page("target_url"),
    event("sub_issues", "", "sub_issue.title parent_issue.title"),
    event("team", "team", "name"),
    event("team_add", "team", "name"),
    event("user", "user", "login"),
    event("watch", "", ""),
    event("workflow_dispatch", "", "workflow+ref workflow"),
    event("workflow_job", "workflow_job", "name").outcome("workflow_job.conclusion"),
    event("workflow_run", "workflow_run", "name display_title path").outcome("workflow_run.conclusion"),
];

/// What a payload says about its event. For an event that is not in the table, the object is the member with its name.
pub(super) struct Found<'a> {
    event: Option<&'static Event>,
    payload: &'a Map<String, Value>,
    object: Option<&'a Value>,
}

impl<'a> Found<'a> {
    pub(super) fn of(name: &str, payload: &'a Map<String, Value>) -> Self {
        let event = EVENTS.iter().find(|event| event.name == name);
        let object = match event.map(|event| event.object) {
            Some("") => None,
            Some(path) => at(payload, path),
            None => payload.get(name).or_else(|| payload.get(name.strip_suffix('s')?)),
        };
        Self { event, payload, object }
    }

    pub(super) fn is_security_alert(&self) -> bool {
        self.event.is_some_and(|event| event.is_security_alert)
    }

    pub(super) fn is_leak(&self) -> bool {
        self.event.is_some_and(|event| event.is_leak)
    }

    pub(super) fn title(&self) -> Option<String> {
        let titles = self.event.map_or("title name", |event| event.titles);
        titles.split(' ').filter(|title| !title.is_empty()).find_map(|title| {
            let line = |path| super::non_empty(self.of_object(path)?.lines().next()?);
            let texts: Option<Vec<&str>> = title.split('+').map(line).collect();
            texts.map(|texts| texts.join(" "))
        })
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.object?.get("number")?.as_u64()
    }

    /// The result of a run, check or deployment.
    pub(super) fn outcome(&self) -> Option<&'a str> {
        match self.event {
            Some(event) => self.of_payload(event.outcome),
            None => self.of_object("conclusion").or_else(|| self.of_object("state")),
        }
    }

    /// The sentence that GitHub or the deployment's author gives with the outcome.
    pub(super) fn reason(&self) -> Option<&'a str> {
        self.of_payload(self.event?.reason)
    }

    /// The severity of a security alert.
    pub(super) fn severity(&self) -> Option<&'a str> {
        self.event?.severities.split(' ').find_map(|path| self.of_payload(path))
    }

    /// The page of the event's own object.
    pub(super) fn page(&self) -> Option<&'a str> {
        let own = || self.object?.get("html_url")?.as_str();
        self.event.and_then(|event| self.of_payload(event.page)).or_else(own)
    }

    /// A text of the event's own object.
    pub(super) fn of_object(&self, path: &str) -> Option<&'a str> {
        match self.object {
            Some(object) => text(step(object, path)?),
            None if self.event.is_some_and(|event| event.object.is_empty()) => self.of_payload(path),
            None => None,
        }
    }

    fn of_payload(&self, path: &str) -> Option<&'a str> {
        text(at(self.payload, path)?)
    }
}

fn at<'a>(payload: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        Some((first, rest)) => step(payload.get(first)?, rest),
        None => payload.get(path),
    }
}

fn step<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

fn text(value: &Value) -> Option<&str> {
    super::non_empty(value.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_has_each_event_once() {
        assert!(EVENTS.is_sorted_by(|a, b| a.name < b.name));
    }
}
