//! Incidents: random sequences of what senders, people, time, retention and restarts do, against a model of a few rules.
//!
//! After each step the incidents that the engine answers are those of the model, a fold of the feed agrees with them, the
//! engine has counted and measured them, and the log reads as it was fed.

mod fold;
mod model;
mod run;

use std::sync::Arc;

use super::{Backend, UNLIMITED};
use crate::alert::{Draft, Level};
use crate::engine::{ActFailure, Changed, Feed, Publish, Retention, Tracking};
use crate::incident::{Act, ActError, Action, Key, Settings, Untracked};
use model::Alert;
use run::Run;

fn key(topic: &str, name: &str) -> Key {
    Key { topic: topic.parse().unwrap(), name: name.parse().unwrap() }
}

fn incident(alert: &Alert) -> Draft {
    let Alert { key, message, level, is_end, ttl_s, .. } = alert;
    let status = if *is_end { "resolved" } else { "open" };
    let ttl = ttl_s.map_or_else(String::new, |s| format!(r#","ttl":"{s}s""#));
    let name = serde_json::Value::from(key.name.as_str());
    let body = format!(
        r#"{{"topic":"{}","message":"{message}","level":"{level}","incident":{name},"status":"{status}"{ttl}}}"#,
        key.topic
    );
    Draft::from_json(None, body.as_bytes()).unwrap()
}

fn plain(topic: &str) -> Publish {
    Publish { draft: super::draft(topic, "plain", Level::Error), user: "carol".into(), idempotency: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_does_what_the_model_says_over_restarts_and_retention() {
    let first: u64 = std::env::var("ALERTD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let runs: u64 = std::env::var("ALERTD_TEST_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1);
    for backend in Backend::all().into_iter().map(Arc::new) {
        for block in 0..runs {
            let mut tasks = tokio::task::JoinSet::new();
            for seed in (0..8).map(|number| first + 8 * block + number) {
                let (backend, count) = (Arc::clone(&backend), if seed % 2 == 0 { 25 } else { 0 });
                tasks.spawn(async move {
                    Run::new(backend, seed, Retention { count, ..UNLIMITED }).await.run(60).await;
                });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn acts_are_refused_for_a_reason() {
    for backend in Backend::all() {
        let log = backend.open("log", UNLIMITED).await;
        log.engine.set_incidents(Settings { max_open: 1, ..Settings::default() });
        let act = |name: &str, action| Act { key: key("ops", name), action, by: "bob".into(), note: None };
        let refused = |outcome: Result<_, ActFailure>| outcome.map(|_: Changed| ()).unwrap_err();
        let alert = |name: &str, is_end| Publish {
            draft: incident(&Alert {
                key: key("ops", name),
                user: "u",
                message: "m",
                level: Level::Warn,
                is_end,
                ttl_s: None,
            }),
            user: "u".into(),
            idempotency: None,
        };
        let unknown = log.engine.act(act("none", Action::Resolve)).await;
        assert_eq!(refused(unknown), ActFailure::Refused(ActError::Unknown));
        log.engine.append_all(vec![alert("one", false), alert("one", true), alert("two", false)]).await.unwrap();
        let resolved = log.engine.act(act("one", Action::Acknowledge)).await;
        assert_eq!(refused(resolved), ActFailure::Refused(ActError::Resolved));
        let full = log.engine.act(act("one", Action::Reopen)).await;
        assert_eq!(refused(full), ActFailure::Refused(ActError::Full));
        let untracked = log.engine.append(alert("three", false)).await.unwrap();
        assert_eq!(untracked.incident, Tracking::Untracked(Untracked::MaxOpen(1)));
        // There is room again within the same group.
        let both = log.engine.append_all(vec![alert("two", true), alert("three", false)]).await.unwrap();
        assert_eq!(both.last().unwrap().incident, Tracking::Tracked);
    }
}

#[tokio::test]
async fn of_many_who_acknowledge_at_once_the_first_one_did_it() {
    for backend in Backend::all() {
        let mut log = backend.open("log", UNLIMITED).await;
        let alert =
            Alert { key: key("ops", "disk"), user: "u", message: "m", level: Level::Warn, is_end: false, ttl_s: None };
        log.engine.append(Publish { draft: incident(&alert), user: "u".into(), idempotency: None }).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..50 {
            let (engine, by) = (log.engine.clone(), format!("user {number}"));
            let act = Act { key: key("ops", "disk"), action: Action::Acknowledge, by, note: None };
            tasks.spawn(async move { engine.act(act).await.unwrap() });
        }
        let changed = tasks.join_all().await;
        let did: Vec<_> = changed.iter().filter_map(|changed| changed.record.as_ref()).collect();
        assert_eq!(did.len(), 1);
        assert!(changed.iter().all(|one| one.row == changed[0].row));
        let mut fed = Vec::new();
        while fed.len() < 2 {
            if let Feed::Alerts(records) = log.feed.recv().await.unwrap() {
                fed.extend_from_slice(&records);
            }
        }
        assert_eq!(fed[1], *did[0]);
        assert_eq!(log.engine.head(), Some(fed[1].id));
    }
}
