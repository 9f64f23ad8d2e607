//! Publishers: some insist under an idempotency key, some take what they get, and some ask for what has to be refused.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::traffic::{END_TIMEOUT, PACE, Traffic, ask_within};
use crate::harness::{Answer, Random, Request};

/// A node that has not answered by then is avoided for a while. alertd promises an answer within a second.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(1500);
const AVOIDED_FOR: Duration = Duration::from_secs(3);
const TOPICS: u64 = 3;

/// How a publish may be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Once; what became of it without an answer is not known.
    Once,
    /// Again and again, under its idempotency key.
    Stored,
    /// Not with success, but with this status.
    Refused(u16),
}

pub(super) struct Publisher<'a> {
    traffic: &'a Traffic<'a>,
    number: usize,
    random: Random,
    avoided: Option<(usize, Instant)>,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(traffic: &'a Traffic<'a>, number: usize) -> Self {
        Self { traffic, number, random: Random::new(traffic.seed, number as u64), avoided: None }
    }

    fn node(&mut self) -> usize {
        let (node, size) = (self.random.node(), self.traffic.fleet.size());
        let is_avoided = |(avoided, at): (usize, Instant)| avoided == node % size && at.elapsed() < AVOIDED_FOR;
        if self.avoided.is_some_and(is_avoided) { (node + 1) % size } else { node % size }
    }

    pub(super) fn publish_until_the_end(mut self) {
        let mut stored: Vec<(String, String)> = Vec::new();
        for turn in 0.. {
            if self.traffic.ended.load(Ordering::Acquire) {
                return;
            }
            let message = format!("{}-{turn}", self.number);
            let topic = format!("load.{}", self.random.below(TOPICS));
            let again = usize::try_from(self.random.below(1 << 16)).unwrap().checked_rem(stored.len());
            match self.random.below(20) {
                // A second time under its key: the first answer.
                0 if let Some(again) = again => {
                    let (message, topic) = stored[again].clone();
                    self.publish(&message, &topic, Some(&message), Wish::Stored);
                }
                1 if let Some(again) = again => {
                    // Not tried again where the key may have come to stand for this one.
                    let (key, _) = stored.swap_remove(again);
                    self.publish(&message, &topic, Some(&key), Wish::Refused(409));
                }
                2 => self.publish(&message, "not a topic", None, Wish::Refused(422)),
                3 => self.publish(&message, &topic, None, Wish::Refused(403)),
                4..=9 => self.publish(&message, &topic, None, Wish::Once),
                _ => {
                    self.publish(&message, &topic, Some(&message), Wish::Stored);
                    stored.push((message, topic));
                }
            }
            std::thread::park_timeout(PACE);
        }
    }

    fn publish(&mut self, message: &str, topic: &str, once: Option<&str>, wish: Wish) {
        let sent = self.traffic.now();
        let mut history = self.traffic.history.lock().unwrap();
        let publish = history.publishes.entry(message.to_owned()).or_default();
        if publish.topic.is_empty() {
            (publish.topic, publish.sent) = (topic.to_owned(), sent);
        }
        drop(history);
        let mut over = None;
        loop {
            let node = self.node();
            let (address, key) = self.traffic.fleet.endpoint(node);
            let key = if wish == Wish::Refused(403) { &self.traffic.reader_key } else { &key };
            let path = format!("/alerts/{}", topic.replace(' ', "%20"));
            let mut request = Request::post(&path).key(key).json(&json!({ "message": message }));
            if let Some(once) = once {
                request = request.header("Idempotency-Key", once);
            }
            match ask_within(PUBLISH_TIMEOUT, address, &request) {
                Some(answer) if answer.status == 200 => return self.traffic.answered(message, &answer),
                Some(answer) if wish == Wish::Refused(answer.status) => {
                    self.traffic.history.lock().unwrap().publishes.get_mut(message).unwrap().refused =
                        Some(answer.status);
                    return;
                }
                Some(answer) if answer.status != 503 => {
                    return self.traffic.unexpected(&format!("publish {message}"), &answer);
                }
                Some(_) => {}
                None => self.avoided = Some((node, Instant::now())),
            }
            if wish != Wish::Stored {
                return;
            }
            if self.traffic.ended.load(Ordering::Acquire)
                && over.get_or_insert_with(Instant::now).elapsed() > END_TIMEOUT
            {
                return self.traffic.unexpected(&format!("{message} was never stored"), &Answer::default());
            }
            std::thread::park_timeout(PACE);
        }
    }
}
