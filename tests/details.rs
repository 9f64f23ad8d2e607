//! Failures of the log and of the keys: clients learn what is wrong, and only operators learn where.

use serde_json::json;

use crate::harness::{Answer, Daemon, Key, Redis, Request, eventually};

/// An answer of each route that needs the log or the keys.
fn answers(daemon: &Daemon, key: &Key) -> Vec<Answer> {
    let alert = json!({ "message": "a" });
    let requests = [
        Request::post("/alerts/ops").json(&alert),
        Request::post("/hooks/github").body("{}"),
        Request::get("/alerts").header("Accept", "application/json"),
        Request::get("/topics"),
        Request::get("/keys"),
        Request::post("/keys").json(&json!({ "user": "bob" })),
        Request::post("/tickets"),
        Request::get("/readyz"),
        Request::get("/health"),
    ];
    requests.into_iter().map(|request| daemon.send(&request.key(key))).collect()
}

#[test]
fn no_answer_to_a_client_says_where_redis_is_or_what_it_said() {
    let mut redis = Redis::start();
    let daemon = Daemon::with(&redis.configuration("key_prefix = \"hidden-prefix\"\n"));
    daemon.key_once_ready();
    let key = daemon.key_with(&json!({ "user": "alice", "scopes": ["publish", "subscribe", "admin"] }));
    redis.kill();
    daemon.said("engine-away");
    let answers = eventually("a refused publish", || {
        let answers = answers(&daemon, &key);
        (answers[0].status == 503).then_some(answers)
    });
    for answer in &answers {
        let body = answer.text();
        for hidden in ["127.0.0.1", "localhost", "refused", "os error", "hidden-prefix", "redis", "Redis"] {
            assert!(!body.contains(hidden), "{hidden:?} in {body}");
        }
    }
    // The operator is told.
    let told = Request::post("/alerts/ops").json(&json!({ "message": "a" })).over(&daemon.control());
    assert_eq!(told.status, 503);
    assert!(told.text().contains("127.0.0.1"), "{}", told.text());
}

#[test]
fn no_answer_to_a_client_names_the_file_of_the_keys() {
    let daemon = Daemon::start();
    let key = daemon.key_with(&json!({ "user": "alice", "scopes": ["publish", "subscribe", "admin"] }));
    let file = daemon.state().join("auth.json");
    std::fs::write(&file, r#"{"users": {}}"#).unwrap();
    let new = Request::post("/keys").json(&json!({ "user": "bob" }));
    let refused = daemon.send(&new.key(&key));
    assert_eq!(refused.status, 503, "{}", refused.text());
    for hidden in [&*daemon.state().to_string_lossy(), "auth.json"] {
        assert!(!refused.text().contains(hidden), "{}", refused.text());
    }
    assert!(refused.text().contains("journal"), "{}", refused.text());
    assert!(daemon.said("a change of the keys by ").contains(&*file.to_string_lossy()));
    let told = Request::post("/keys").json(&json!({ "user": "bob" })).over(&daemon.control());
    assert!(told.text().contains(&*file.to_string_lossy()), "{}", told.text());
}
