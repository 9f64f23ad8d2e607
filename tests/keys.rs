//! Keys: scopes, topics, expiry, rotation, revocation, import, and what reaches the disk and the log.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::json;

use crate::harness::{Answer, Daemon, Key, Request, Transport, eventually, former_key, import, over_both_transports};

over_both_transports! {
    a_revoked_key_ends_its_streams_and_no_others,
    an_expired_key_ends_its_streams,
    a_rotated_key_overlaps_with_the_new_one,
    a_narrowed_key_ends_its_streams_at_a_reload,
}

#[test]
fn a_key_reaches_as_far_as_its_scopes_and_topics() {
    let daemon = Daemon::start();
    let reader = daemon.key_with(&json!({"user": "r", "scopes": ["subscribe"], "topics": ["ops.*", "web"]}));
    let writer = daemon.key_with(&json!({"user": "w", "scopes": ["publish"], "topics": ["ops.db"]}));
    let refused = |request: Request, words: &str| {
        let answer = daemon.send(&request);
        assert_eq!((answer.status, answer.problem().as_str()), (403, "not-permitted"), "{request:?}");
        assert!(answer.text().contains(words), "{}", answer.text());
    };
    daemon.publish(&writer, "ops.db", "allowed");
    assert_eq!(daemon.stream(&reader, "/alerts?topic=ops.*&topic=web").message(), "allowed");
    refused(Request::post("/alerts/ops.db").key(&reader).body("x"), "scope \\\"publish\\\"");
    refused(Request::post("/alerts/ops.net").key(&writer).body("x"), "ops.net");
    refused(Request::get("/alerts/ops.db").key(&writer), "scope \\\"subscribe\\\"");
    refused(Request::get("/alerts?topic=*").key(&reader), "*");
    refused(Request::get("/alerts?topic=ops").key(&reader), "ops");
    refused(Request::get("/alerts?topic=web.*").key(&reader), "web.*");
    refused(Request::get("/keys").key(&reader), "scope \\\"admin\\\"");
    refused(Request::get("/status").key(&reader), "scope \\\"admin\\\"");
    let admin = daemon.key_with(&json!({"user": "a", "scopes": ["admin"]}));
    assert_eq!(daemon.send(&Request::get("/keys").key(&admin)).json()["keys"].as_array().unwrap().len(), 3);
    refused(Request::post("/reload").key(&admin), "control socket");
}

#[test]
fn every_wrong_key_is_refused_with_one_wording() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let revoked = daemon.key("eve");
    assert_eq!(Request::new("DELETE", &format!("/keys/{}", revoked.id)).over(&daemon.control()).status, 200);
    let mistyped = Key { secret: key.secret.replacen('a', "b", 1), ..key.clone() };
    let half = key.secret.len() / 2;
    let wordings: Vec<_> =
        ["", "x", &mistyped.secret, &revoked.secret, &key.secret[..half], "alertd_alice~aaaaaaaaaa~x"]
            .into_iter()
            .map(|secret| {
                let answer = daemon.send(&Request::get("/health").header("Authorization", &format!("Bearer {secret}")));
                assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{secret}");
                assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
                answer.json()["detail"].clone()
            })
            .chain([daemon.send(&Request::get("/health")).json()["detail"].clone()])
            .collect();
    assert!(wordings.iter().all(|wording| *wording == wordings[0]), "{wordings:?}");
    assert_eq!(daemon.send(&Request::get("/health").key(&key)).status, 200);
}

fn a_revoked_key_ends_its_streams_and_no_others(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let (gone, kept) = (daemon.key("eve"), daemon.key("bob"));
    let (mut first, mut second) = (daemon.stream(&gone, "/alerts"), daemon.stream(&kept, "/alerts"));
    first.until("cursor");
    second.until("cursor");
    let revoked = Request::new("DELETE", "/keys/eve").over(&daemon.control());
    assert_eq!(revoked.json()["keys"][0]["id"], gone.id.as_str());
    assert_eq!(first.bye(), "revoked");
    assert_eq!(daemon.send(&Request::get("/health").key(&gone)).status, 401);
    daemon.publish(&kept, "default", "still here");
    assert_eq!(second.message(), "still here");
}

fn an_expired_key_ends_its_streams(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key_with(&json!({"user": "brief", "expires_in": 2}));
    let mut stream = daemon.stream(&key, "/alerts");
    stream.until("cursor");
    assert_eq!(stream.bye(), "expired");
    assert_eq!(daemon.send(&Request::get("/health").key(&key)).status, 401);
}

fn a_rotated_key_overlaps_with_the_new_one(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let old = daemon.key("carol");
    let mut stream = daemon.stream(&old, "/alerts");
    stream.until("cursor");
    let rotated =
        Request::post(&format!("/keys/{}/rotate", old.id)).json(&json!({"overlap": 2})).over(&daemon.control());
    assert_eq!(rotated.status, 201, "{rotated:?}");
    let new = Key { id: String::new(), secret: rotated.json()["secret"].as_str().unwrap().into() };
    for key in [&old, &new] {
        assert_eq!(daemon.send(&Request::get("/health").key(key)).status, 200);
    }
    assert_eq!(stream.bye(), "expired");
    assert_eq!(daemon.send(&Request::get("/health").key(&old)).status, 401);
    assert_eq!(daemon.send(&Request::get("/health").key(&new)).status, 200);
}

fn a_narrowed_key_ends_its_streams_at_a_reload(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("kim");
    let mut stream = daemon.stream(&key, "/alerts");
    stream.until("cursor");
    let file = daemon.state().join("auth.json");
    let mut keys: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    keys["keys"][0]["topics"] = json!(["ops"]);
    keys["keys"][0].as_object_mut().unwrap().remove("checksum");
    keys.as_object_mut().unwrap().remove("number");
    fs::write(&file, keys.to_string()).unwrap();
    assert_eq!(Request::post("/reload").over(&daemon.control()).status, 200);
    assert_eq!(stream.bye(), "revoked");
    assert_eq!(daemon.send(&Request::get("/alerts").key(&key)).status, 403);
}

#[test]
fn a_damaged_key_is_named_and_refused_while_the_others_work() {
    let daemon = Daemon::start();
    let (bad, good) = (daemon.key("alice"), daemon.key("bob"));
    let file = daemon.state().join("auth.json");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("\"alice\"", "\"alicf\"")).unwrap();
    assert_eq!(Request::post("/reload").over(&daemon.control()).status, 200);
    assert_eq!(daemon.send(&Request::get("/health").key(&bad)).status, 401);
    assert_eq!(daemon.send(&Request::get("/health").key(&good)).status, 200);
    eventually("the key in the log", || daemon.log().contains(&bad.id).then_some(()));
    let listed = Request::get("/keys").over(&daemon.control()).json();
    assert_eq!(listed["unusable"][0]["id"], bad.id.as_str());
    let status = daemon.ctl(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("1, and 1 refused"), "{status:?}");
    let revoked = daemon.ctl(&["key", "revoke", &bad.id]);
    assert!(revoked.status.success(), "{revoked:?}");
    assert!(!fs::read_to_string(&file).unwrap().contains(&bad.id));
}

#[test]
fn keys_of_the_former_server_go_on_working() {
    let daemon = Daemon::start();
    let key = former_key("dave", 0x5c);
    import(&daemon, std::slice::from_ref(&key));
    daemon.publish(&key, "default", "as before");
    assert_eq!(daemon.stream(&key, "/alerts").message(), "as before");
}

#[test]
fn the_secret_is_in_no_file_log_or_list() {
    let daemon = Daemon::with("[log]\nlevel = \"trace\"\n[auth]\nquery_token = true\n");
    let key = daemon.key("alice");
    let random = key.secret.rsplit('~').next().unwrap().to_owned();
    daemon.publish(&key, "default", "x");
    assert_eq!(daemon.send(&Request::get(&format!("/health?token={}", key.secret))).status, 200);
    assert_eq!(daemon.send(&Request::get(&format!("/health?token={}x", key.secret))).status, 401);
    assert!(!Request::get("/keys").over(&daemon.control()).text().contains(&random));
    eventually("the requests in the log", || daemon.log().contains("authentication failed").then_some(()));
    assert!(!daemon.log().contains(&random), "{}", daemon.log());
    let file = daemon.state().join("auth.json");
    assert!(!fs::read_to_string(&file).unwrap().contains(&random));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_token_in_the_query_works_only_where_it_is_allowed() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let answer = daemon.send(&Request::get(&format!("/health?token={}", key.secret)));
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[test]
fn a_change_whose_sender_has_gone_before_it_was_accepted_is_not_made() {
    let daemon = Daemon::start();
    daemon.signal("STOP");
    let mut gone = UnixStream::connect(daemon.control()).unwrap();
    gone.write_all(&Request::post("/keys").json(&json!({"user": "carol"})).bytes(false)).unwrap();
    drop(gone);
    // One that only says that it sends no more is served.
    let mut waiting = UnixStream::connect(daemon.control()).unwrap();
    waiting.write_all(&Request::post("/keys").json(&json!({"user": "dave"})).bytes(false)).unwrap();
    waiting.shutdown(Shutdown::Write).unwrap();
    daemon.signal("CONT");
    assert_eq!(Answer::read(&mut waiting).status, 201);
    let listed = Request::get("/keys").over(&daemon.control()).text();
    assert!(listed.contains("dave") && !listed.contains("carol"), "{listed}");
}
