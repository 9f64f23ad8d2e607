//! GitHub's own sample payloads, one of each event and action.

use serde_json::{Value, json};

use crate::harness::{Daemon, Request, npm};

/// The samples: name of the event and payload.
fn samples() -> Vec<(String, Value)> {
    let package = npm().join("node_modules/@octokit/webhooks-examples");
    let mut samples = Vec::new();
    for edition in ["api.github.com", "ghes-35"] {
        let text = std::fs::read_to_string(package.join(edition).join("index.json")).unwrap();
        let events: Vec<Value> = serde_json::from_str(&text).unwrap();
        for event in &events {
            let name = event["name"].as_str().unwrap();
            samples
                .extend(event["examples"].as_array().unwrap().iter().map(|sample| (name.to_owned(), sample.clone())));
        }
    }
    samples
}

fn store(daemon: &Daemon, id: usize, event: &str, payload: &Value) -> Option<Value> {
    let request = Request::post("/hooks/github/github.hello").header("X-GitHub-Event", event).json(payload);
    let answer = request.header("X-GitHub-Delivery", &format!("delivery-{id}")).over(&daemon.control());
    assert_eq!(answer.status, 200, "{event}: {answer:?}");
    if answer.json()["stored"] == 0 {
        return None;
    }
    let last = Request::get("/alerts?topic=*&limit=1").header("Accept", "application/json").over(&daemon.control());
    Some(last.json()["alerts"][0].clone())
}

#[test]
fn each_sample_of_github_is_an_alert_about_its_own_event() {
    let daemon = Daemon::start();
    let samples = samples();
    assert!(samples.len() > 400, "{}", samples.len());
    for (id, (event, payload)) in samples.iter().enumerate() {
        let Some(alert) = store(&daemon, id, event, payload) else {
            assert_eq!(event, "ping");
            continue;
        };
        let message = alert["message"].as_str().unwrap();
        if event == "push" {
            assert!(message.contains(" pushed ") || message.contains(" deleted "), "{message}");
        } else {
            let (_, what) = message.split_once(": ").unwrap();
            let action = payload["action"].as_str().map_or_else(String::new, |action| format!(" {action}"));
            assert!(what.starts_with(&format!("{event}{action}")), "{event}: {message}");
        }
        // The only failure among the samples is that of a check.
        let conclusion = payload[event]["conclusion"].as_str();
        assert!(alert["level"] == "error" || conclusion != Some("failure"), "{event}: {alert}");
        assert_eq!(alert["metadata"]["event"], *event);
    }
}

#[test]
fn an_event_is_about_its_own_object_whatever_else_the_payload_has() {
    let daemon = Daemon::start();
    // What Actions adds to the events that its runs cause.
    let others = json!({
        "check_run": {"name": "roll out", "conclusion": "success", "html_url": "https://git.example/check"},
        "workflow": {"name": "Delivery"},
        "workflow_run": {"name": "Delivery", "conclusion": "success", "html_url": "https://git.example/run"},
        "issue": {"title": "another", "number": 5},
        "pull_request": {"title": "another", "number": 6},
        "alert": {"number": 7, "rule": {"severity": "critical", "description": "another"}},
        "repository": {"full_name": "shop/web", "html_url": "https://git.example/shop/web"},
    });
    let cases = [
        (
            "deployment_status",
            json!({"action": "created", "deployment_status": {
                "state": "error", "environment": "staging-eu", "description": "2 of 6 pods not ready", "target_url": "https://git.example/log"
            }}),
            "deployment_status created: staging-eu (error): 2 of 6 pods not ready",
            "error",
            "https://git.example/log",
        ),
        (
            "deployment_status",
            json!({"action": "created", "deployment_status": {"state": "failure", "environment": "production", "description": ""}}),
            "deployment_status created: production (failure)",
            "error",
            "https://git.example/shop/web",
        ),
        (
            "deployment_status",
            json!({"action": "created", "deployment_status": {"state": "in_progress", "environment": "production"}}),
            "deployment_status created: production (in_progress)",
            "info",
            "https://git.example/shop/web",
        ),
        (
            "deployment",
            json!({"action": "created", "deployment": {"environment": "production", "task": "deploy"}}),
            "deployment created: production",
            "info",
            "https://git.example/shop/web",
        ),
        (
            "deployment_review",
            json!({"action": "rejected", "environment": "production", "comment": "not today"}),
            "deployment_review rejected: production: not today",
            "warn",
            "https://git.example/run",
        ),
        (
            "repository_import",
            json!({"status": "failure"}),
            "repository_import (failure)",
            "error",
            "https://git.example/shop/web",
        ),
        (
            "repository_import",
            json!({"status": "success"}),
            "repository_import (success)",
            "info",
            "https://git.example/shop/web",
        ),
        (
            "page_build",
            json!({"build": {"status": "errored", "error": {"message": "no such theme"}}}),
            "page_build (errored): no such theme",
            "error",
            "https://git.example/shop/web",
        ),
        (
            "check_suite",
            json!({"action": "completed", "check_suite": {"head_branch": "main", "conclusion": "failure", "app": {"name": "CI"}}}),
            "check_suite completed: CI (failure)",
            "error",
            "https://git.example/shop/web",
        ),
        (
            "check_suite",
            json!({"action": "rerequested", "check_suite": {"conclusion": "failure", "app": {"name": "CI"}}}),
            "check_suite rerequested: CI (failure)",
            "info",
            "https://git.example/shop/web",
        ),
        (
            "workflow_job",
            json!({"action": "completed", "workflow_job": {"name": "test", "conclusion": "timed_out", "html_url": "https://git.example/job"}}),
            "workflow_job completed: test (timed_out)",
            "error",
            "https://git.example/job",
        ),
        (
            "status",
            json!({"state": "failure", "context": "ci/build", "description": "3 tests failed", "target_url": "https://ci.example"}),
            "status: ci/build (failure): 3 tests failed",
            "error",
            "https://ci.example",
        ),
        (
            "repository_vulnerability_alert",
            json!({"action": "create", "alert": {"affected_package_name": "rack", "severity": "moderate"}}),
            "repository_vulnerability_alert create: rack",
            "warn",
            "https://git.example/shop/web",
        ),
        (
            "security_advisory",
            json!({"action": "published", "security_advisory": {"summary": "RCE in rack", "severity": "critical"}}),
            "security_advisory published: RCE in rack",
            "error",
            "https://git.example/shop/web",
        ),
        (
            "meta",
            json!({"action": "deleted", "hook": {"name": "web"}}),
            "meta deleted: web",
            "warn",
            "https://git.example/shop/web",
        ),
        ("create", json!({"ref": "v1", "ref_type": "tag"}), "create: tag v1", "info", "https://git.example/shop/web"),
        (
            "label",
            json!({"action": "created", "label": {"name": "bug"}}),
            "label created: bug",
            "info",
            "https://git.example/shop/web",
        ),
        ("star", json!({"action": "created"}), "star created", "info", "https://git.example/shop/web"),
        // Events that GitHub may have one day.
        (
            "rocket_launch",
            json!({"action": "completed", "rocket_launch": {"name": "ariane", "conclusion": "failure"}}),
            "rocket_launch completed: ariane (failure)",
            "error",
            "https://git.example/shop/web",
        ),
        ("something_else", json!({"action": "done"}), "something_else done", "info", "https://git.example/shop/web"),
    ];
    for (id, (event, own, message, level, page)) in cases.into_iter().enumerate() {
        let mut payload = others.clone();
        payload.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let alert = store(&daemon, id, event, &payload).unwrap();
        let url = alert["metadata"]["url"].as_str();
        assert_eq!(
            (alert["message"].as_str().unwrap(), alert["level"].as_str().unwrap(), url),
            (format!("shop/web: {message}").as_str(), level, Some(page)),
            "{event}"
        );
    }
}
