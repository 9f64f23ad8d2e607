use serde_json::{Value, json};

use super::*;

fn parsed(event: &str, payload: &Value) -> (String, String, Value) {
    let header = |name: &str| match name {
        "X-GitHub-Event" => Some(event),
        "X-GitHub-Delivery" => Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        _ => None,
    };
    let mut payload = payload.clone();
    payload["repository"] =
        json!({"full_name": "octo/hello", "html_url": "https://github.example/octo/hello", "id": 1});
    payload["sender"] = json!({"login": "octocat", "id": 1});
    let entry = read(&Topic::fallback(), header, &payload.to_string()).unwrap().pop().unwrap();
    let alert: Value = serde_json::from_slice(&entry.draft.record(crate::alert::Id::at(1), 0).json).unwrap();
    let text = |name: &str| alert[name].as_str().unwrap().to_owned();
    (text("message"), text("level"), alert["metadata"].clone())
}

#[test]
fn a_push_names_its_author_branch_and_commit() {
    let push = json!({
        "ref": "refs/heads/main", "before": "0", "after": "6113728f", "compare": "https://github.example/c",
        "commits": [{}, {}], "head_commit": {"id": "6113728f", "message": "Fix all the bugs\n\nReally."},
    });
    let (message, level, metadata) = parsed("push", &push);
    assert_eq!(message, "octo/hello: octocat pushed 2 commits to main: Fix all the bugs");
    assert_eq!(level, "info");
    assert_eq!(
        metadata,
        json!({
            "source": "github", "event": "push", "delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "repository": "octo/hello", "sender": "octocat", "ref": "refs/heads/main", "commit": "6113728f",
            "url": "https://github.example/c",
        })
    );
    let deleted = json!({"ref": "refs/tags/v1", "deleted": true, "head_commit": null, "commits": []});
    assert_eq!(parsed("push", &deleted).0, "octo/hello: octocat deleted v1");
}

#[test]
fn a_failure_is_an_error_and_a_cancellation_a_warning() {
    for (event, payload, message, level) in [
        (
            "workflow_run",
            json!({"action": "completed", "workflow_run": {"name": "CI", "conclusion": "failure", "head_branch": "main"}, "workflow": {}}),
            "octo/hello: workflow_run completed: CI (failure)",
            "error",
        ),
        (
            "workflow_run",
            json!({"action": "requested", "workflow_run": {"name": "CI", "conclusion": null}}),
            "octo/hello: workflow_run requested: CI",
            "info",
        ),
        (
            "check_run",
            json!({"action": "completed", "check_run": {"name": "lint", "conclusion": "cancelled"}}),
            "octo/hello: check_run completed: lint (cancelled)",
            "warn",
        ),
        (
            "status",
            json!({"state": "error", "context": "ci/build", "sha": "s", "target_url": "https://ci.example"}),
            "octo/hello: status: ci/build (error)",
            "error",
        ),
        (
            "deployment_status",
            json!({"action": "created", "deployment_status": {"state": "success", "environment": "prod"}}),
            "octo/hello: deployment_status created: prod (success)",
            "info",
        ),
        (
            "issues",
            json!({"action": "opened", "issue": {"title": "Spelling error", "number": 1347, "state": "open"}}),
            "octo/hello: issues opened: Spelling error #1347",
            "info",
        ),
        (
            "dependabot_alert",
            json!({"action": "created", "alert": {"number": 2, "security_advisory": {"summary": "RCE", "severity": "high"}}}),
            "octo/hello: dependabot_alert created: RCE #2",
            "error",
        ),
        (
            "dependabot_alert",
            json!({"action": "fixed", "alert": {"number": 2, "security_advisory": {"summary": "RCE", "severity": "high"}}}),
            "octo/hello: dependabot_alert fixed: RCE #2",
            "info",
        ),
        (
            "code_scanning_alert",
            json!({"action": "created", "alert": {"rule": {"description": "bad", "severity": "warning"}}}),
            "octo/hello: code_scanning_alert created: bad",
            "warn",
        ),
        (
            "secret_scanning_alert",
            json!({"action": "created", "alert": {"secret_type_display_name": "Token"}}),
            "octo/hello: secret_scanning_alert created: Token",
            "error",
        ),
        ("star", json!({"action": "created"}), "octo/hello: star created", "info"),
    ] {
        let (said, at, _) = parsed(event, &payload);
        assert_eq!((said.as_str(), at.as_str()), (message, level), "{event}");
    }
}

#[test]
fn a_ping_makes_no_alert_and_an_invalid_field_is_named() {
    let read = |event: Option<&str>, delivery: Option<&str>, body: &str| {
        let header = |name: &str| if name == "X-GitHub-Event" { event } else { delivery };
        read(&Topic::fallback(), header, body).map(|entries| entries.len()).map_err(|e| e.to_string())
    };
    assert_eq!(read(Some("ping"), Some("d"), r#"{"zen":"Keep it logically awesome.","hook_id":1}"#), Ok(0));
    assert_eq!(read(Some("star"), Some("d"), "{}"), Ok(1));
    for (event, delivery, body, words) in [
        (None, Some("d"), "{}", "X-GitHub-Event: is missing"),
        (Some("push"), None, "{}", "X-GitHub-Delivery: is missing"),
        (Some("push"), Some("d"), r#"{"repository":{}}"#, "repository.full_name: is missing"),
        (Some("push"), Some("d"), r#"{"ref":5}"#, "ref: must be a string, not integer 5"),
        (Some("push"), Some("d"), "payload=%7B%7D", "the body is not JSON"),
    ] {
        let refused = read(event, delivery, body).unwrap_err();
        assert!(refused.starts_with(words), "{words}: {refused}");
    }
}
