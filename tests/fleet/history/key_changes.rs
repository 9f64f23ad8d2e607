//! Keys that are made, used, and revoked on another node while the others still know them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::readers::follow;
use super::traffic::{PACE, Traffic, ask};
use super::{Event, Reader, Revoked};
use crate::harness::{Answer, Key, Random, Request};

/// How long a revoked key is tried.
const WATCHED: Duration = Duration::from_secs(4);

impl Traffic<'_> {
    pub(super) fn change_keys(&self) {
        let mut random = Random::new(self.seed, 300);
        while self.publishing.load(Ordering::Acquire) > 0 {
            if let Some(revoked) = self.make_and_revoke(&mut random) {
                self.revoked.lock().unwrap().push(revoked);
            }
            std::thread::park_timeout(10 * PACE);
        }
    }

    /// None if the key could not be made, or was not known anywhere before the end.
    fn make_and_revoke(&self, random: &mut Random) -> Option<(Key, Revoked)> {
        let body = json!({ "user": "short-lived", "scopes": ["subscribe"] });
        let made = self.insist(random, 201, || Request::post("/keys").json(&body))?.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let key = Key { id: text(&made["key"]["id"]), secret: text(&made["secret"]) };
        let (address, _) = self.fleet.endpoint(random.node());
        let stream = follow(address, &Request::get("/alerts?topic=*&since=none").key(&key));
        let mut stream = stream.filter(|stream| stream.head.status == 200);
        self.insist(random, 200, || Request::new("DELETE", &format!("/keys/{}", key.id)))?;
        let mut revoked = Revoked { at: self.now(), ..Revoked::default() };
        let (began, mut reader) = (Instant::now(), Reader::default());
        for node in 0.. {
            if began.elapsed() > WATCHED {
                break;
            }
            self.try_key(node % self.fleet.size(), &key, &mut revoked);
            if let Some(open) = &mut stream {
                open.set_patience(PACE);
                match open.try_event() {
                    Ok(Some(event)) => drop(reader.record(&event)),
                    Ok(None) => stream = None,
                    Err(_) => {}
                }
            } else {
                std::thread::park_timeout(PACE);
            }
        }
        let message = |event| if let Event::Alert { message, .. } = event { Some(message) } else { None };
        revoked.delivered = reader.events.into_iter().filter_map(message).collect();
        Some((key, revoked))
    }

    /// Uses a revoked key once.
    pub(super) fn try_key(&self, node: usize, key: &Key, revoked: &mut Revoked) {
        let sent = self.now();
        let answer = ask(self.fleet.endpoint(node).0, &Request::get("/health").key(key));
        if answer.is_some_and(|answer| answer.status == 200) {
            revoked.accepted.push((sent, node));
        }
    }

    /// Changes keys on any node until that is answered with this status. None if the end comes first.
    fn insist(&self, random: &mut Random, status: u16, request: impl Fn() -> Request) -> Option<Answer> {
        let began = Instant::now();
        while self.publishing.load(Ordering::Acquire) > 0 {
            match ask(self.fleet.endpoint(random.node()).0, &request().key(&self.admin_key)) {
                Some(answer) if answer.status == status => return Some(answer),
                // The node has not heard of the key, or it was revoked by a request before, of which nothing was heard.
                // Which of the two cannot be told, so nothing is proved with this key.
                Some(answer) if answer.status == 404 && began.elapsed() > WATCHED => return None,
                Some(answer) if ![404, 503].contains(&answer.status) => {
                    self.unexpected("change of a key", &answer);
                    return None;
                }
                _ => {}
            }
            std::thread::park_timeout(PACE);
        }
        None
    }
}
