//! Incidents: what alerts open, people acknowledge and resolve, and time ends, on both engines.

mod command;
mod measured;
mod time;
mod ways;

use serde_json::{Value, json};

use crate::harness::{Answer, Daemon, Key, Redis, Request, Stream, eventually};

/// A daemon with each engine, and the Redis that must outlive it.
fn engines(configuration: &str) -> [(Daemon, Option<Redis>); 2] {
    let redis = Redis::start();
    let fleet = redis.configuration(configuration);
    [(Daemon::with(configuration), None), (ready(Daemon::with(&fleet)), Some(redis))]
}

/// The daemon, once it serves: a node of a fleet has to reach its Redis first.
fn ready(daemon: Daemon) -> Daemon {
    eventually("a daemon that is ready", || (daemon.send(&Request::get("/readyz")).status == 200).then_some(()));
    daemon
}

/// The same daemon again.
fn again(daemon: Daemon) -> Daemon {
    ready(daemon.again())
}

fn report(daemon: &Daemon, key: &Key, topic: &str, body: &Value) -> Answer {
    daemon.send(&Request::post(&format!("/alerts/{topic}")).key(key).json(body))
}

/// Publishes and returns the stored alert.
fn reported(daemon: &Daemon, key: &Key, topic: &str, body: &Value) -> Value {
    let answer = report(daemon, key, topic, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["status"], "alert stored");
    answer.json()["alert"].clone()
}

fn incidents(daemon: &Daemon, key: &Key, query: &str) -> Vec<Value> {
    let answer = daemon.send(&Request::get(&format!("/incidents?{query}")).key(key));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["incidents"].as_array().unwrap().clone()
}

fn incident(daemon: &Daemon, key: &Key, path: &str) -> Value {
    let answer = daemon.send(&Request::get(&format!("/incidents/{path}")).key(key));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn act(daemon: &Daemon, key: &Key, path: &str, body: &Value) -> Answer {
    daemon.send(&Request::post(&format!("/incidents/{path}")).key(key).json(body))
}

/// The next transition of a stream, with the id of its event.
fn transition(stream: &mut Stream) -> Value {
    let event = stream.until("incident");
    let data: Value = serde_json::from_str(&event.data).unwrap();
    assert_eq!(data["id"].as_str(), event.id.as_deref());
    data
}

const ERROR: &str = r#"{"message":"disk is full","level":"error","incident":"disk","metadata":{"title":"db1"}}"#;

fn error() -> Value {
    serde_json::from_str(ERROR).unwrap()
}

#[test]
fn an_incident_is_opened_acknowledged_resolved_and_opened_again_and_streams_and_history_say_so() {
    for (daemon, _redis) in engines("") {
        let (alice, bob) = (daemon.key("alice"), daemon.key("bob"));
        let mut stream = daemon.stream(&alice, "/alerts/ops?level=error&since=none");
        stream.until("cursor");
        let alert = reported(&daemon, &alice, "ops", &error());
        assert_eq!((&alert["incident"], &alert["status"]), (&json!("disk"), &json!("open")));
        assert_eq!((&alert["occurrence"], &alert["count"]), (&json!(1), &json!(1)));
        assert_eq!(stream.alert().unwrap(), alert);
        let open = incident(&daemon, &bob, "ops/disk");
        assert_eq!(
            (&open["state"], &open["level"], &open["message"]),
            (&json!("open"), &json!("error"), &json!("disk is full"))
        );
        assert_eq!(
            (&open["title"], &open["alert"], &open["opened_at"]),
            (&json!("db1"), &alert["id"], &alert["received_at"])
        );

        let acknowledged = act(&daemon, &bob, "ops/disk/acknowledge", &json!({"note": "on it"}));
        assert_eq!(acknowledged.status, 200, "{acknowledged:?}");
        let acknowledged = acknowledged.json();
        assert_eq!((&acknowledged["state"], &acknowledged["acknowledged_by"]), (&json!("acknowledged"), &json!("bob")));
        let said = transition(&mut stream);
        assert_eq!(
            (&said["state"], &said["by"], &said["note"]),
            (&json!("acknowledged"), &json!("bob"), &json!("on it"))
        );
        assert_eq!((&said["reason"], &said["occurrence"], &said["topic"]), (&json!("api"), &json!(1), &json!("ops")));
        // The first one counts, and nothing is recorded for the second.
        let again = act(&daemon, &alice, "ops/disk/acknowledge", &json!({})).json();
        assert_eq!(again, acknowledged);

        let over = json!({"message": "disk has room", "incident": "disk", "status": "resolved"});
        let resolving = reported(&daemon, &alice, "ops", &over);
        assert_eq!((&resolving["status"], &resolving["count"]), (&json!("resolved"), &json!(1)));
        assert_eq!(incidents(&daemon, &bob, ""), Vec::<Value>::new());
        let resolved = incidents(&daemon, &bob, "state=resolved&topic=ops");
        assert_eq!((&resolved[0]["resolved_by"], &resolved[0]["alert"]), (&json!("alice"), &resolving["id"]));
        assert_eq!(act(&daemon, &bob, "ops/disk/acknowledge", &json!({})).status, 409);
        let reopened = act(&daemon, &bob, "ops/disk/reopen", &json!({})).json();
        assert_eq!((&reopened["state"], &reopened["occurrence"]), (&json!("open"), &json!(1)));
        assert_eq!((&reopened["acknowledged_by"], &reopened["resolved_by"]), (&Value::Null, &Value::Null));
        assert_eq!(transition(&mut stream)["state"], "open");
        assert_eq!(act(&daemon, &bob, "ops/disk/resolve", &json!({"note": "done"})).json()["state"], "resolved");
        let last = transition(&mut stream);
        assert_eq!((&last["state"], &last["note"]), (&json!("resolved"), &json!("done")));
        let next = reported(&daemon, &alice, "ops", &error());
        assert_eq!((&next["occurrence"], &next["count"]), (&json!(2), &json!(1)));

        // History has the transitions on request, and a replay has them always.
        let history = |query: &str| {
            let path = format!("/alerts/ops?since=all{query}");
            let page = daemon.send(&Request::get(&path).key(&alice).header("Accept", "application/json")).json();
            page["alerts"].as_array().unwrap().clone()
        };
        assert!(history("").iter().all(|alert| alert["event"].is_null()));
        assert_eq!(history("").len(), 3);
        let all = history("&include=incidents");
        let states: Vec<_> = all.iter().filter(|one| one["event"] == "incident").map(|one| &one["state"]).collect();
        assert_eq!(states, [&json!("acknowledged"), &json!("open"), &json!("resolved")]);
        let mut replay = daemon.stream(&alice, "/alerts/ops?since=all");
        let replayed: Vec<Value> = (0..3).map(|_| transition(&mut replay)).collect();
        let listed: Vec<Value> = all.into_iter().filter(|one| one["event"] == "incident").collect();
        for (mut listed, replayed) in listed.into_iter().zip(replayed) {
            listed.as_object_mut().unwrap().remove("event");
            assert_eq!(listed, replayed);
        }
        // The newest alert of a topic is an alert, even after a transition.
        act(&daemon, &bob, "ops/disk/acknowledge", &json!({}));
        let mut latest = daemon.stream(&alice, "/alerts/ops?since=latest");
        assert_eq!(latest.alert().unwrap()["id"], next["id"]);
        let one = daemon.send(&Request::get(&format!("/alerts/ops/{}", next["id"].as_str().unwrap())).key(&alice));
        assert_eq!((one.status, one.json()), (200, next));
    }
}

#[test]
fn a_stream_of_lines_names_a_transition_first() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    reported(&daemon, &key, "ops", &error());
    act(&daemon, &key, "ops/disk/acknowledge", &json!({}));
    let request = Request::get("/ntfy/ops/json?poll=1").key(&key);
    let ntfy = daemon.send(&request).text();
    assert_eq!(ntfy.lines().count(), 1, "clients of ntfy know no transitions: {ntfy}");
    let mut stream =
        daemon.follow(&Request::get("/alerts/ops?since=all").key(&key).header("Accept", "application/x-ndjson"));
    let text = loop {
        let text = stream.more();
        if text.contains("acknowledged") {
            break text;
        }
    };
    let line = text.lines().find(|line| line.contains("acknowledged")).unwrap();
    assert!(line.starts_with(r#"{"event":"incident","id":""#), "{line}");
}

#[test]
fn levels_and_counts_follow_the_alerts() {
    for (daemon, _redis) in engines("") {
        let key = daemon.key("alice");
        let send = |level: &str, message: &str| {
            reported(&daemon, &key, "ops", &json!({"message": message, "level": level, "incident": "disk"}))
        };
        assert_eq!(send("info", "fine")["occurrence"], Value::Null);
        assert_eq!(incidents(&daemon, &key, "state=all"), Vec::<Value>::new());
        send("warn", "80 %");
        act(&daemon, &key, "ops/disk/acknowledge", &json!({}));
        assert_eq!(send("info", "81 %")["count"], 2);
        assert_eq!(incident(&daemon, &key, "ops/disk")["state"], "acknowledged");
        assert_eq!(send("warn", "82 %")["count"], 3);
        assert_eq!(incident(&daemon, &key, "ops/disk")["state"], "acknowledged");
        send("error", "99 %");
        let worse = incident(&daemon, &key, "ops/disk");
        assert_eq!((&worse["state"], &worse["level"], &worse["count"]), (&json!("open"), &json!("error"), &json!(4)));
        // The same idempotency key again is the same report.
        let request = Request::post("/alerts/ops").key(&key).json(&error()).header("Idempotency-Key", "k");
        let first = daemon.send(&request).json();
        assert_eq!(daemon.send(&request).json()["alert"]["id"], first["alert"]["id"]);
        assert_eq!(incident(&daemon, &key, "ops/disk")["count"], 5);
    }
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    reported(&daemon, &key, "ops", &error());
    let reader = daemon.key_with(&json!({"user": "reader", "scopes": ["subscribe"]}));
    let other = daemon.key_with(&json!({"user": "other", "topics": ["web"]}));
    let long = "x".repeat(1025);
    for (answer, status, words) in [
        (
            report(&daemon, &key, "ops", &json!({"message": "m", "status": "resolved"})),
            422,
            "status: needs the field incident",
        ),
        (report(&daemon, &key, "ops", &json!({"message": "m", "incident": "a\nb"})), 422, "incident: must have"),
        (act(&daemon, &key, "ops/none/acknowledge", &json!({})), 404, "there is no incident"),
        (act(&daemon, &key, "ops/disk/acknowledge", &json!({"note": long})), 422, "note: has more than 1024"),
        (act(&daemon, &key, "ops/disk/acknowledge", &json!({"text": "x"})), 422, "text: is no field here"),
        (act(&daemon, &reader, "ops/disk/acknowledge", &json!({})), 403, "publish"),
        (act(&daemon, &other, "ops/disk/acknowledge", &json!({})), 403, "ops"),
        (daemon.send(&Request::get("/incidents").key(&other)), 403, "*"),
        (daemon.send(&Request::get("/incidents/ops/disk").key(&other)), 403, "ops"),
        (daemon.send(&Request::get("/incidents?state=bad").key(&key)), 422, "state: takes"),
        (daemon.send(&Request::get("/alerts/ops/5-5").key(&key)), 404, "there is no alert 5-5"),
        (daemon.send(&Request::get("/alerts/ops/x").key(&key)), 422, "id: "),
    ] {
        assert_eq!(answer.status, status, "{words}: {answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(words), "{words}: {answer:?}");
    }
    assert_eq!(incident(&daemon, &key, "ops/disk")["state"], "open");
    assert_eq!(daemon.send(&Request::get("/incidents?topic=web").key(&other)).status, 200);
}

#[test]
fn incidents_outlive_a_crash_and_retention_leaves_the_unresolved_ones() {
    let redis = Redis::start();
    for configuration in [String::new(), redis.configuration("")] {
        let configuration = format!("{configuration}\n[alerts]\nretain_count = 5\n");
        let mut daemon = ready(Daemon::with(&configuration));
        let key = daemon.key("alice");
        let kept = reported(&daemon, &key, "ops", &error());
        reported(&daemon, &key, "web", &json!({"message": "slow", "level": "warn", "incident": "slow"}));
        act(&daemon, &key, "ops/disk/acknowledge", &json!({"note": "on it"}));
        act(&daemon, &key, "web/slow/resolve", &json!({}));
        let before = incident(&daemon, &key, "ops/disk");
        daemon.kill();
        let daemon = again(daemon);
        assert_eq!(incident(&daemon, &key, "ops/disk"), before);
        for number in 0..20 {
            daemon.publish(&key, "other", &format!("alert {number}"));
        }
        assert_eq!(incident(&daemon, &key, "ops/disk"), before);
        let alert = daemon.send(&Request::get(&format!("/alerts/ops/{}", kept["id"].as_str().unwrap())).key(&key));
        assert_eq!((alert.status, alert.json()), (200, kept));
        let gone = || (daemon.send(&Request::get("/incidents/web/slow").key(&key)).status == 404).then_some(());
        eventually("the resolved incident to leave with its alert", gone);
    }
}

#[test]
fn beyond_the_limit_alerts_are_stored_and_open_nothing() {
    for (daemon, _redis) in engines("[incidents]\nmax_open = 3\nmax_open_per_user = 2\n") {
        let (alice, bob) = (daemon.key("alice"), daemon.key("bob"));
        let open = |key: &Key, name: &str| {
            report(&daemon, key, "ops", &json!({"message": "m", "level": "warn", "incident": name})).json()
        };
        assert_eq!(open(&alice, "a")["incident"], Value::Null);
        open(&alice, "b");
        let beyond = open(&alice, "c");
        assert_eq!((&beyond["status"], &beyond["incident"]), (&json!("alert stored"), &json!("untracked")));
        assert_eq!(beyond["alert"]["occurrence"], Value::Null);
        assert_eq!(open(&bob, "d")["incident"], Value::Null);
        assert_eq!(open(&bob, "e")["incident"], "untracked");
        assert_eq!(open(&alice, "a")["alert"]["count"], 2);
        act(&daemon, &bob, "ops/b/resolve", &json!({}));
        assert_eq!(open(&alice, "c")["incident"], Value::Null);
        let names: Vec<_> = incidents(&daemon, &bob, "").iter().map(|one| one["incident"].clone()).collect();
        assert_eq!(names, ["c", "a", "d"]);
    }
}

#[test]
fn a_list_is_paged_from_the_newest_change_on() {
    for (daemon, _redis) in engines("") {
        let key = daemon.key("alice");
        for number in 0..7 {
            let (topic, level) = (["ops.a", "ops.b", "web"][number % 3], ["warn", "error"][number % 2]);
            reported(&daemon, &key, topic, &json!({"message": "m", "level": level, "incident": format!("i{number}")}));
        }
        act(&daemon, &key, "ops.a/i0/acknowledge", &json!({}));
        let (mut names, mut after) = (Vec::new(), String::new());
        loop {
            let page = daemon.send(&Request::get(&format!("/incidents?limit=2{after}")).key(&key)).json();
            names.extend(
                page["incidents"].as_array().unwrap().iter().map(|one| one["incident"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(names, ["i0", "i6", "i5", "i4", "i3", "i2", "i1"]);
        assert_eq!(incidents(&daemon, &key, "topic=ops.*&level=error").len(), 2);
        assert_eq!(incidents(&daemon, &key, "state=acknowledged").len(), 1);
    }
}
