//! Wrong keys: what they cost, and that they do not harm other clients.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use alertd::key::secret;
use serde_json::Value;

use crate::harness::{Daemon, Key, Request, eventually, former_key, import};

fn status(daemon: &Daemon, key: &Key) -> u16 {
    daemon.send(&Request::get("/health").key(key)).status
}

fn metric(daemon: &Daemon, name: &str) -> f64 {
    let text = Request::get("/metrics").over(&daemon.control()).text();
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {name}:\n{text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

fn derivations(daemon: &Daemon) -> f64 {
    metric(daemon, "alertd_pbkdf2_derivations_total")
}

/// Removes the tags of these keys from the key file, as in an earlier version.
fn without_tags(daemon: &Daemon, keys: &[Key]) {
    let file = daemon.state().join("auth.json");
    let mut content: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    content.as_object_mut().unwrap().remove("number");
    for key in content["keys"].as_array_mut().unwrap() {
        if keys.iter().any(|old| key["id"] == old.id) {
            let key = key.as_object_mut().unwrap();
            assert!(key.remove("tag").is_some());
            key.remove("checksum");
        }
    }
    fs::write(&file, content.to_string()).unwrap();
}

/// Repeats a request that must be refused, until it is stopped; any other answer fails the test.
fn refused_until(stop: &AtomicBool, address: SocketAddr, request: &Request) {
    while !stop.load(Ordering::Relaxed) {
        let status = request.try_to(address).map(|answer| answer.status);
        assert!(matches!(status, None | Some(401)), "{request:?}: {status:?}");
    }
}

#[test]
fn every_good_key_is_admitted_in_time_after_a_restart_whatever_others_send() {
    let mut daemon = Daemon::start();
    let revoked: Vec<_> = (0..50).map(|number| daemon.key(&format!("gone{number}"))).collect();
    let mut good: Vec<_> = (0..20).map(|number| daemon.key(&format!("good{number}"))).collect();
    let former: Vec<_> = (0..4).map(|number| former_key(&format!("former{number}"), number)).collect();
    import(&daemon, &former);
    for key in &revoked {
        assert_eq!(Request::new("DELETE", &format!("/keys/{}", key.id)).over(&daemon.control()).status, 200);
    }
    daemon.stop();
    let untagged = 5;
    without_tags(&daemon, &good[..untagged]);
    let daemon = daemon.again();
    let (stop, address) = (AtomicBool::new(false), daemon.address);
    let repeated = |secret: String| Request::get("/health").header("Authorization", &format!("Bearer {secret}"));
    let mut floods: Vec<_> = revoked.iter().map(|key| repeated(key.secret.clone())).collect();
    floods.extend((0..4).map(|n| repeated(secret::compose("nobody", "aaaaaaaaaa", &[n; 24]).to_string())));
    floods.extend((0..2).map(|n| repeated(secret::compose("good9", &good[9].id, &[n; 24]).to_string())));
    floods.extend([Request::get("/health"), Request::get("/alerts"), repeated("x".into())]);
    floods.push(repeated(former_key("nobody", 1).secret));
    good.extend_from_slice(&former);
    thread::scope(|scope| {
        for request in &floods {
            scope.spawn(|| refused_until(&stop, address, request));
        }
        eventually("a flood", || {
            (metric(&daemon, "alertd_authentications_total{result=\"unknown\"}") > 200.0).then_some(())
        });
        for key in &good {
            let began = Instant::now();
            let status = status(&daemon, key);
            assert!(status == 200 && began.elapsed() < Duration::from_secs(2), "{status} {:?}", began.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(derivations(&daemon), (untagged + former.len()) as f64);
}

#[test]
fn a_restart_and_a_wrong_secret_cost_no_derivation_for_a_key_of_our_own() {
    let mut daemon = Daemon::start();
    let (new, old) = (daemon.key("new"), daemon.key("old"));
    daemon.stop();
    without_tags(&daemon, std::slice::from_ref(&old));
    let mut daemon = daemon.again();
    assert_eq!([status(&daemon, &new), status(&daemon, &old), status(&daemon, &old)], [200; 3]);
    assert_eq!(derivations(&daemon), 1.0);
    let file = daemon.state().join("auth.json");
    eventually("the tag of the old key", || {
        (fs::read_to_string(&file).unwrap().matches("\"tag\"").count() == 2).then_some(())
    });
    daemon.stop();
    let daemon = daemon.again();
    for byte in 0..100 {
        let wrong = Key { secret: secret::compose("old", &old.id, &[byte; 24]).to_string(), ..old.clone() };
        assert_eq!(status(&daemon, &wrong), 401);
    }
    assert_eq!([status(&daemon, &new), status(&daemon, &old)], [200; 2]);
    assert_eq!(derivations(&daemon), 0.0);
}

#[test]
fn guesses_for_an_imported_key_are_held_back_and_take_nothing_from_others() {
    let daemon = Daemon::with("[limits]\nfailed_auth_rate = 3\n");
    let own = daemon.key("dave");
    let (dave, erin) = (former_key("dave", 1), former_key("erin", 1));
    import(&daemon, &[dave.clone(), erin.clone()]);
    let guess = |byte: u8| status(&daemon, &former_key("dave", byte));
    // A client that repeats one secret is refused each time, but costs and counts once.
    assert_eq!([guess(2), guess(2), guess(2), guess(2), guess(2), guess(3), guess(4)], [401; 7]);
    assert_eq!(derivations(&daemon), 3.0);
    let limited = daemon.send(&Request::get("/health").key(&former_key("dave", 5)));
    assert_eq!(limited.status, 429);
    assert!(limited.text().contains("dave") && limited.header("retry-after").is_some(), "{}", limited.text());
    assert_eq!([guess(2), status(&daemon, &own), status(&daemon, &erin)], [401, 200, 200]);
    assert_eq!(derivations(&daemon), 4.0);
}

#[test]
fn the_client_behind_a_trusted_proxy_is_the_one_that_counts() {
    let daemon = Daemon::with("[limits]\nfailed_auth_rate = 1\n[http]\ntrusted_proxies = \"127.0.0.1\"\n");
    import(&daemon, &[former_key("dave", 1)]);
    let from = |header: &str, client: &str, byte: u8| {
        daemon.send(&Request::get("/health").key(&former_key("dave", byte)).header(header, client)).status
    };
    for (number, (header, client)) in [
        ("X-Forwarded-For", "203.0.113.7:4711"),
        ("X-Forwarded-For", "198.51.100.1, [2001:db8::7]:4711"),
        ("X-Forwarded-For", "203.0.113.8, 127.0.0.1"),
        ("Forwarded", "for=\"203.0.113.9:4711\";proto=https"),
        ("Forwarded", "for=\"[2001:db8::9]:4711\""),
    ]
    .into_iter()
    .enumerate()
    {
        let guess = 10 * number as u8 + 2;
        assert_eq!([from(header, client, guess), from(header, client, guess + 1)], [401, 429], "{client}");
        assert_eq!(from(header, "192.0.2.1:1", 1), 200);
    }
    for address in ["203.0.113.7", "2001:db8::7", "203.0.113.8", "203.0.113.9", "2001:db8::9"] {
        daemon.said(&format!("address={address} "));
    }
}

#[test]
fn the_failures_of_one_address_do_not_fill_the_log() {
    let mut daemon = Daemon::start();
    for _ in 0..100 {
        assert_eq!(daemon.send(&Request::get("/health")).status, 401);
    }
    daemon.said("authentication failed from 127.0.0.1: no key was sent");
    assert_eq!(metric(&daemon, "alertd_authentications_total{result=\"missing\"}"), 100.0);
    assert_eq!(daemon.stop().code(), Some(0));
    let line = daemon.said("90 more failed authentications from 127.0.0.1 within a minute: no key was sent");
    assert!(line.contains("message_id=authentications-left-out") && line.contains("count=90"), "{line}");
    assert_eq!(daemon.log().matches("authentication failed").count(), 10, "{}", daemon.log());
}
