//! Tests: incidents that several nodes change, that the replicas do not confirm, and whose log is replaced.

use std::sync::Arc;

use super::testing::{Server, until};
use super::{Durability, Existing, Redis, Restore, Settings};
use crate::alert::{Draft, Filter, Id, Level, Pattern, Record, RecordKind};
use crate::backup::Extent;
use crate::engine::{
    ActFailure, AppendError, Changed, Direction, Idempotency, IncidentPage, Publish, Range, Stored, Tracking,
};
use crate::incident::settings::MAX_RESOLVED;
use crate::incident::{self, Act, Action, Counts, Key, Query, Row, State, Wanted};

async fn start(settings: Settings) -> Redis {
    let (engine, mut feed) = Redis::start(settings);
    tokio::spawn(async move { while feed.recv().await.is_some() {} });
    engine.synced().await;
    engine
}

/// Two nodes of one fleet.
async fn two(server: &Server) -> [Redis; 2] {
    let node = |name: &str| Settings { node: name.into(), ..server.settings("i") };
    [start(node("one")).await, start(node("two")).await]
}

fn key(name: &str) -> Key {
    Key { topic: "ops".parse().unwrap(), name: name.parse().unwrap() }
}

fn report(name: &str, more: &str) -> Publish {
    let body = format!(r#"{{"topic":"ops","message":"m","level":"error","incident":"{name}"{more}}}"#);
    Publish { draft: Draft::from_json(None, body.as_bytes()).unwrap(), user: "u".into(), idempotency: None }
}

async fn publish(engine: &Redis, alert: Publish) -> Result<Stored, AppendError> {
    Ok(engine.append_all(vec![alert]).await?.remove(0))
}

async fn act(engine: &Redis, name: &str, action: Action, by: &str) -> Result<Changed, ActFailure> {
    engine.act(Act { key: key(name), action, by: by.into(), note: None }).await
}

async fn row(engine: &Redis, name: &str) -> Option<Row> {
    engine.incident(&key(name)).await.unwrap()
}

async fn list(engine: &Redis, wanted: Wanted, before: Option<Id>, limit: usize) -> IncidentPage {
    let query = Query { filter: Filter::new([Pattern::All], Level::Info), wanted, before, limit };
    engine.incidents(&query).await.unwrap()
}

async fn log(engine: &Redis) -> Vec<Record> {
    let (mut after, mut records) = (Id::ZERO, Vec::new());
    loop {
        let filter = Filter::new([Pattern::All], Level::Error);
        let range = Range { filter, after, until: Id::MAX, limit: 1000, bytes: 1 << 20 };
        let page = engine.read(range, Direction::Forward).await.unwrap();
        records.extend(page.records);
        match page.next {
            Some(next) => after = next,
            None => return records,
        }
    }
}

fn texts(records: &[Record], kind: RecordKind) -> Vec<serde_json::Value> {
    let wanted = records.iter().filter(|record| record.kind == kind);
    wanted.map(|record| serde_json::from_slice(&record.json).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_acknowledge_at_once_one_does_and_both_see_the_same() {
    let server = Server::start();
    let [one, two] = two(&server).await;
    for number in 0..30 {
        let name = format!("disk {number}");
        publish(&one, report(&name, "")).await.unwrap();
        let (by_one, by_two) =
            tokio::join!(act(&one, &name, Action::Acknowledge, "a"), act(&two, &name, Action::Acknowledge, "b"));
        let (by_one, by_two) = (by_one.unwrap(), by_two.unwrap());
        assert_eq!(by_one.record.is_some(), by_two.record.is_none());
        assert_eq!(by_one.row, by_two.row);
        assert_eq!(row(&two, &name).await, Some(by_one.row));
    }
    let transitions = texts(&log(&one).await, RecordKind::Transition);
    assert_eq!(transitions.len(), 30);
    // Both count the same incidents, and each measures what it did.
    let mut counts = Counts::default();
    counts.set(State::Acknowledged, Level::Error, 30);
    assert_eq!([one.incident_counts().await.unwrap(), two.incident_counts().await.unwrap()], [counts; 2]);
    let measured = [one.status(), two.status()].map(|status| status.incidents.acknowledgement.count());
    assert_eq!(measured.iter().sum::<u64>(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_report_at_once_count_every_alert() {
    let server = Server::start();
    let nodes = two(&server).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let engine = nodes[number % 2].clone();
        tasks.spawn(async move { publish(&engine, report("disk", "")).await.unwrap().incident });
    }
    assert!(tasks.join_all().await.iter().all(|incident| *incident == Tracking::Tracked));
    assert_eq!(row(&nodes[0], "disk").await.unwrap().count, 100);
    let alerts = texts(&log(&nodes[1]).await, RecordKind::Alert);
    let counts: Vec<_> = alerts.iter().map(|alert| alert["count"].as_u64().unwrap()).collect();
    assert!(counts.iter().copied().eq(1..=100), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_happens_once_although_the_clocks_of_nodes_are_ten_minutes_apart() {
    let server = Server::start();
    let mut nodes = Vec::new();
    for (name, minutes) in [("slow", 0), ("right", 10), ("fast", 20)] {
        let local = Arc::new(move || 1_795_455_190_000 + 60_000 * minutes);
        nodes.push(start(Settings { node: name.into(), local, ..server.settings("i") }).await);
    }
    for node in &nodes {
        node.set_incidents(incident::Settings { remind_after_ms: 1000, ..incident::Settings::default() });
    }
    let names: Vec<_> = (0..40).map(|number| format!("disk {number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let ttl = if number % 2 == 0 { r#","ttl":"3s""# } else { "" };
        publish(&nodes[number % 3], report(name, ttl)).await.unwrap();
    }
    let opened = row(&nodes[0], "disk 0").await.unwrap().opened_ms;
    until(async || log(&nodes[0]).await.iter().filter(|record| record.kind == RecordKind::Transition).count() >= 20)
        .await;
    for name in &names {
        act(&nodes[1], name, Action::Resolve, "a").await.unwrap();
    }
    let records = log(&nodes[2]).await;
    for (number, name) in names.iter().enumerate() {
        let own = |json: &&serde_json::Value| json["incident"] == **name;
        let transitions = texts(&records, RecordKind::Transition);
        let transitions: Vec<_> = transitions.iter().filter(own).collect();
        let reason = if number % 2 == 0 { "ttl" } else { "api" };
        assert!(transitions.len() == 1 && transitions[0]["reason"] == reason, "{transitions:?}");
        let alerts = texts(&records, RecordKind::Alert);
        let reminders: Vec<_> = alerts.iter().filter(own).map(|alert| alert["metadata"]["reminder"].as_u64()).collect();
        // The alert, and then each reminder once.
        assert!(reminders.len() > 1 && reminders[1..].iter().copied().eq((1..reminders.len() as u64).map(Some)));
        let row = row(&nodes[2], name).await.unwrap();
        assert!((opened..opened + 120_000).contains(&row.resolved.unwrap().ms), "only the clock of the server counts");
    }
    let alerts = texts(&records, RecordKind::Alert);
    let reminders = alerts.iter().filter(|alert| !alert["metadata"]["reminder"].is_null()).count() as u64;
    let measured = || {
        let of = nodes.iter().map(|node| node.status().incidents);
        of.fold((0, 0), |(sent, over), it| (sent + it.reminders, over + it.resolution.count()))
    };
    until(async || measured() == (reminders, 40)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_replicas_do_not_confirm_changes_no_incident() {
    let server = Server::start();
    let replica = server.replica();
    let engine = start(Settings { durability: Durability::Replicas(1), ..server.settings("i") }).await;
    engine.set_incidents(incident::Settings { repeat_interval_ms: 3_600_000, ..incident::Settings::default() });
    let keyed = || {
        let idempotency = Some(Idempotency { user: "u".into(), key: "k".into(), state: None });
        Publish { idempotency, ..report("disk", "") }
    };
    until(async || publish(&engine, report("disk", "")).await.is_ok()).await;
    let (before, count) = (row(&engine, "disk").await, log(&engine).await.len());
    replica.signal("STOP");
    // Counted, continued, opened and closed within one call. On a slow machine it may be unknown for a moment.
    assert!(publish(&engine, keyed()).await.is_err());
    let many = vec![report("disk", r#","status":"resolved""#), report("disk", ""), report("other", ""), keyed()];
    assert!(engine.append_all(many).await.is_err());
    let failed = act(&engine, "disk", Action::Acknowledge, "a").await.unwrap_err();
    assert!(matches!(failed, ActFailure::Failed(_)), "{failed:?}");
    let measured = engine.status().incidents;
    assert_eq!((measured.acknowledgement.count(), measured.resolution.count()), (0, 0));
    until(async || row(&engine, "disk").await == before && row(&engine, "other").await.is_none()).await;
    assert_eq!(engine.incident_counts().await.unwrap().of(State::Open, Level::Error), 1);
    assert_eq!(log(&engine).await.len(), count);
    assert_eq!(list(&engine, Wanted::All, None, 10).await.incidents, [(key("disk"), before.unwrap())]);
    replica.signal("CONT");
    until(async || act(&engine, "disk", Action::Acknowledge, "a").await.is_ok()).await;
    let counted = publish(&engine, keyed()).await.unwrap();
    assert_eq!((counted.incident, counted.repeated), (Tracking::Counted, false));
    let again = publish(&engine, keyed()).await.unwrap();
    assert_eq!((again.record, again.repeated), (counted.record, true));
    let row = row(&engine, "disk").await.unwrap();
    assert_eq!(row.state, State::Acknowledged);
    let open: u64 = server.ask(&["HVALS", "{i}:incidents-of"]).trim().parse().unwrap();
    assert_eq!(open, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_resolved_incidents_that_changed_last_are_kept() {
    let server = Server::start();
    let engine = start(server.settings("i")).await;
    let number = MAX_RESOLVED + 100;
    let names: Vec<_> = (0..number).map(|number| number.to_string()).collect();
    publish(&engine, report("open", "")).await.unwrap();
    for names in names.chunks(50) {
        let both = |name: &String| [report(name, ""), report(name, r#","status":"resolved""#)];
        engine.append_all(names.iter().flat_map(both).collect()).await.unwrap();
    }
    assert_eq!((row(&engine, "99").await, row(&engine, "100").await.unwrap().state), (None, State::Resolved));
    let mut before = None;
    let mut listed = Vec::new();
    loop {
        let page = list(&engine, Wanted::All, before, 4000).await;
        listed.extend(page.incidents.into_iter().map(|(key, _)| key.name.to_string()));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let expected: Vec<_> = names[100..].iter().rev().map(String::as_str).chain(["open"]).collect();
    assert!(listed == expected, "{} are listed", listed.len());
    let counts = ["incidents", "incidents-over", "incidents-open", "incidents-due", "incidents-of"].map(|name| {
        let command = if matches!(name, "incidents" | "incidents-of") { "HLEN" } else { "ZCARD" };
        server.ask(&[command, &format!("{{i}}:{name}")]).trim().parse::<usize>().unwrap()
    });
    assert_eq!(counts, [MAX_RESOLVED + 1, MAX_RESOLVED, 1, 0, 1]);
    let counts = engine.incident_counts().await.unwrap();
    assert_eq!((counts.of_state(State::Resolved), counts.of(State::Open, Level::Error)), (MAX_RESOLVED as u64, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_replaced_leaves_no_incident() {
    let server = Server::start();
    let engine = start(server.settings("i")).await;
    publish(&engine, report("disk", r#","ttl":"1h""#)).await.unwrap();
    engine.close().await;
    let (settings, runtime) = (server.settings("i"), tokio::runtime::Handle::current());
    let extent = Extent { trim: Id::ZERO, until: Id::at(1), clock_ms: 1 };
    tokio::task::spawn_blocking(move || {
        let restore = Restore::begin(&settings, runtime, extent, None, Existing::Replace, false).unwrap();
        restore.finish(Id::at(1)).unwrap();
    })
    .await
    .unwrap();
    assert_eq!(server.ask(&["KEYS", "{i}:incidents*"]).trim(), "");
    let engine = start(server.settings("i")).await;
    assert_eq!(row(&engine, "disk").await, None);
    assert_eq!(publish(&engine, report("disk", "")).await.unwrap().incident, Tracking::Tracked);
}
