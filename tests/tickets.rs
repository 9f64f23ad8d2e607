//! Tickets: each opens one stream for a browser's `EventSource`, with the rights of its key and no longer than the key.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Answer, Daemon, Key, Request, eventually};

fn ticket(daemon: &Daemon, key: &Key) -> String {
    let answer = daemon.send(&Request::post("/tickets").key(key));
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let given = answer.json();
    assert_eq!(given["expires_in"], 30);
    let ticket = given["ticket"].as_str().unwrap().to_owned();
    // 192 bits, in characters that need no escape in a URL.
    assert!(ticket.len() == 32 && ticket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{ticket}");
    ticket
}

fn with(ticket: &str) -> Request {
    Request::get(&format!("/alerts?ticket={ticket}"))
}

fn refused(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{answer:?}");
    assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[test]
fn a_ticket_opens_one_stream() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let one = ticket(&daemon, &key);
    let mut stream = daemon.stream(&Key { id: String::new(), secret: "none".into() }, &format!("/alerts?ticket={one}"));
    assert_eq!(stream.head.header("content-type"), Some("text/event-stream"));
    daemon.publish(&key, "default", "live");
    assert_eq!(stream.message(), "live");
    let used = refused(&daemon.send(&with(&one)));
    assert!(used.contains("POST /tickets") && used.contains("one stream"), "{used}");
    // The same text, whatever is wrong.
    let wrong = ["", "x", &one[1..], "%00", &"x".repeat(2000), &ticket(&daemon, &key).to_lowercase().replace('a', "b")];
    assert!(wrong.iter().all(|wrong| refused(&daemon.send(&with(wrong))) == used));
    assert!(refused(&daemon.send(&Request::get("/alerts"))).contains("Authorization: Bearer"));
    // It resumes where the previous stream ended.
    let next = format!("/alerts?since=all&last_event_id={}&ticket={}", stream.last_id.unwrap(), ticket(&daemon, &key));
    daemon.publish(&key, "default", "in between");
    let mut stream = daemon.stream(&Key { id: String::new(), secret: "none".into() }, &next);
    assert_eq!(stream.message(), "in between");
}

#[test]
fn of_many_who_come_with_one_ticket_one_gets_in() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let request = with(&ticket(&daemon, &key)).header("Accept", "application/json");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..16).map(|_| scope.spawn(|| daemon.send(&request).status)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 401, 429].contains(status)), "{statuses:?}");
}

#[test]
fn a_ticket_ends_after_thirty_seconds() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let (early, late) = (ticket(&daemon, &key), ticket(&daemon, &key));
    let given = Instant::now();
    assert_eq!(daemon.send(&with(&early).header("Accept", "application/json")).status, 200);
    // Nothing is sent: waits until the answer above is thirty seconds old.
    let (_silent, silence) = mpsc::channel::<()>();
    let _ = silence.recv_timeout(Duration::from_secs(30).saturating_sub(given.elapsed()));
    refused(&daemon.send(&with(&late)));
}

#[test]
fn a_ticket_reads_what_its_key_may_read_and_does_nothing_else() {
    let daemon = Daemon::start();
    let key = daemon.key_with(&json!({"user": "r", "topics": ["ops.*"]}));
    let get = |path: &str, accept: &str| {
        let request = Request::get(&format!("{path}ticket={}", ticket(&daemon, &key))).header("Accept", accept);
        daemon.send(&request)
    };
    daemon.publish(&key, "ops.db", "stored");
    assert!(get("/alerts?topic=ops.*&", "application/json").text().contains("stored"));
    for (path, words) in [("/alerts?topic=*&", "topic *"), ("/alerts/web?", "topic web")] {
        let answer = get(path, "*/*");
        assert_eq!((answer.status, answer.problem().as_str()), (403, "not-permitted"));
        assert!(answer.text().contains(words), "{}", answer.text());
    }
    let lines = Request::get(&format!("/alerts?topic=ops.*&ticket={}", ticket(&daemon, &key)));
    let stream = crate::harness::Stream::open(daemon.address, &lines.header("Accept", "application/x-ndjson"));
    assert_eq!((stream.head.status, stream.head.header("content-type")), (200, Some("application/x-ndjson")));
    // Nothing but reading, and not as a key.
    let spare = ticket(&daemon, &key);
    refused(&daemon.send(&Request::post(&format!("/alerts/ops.db?ticket={spare}")).body("x")));
    refused(&daemon.send(&Request::get(&format!("/health?ticket={spare}"))));
    refused(&daemon.send(&Request::post(&format!("/tickets?ticket={spare}"))));
    refused(&daemon.send(&Request::get("/alerts").header("Authorization", &format!("Bearer {spare}"))));
    assert_eq!(daemon.send(&Request::get(&format!("/alerts/ops.db?ticket={spare}&ticket={spare}"))).status, 422);
    // A browser behind a proxy with a password sends that along.
    let proxied = Request::get(&format!("/alerts?topic=ops.*&ticket={spare}")).header("Authorization", "Basic eDp5");
    assert_eq!(daemon.send(&proxied.header("Accept", "application/json")).status, 200);
}

#[test]
fn only_a_key_that_may_subscribe_gets_a_ticket() {
    let daemon = Daemon::start();
    let post = || Request::post("/tickets");
    refused(&daemon.send(&post()));
    let writer = daemon.key_with(&json!({"user": "w", "scopes": ["publish"]}));
    let answer = daemon.send(&post().key(&writer));
    assert_eq!((answer.status, answer.problem().as_str()), (403, "not-permitted"));
    for (socket, words) in [(daemon.control(), "stands for a key"), (daemon.publish_socket(), "can only publish")] {
        let answer = post().over(&socket);
        assert_eq!((answer.status, answer.problem().as_str()), (403, "not-permitted"));
        assert!(answer.text().contains(words), "{}", answer.text());
    }
    let reader = daemon.key_with(&json!({"user": "r", "scopes": ["subscribe"]}));
    ticket(&daemon, &reader);
    assert_eq!(daemon.send(&post().key(&reader).json(&json!({"topic": "ops"}))).problem(), "invalid");
    assert_eq!(daemon.send(&Request::post("/tickets?topic=ops").key(&reader)).problem(), "invalid");
    let get = daemon.send(&Request::get("/tickets").key(&reader));
    assert_eq!((get.status, get.header("allow")), (405, Some("POST, OPTIONS")));
}

#[test]
fn the_end_of_a_key_is_the_end_of_its_tickets_and_of_their_streams() {
    let daemon = Daemon::start();
    let (gone, kept) = (daemon.key("eve"), daemon.key("bob"));
    let spare = ticket(&daemon, &gone);
    let anybody = Key { id: String::new(), secret: "none".into() };
    let mut stream = daemon.stream(&anybody, &format!("/alerts?ticket={}", ticket(&daemon, &gone)));
    stream.until("cursor");
    let mut other = daemon.stream(&anybody, &format!("/alerts?ticket={}", ticket(&daemon, &kept)));
    other.until("cursor");
    assert_eq!(Request::new("DELETE", "/keys/eve").over(&daemon.control()).status, 200);
    assert_eq!(stream.bye(), "revoked");
    refused(&daemon.send(&with(&spare)));
    daemon.publish(&kept, "default", "still here");
    assert_eq!(other.message(), "still here");
    // They end with a key that expires, too.
    let brief = daemon.key_with(&json!({"user": "brief", "expires_in": 2}));
    let spare = ticket(&daemon, &brief);
    let mut stream = daemon.stream(&anybody, &format!("/alerts?ticket={}", ticket(&daemon, &brief)));
    assert_eq!(stream.bye(), "expired");
    refused(&daemon.send(&with(&spare)));
}

#[test]
fn a_key_gets_so_many_tickets_in_thirty_seconds_and_takes_none_from_others() {
    let daemon = Daemon::start();
    let (greedy, modest) = (daemon.key("greedy"), daemon.key("modest"));
    let refused = eventually("the limit", || {
        Some(daemon.send(&Request::post("/tickets").key(&greedy))).filter(|answer| answer.status != 201)
    });
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too-many-requests"));
    assert!((1..=30).contains(&refused.header("retry-after").unwrap().parse::<u64>().unwrap()), "{refused:?}");
    ticket(&daemon, &modest);
}

#[test]
fn bad_tickets_hold_nobody_back() {
    let daemon = Daemon::with("[limits]\nfailed_auth_rate = 3\n");
    let key = daemon.key("alice");
    let (good, used) = (ticket(&daemon, &key), ticket(&daemon, &key));
    let read = |ticket: &str| daemon.send(&with(ticket).header("Accept", "application/json")).status;
    assert_eq!(read(&used), 200);
    for _ in 0..10 {
        assert_eq!([read("x"), read(&used), read(&"y".repeat(32))], [401; 3]);
    }
    assert_eq!(read(&good), 200);
}

#[test]
fn a_ticket_is_not_in_the_log() {
    let daemon = Daemon::with("[log]\nlevel = \"trace\"\n");
    let key = daemon.key("alice");
    let one = ticket(&daemon, &key);
    assert_eq!(daemon.send(&with(&one).header("Accept", "application/json")).status, 200);
    refused(&daemon.send(&with(&one)));
    daemon.said("authentication failed");
    assert!(!daemon.log().contains(&one), "{}", daemon.log());
}

#[test]
fn a_page_of_another_origin_may_ask_for_a_ticket_where_it_is_configured() {
    let daemon = Daemon::with("[http]\ncors_origins = [\"https://dash.example.org\"]\n");
    let preflight = |origin: &str| {
        let request = Request::new("OPTIONS", "/tickets").header("Origin", origin);
        daemon.send(
            &request
                .header("Access-Control-Request-Method", "POST")
                .header("Access-Control-Request-Headers", "authorization"),
        )
    };
    let allowed = preflight("https://dash.example.org");
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://dash.example.org"));
    assert!(allowed.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(allowed.header("access-control-allow-headers").unwrap().contains("Authorization"));
    assert_eq!(preflight("https://elsewhere.example.org").header("access-control-allow-origin"), None);
}
