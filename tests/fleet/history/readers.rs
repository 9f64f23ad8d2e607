//! Subscribers and those who page through the history.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alertd::alert::Id;
use serde_json::Value;

use super::traffic::{CLIENT_TIMEOUT, END_TIMEOUT, PACE, Traffic, ask};
use super::{Direction, Event, Reader, Walk};
use crate::harness::{Random, Request, Stream};

impl Traffic<'_> {
    /// A reader that stays at its node (0), hops, breaks off, stalls, or wants one topic (4).
    pub(super) fn read(&self, number: usize) {
        let mut random = Random::new(self.seed, 100 + number as u64);
        let name = ["stays", "hops", "breaks off", "stalls", "of one topic"][number];
        let topic = (number == 4).then(|| "load.1".to_owned());
        let mut reader = Reader { name: name.to_owned(), topic, events: Vec::new() };
        let (mut at, mut over) = (Id::ZERO, None);
        while !self.is_over(at)
            && (self.publishing.load(Ordering::Acquire) > 0
                || over.get_or_insert_with(Instant::now).elapsed() < END_TIMEOUT)
        {
            let (address, key) = self.fleet.endpoint(if number == 0 { 0 } else { random.node() });
            let path = format!("/alerts?topic={}", reader.topic.as_deref().unwrap_or("*"));
            let request = Request::get(&path).key(&key).header("Last-Event-ID", &at.to_string());
            let Some(mut stream) = follow(address, &request) else {
                std::thread::park_timeout(PACE);
                continue;
            };
            if stream.head.status != 200 {
                if stream.head.status != 503 {
                    self.unexpected(&format!("stream of the reader that {name}"), &stream.head);
                }
                std::thread::park_timeout(PACE);
                continue;
            }
            let mut left =
                [u64::MAX, 1 + random.below(80), 1 + random.below(5), 1 + random.below(200), u64::MAX][number];
            while left > 0
                && !self.is_over(at)
                && let Ok(Some(event)) = stream.try_event()
            {
                left -= 1;
                at = reader.record(&event).unwrap_or(at);
                if number == 3 && left == 0 {
                    std::thread::park_timeout(Duration::from_millis(random.below(2000)));
                }
            }
        }
        self.history.lock().unwrap().readers.push(reader);
    }

    pub(super) fn page(&self) {
        let mut random = Random::new(self.seed, 200);
        while self.publishing.load(Ordering::Acquire) > 0 {
            let direction = if random.below(2) == 0 { Direction::Forward } else { Direction::Backward };
            let began = self.now();
            if let Some(pages) = self.walk(random.node(), direction) {
                self.history.lock().unwrap().walks.push(Walk { began, direction, pages });
            }
            std::thread::park_timeout(10 * PACE);
        }
    }

    /// All pages, or None if one was not answered.
    pub(super) fn walk(&self, node: usize, direction: Direction) -> Option<Vec<Vec<(Id, String)>>> {
        let (mut pages, mut place) = (Vec::new(), None);
        loop {
            let (address, key) = self.fleet.endpoint(node);
            let place_of = match (direction, &place) {
                (Direction::Forward, None) => "&since=0-0".to_owned(),
                (Direction::Backward, None) => String::new(),
                (Direction::Forward, Some(place)) => format!("&since={place}"),
                (Direction::Backward, Some(place)) => format!("&before={place}"),
            };
            let request = Request::get(&format!("/alerts?topic=*&limit=300{place_of}"));
            let answer = ask(address, &request.key(&key).header("Accept", "application/json"))?;
            if answer.status != 200 {
                if answer.status != 503 {
                    self.unexpected("page", &answer);
                }
                return None;
            }
            let page = answer.json();
            pages.push(page["alerts"].as_array().unwrap().iter().map(entry).collect());
            match page["next"].as_str() {
                Some(next) => place = Some(next.to_owned()),
                None => return Some(pages),
            }
        }
    }
}

impl Reader {
    /// Records an event; returns its id, which is the cursor of the next connection.
    pub(super) fn record(&mut self, event: &alertd::sse::Event) -> Option<Id> {
        let id = event.id.as_deref().map(|id| id.parse().unwrap());
        if event.event == "gap" {
            let gap: Value = serde_json::from_str(&event.data).unwrap();
            let number = |name: &str| gap[name].as_str().map(|id| id.parse().unwrap());
            self.events.push(Event::Gap { oldest: number("oldest"), head: number("head").unwrap_or(Id::ZERO) });
        }
        if event.event.is_empty() && !event.data.is_empty() {
            let (id, message) = entry(&serde_json::from_str(&event.data).unwrap());
            self.events.push(Event::Alert { id, message });
        } else if let Some(id) = id {
            self.events.push(Event::Cursor(id));
        }
        id
    }
}

fn entry(alert: &Value) -> (Id, String) {
    (alert["id"].as_str().unwrap().parse().unwrap(), alert["message"].as_str().unwrap().to_owned())
}

/// Opens a stream that is given up after a silence of the client's timeout.
pub(super) fn follow(address: SocketAddr, request: &Request) -> Option<Stream> {
    let mut wire = TcpStream::connect_timeout(&address, CLIENT_TIMEOUT).ok()?;
    wire.set_read_timeout(Some(CLIENT_TIMEOUT)).ok()?;
    wire.write_all(&request.bytes(false)).ok()?;
    Stream::answered(wire)
}
