//! Publishers: some keep-alive connections on a thread of their own.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::event::epoll::EventFlags;

use crate::dialect::{Requests, Target, Topics, source};
use crate::histogram::Histogram;
use crate::machine::now;
use crate::net::{self, Poll};
use crate::stamp::Stamp;
use crate::{Result, answer};

/// What is to be published.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) topics: Topics,
    /// Each has at most one publish in flight.
    pub(crate) connections: usize,
    /// Alerts per second; without, each connection goes on as soon as it is answered.
    pub(crate) pace: Option<f64>,
    /// The first sequence number.
    pub(crate) first: u32,
    /// So many alerts at most.
    pub(crate) limit: u32,
    /// So long at most.
    pub(crate) duration: Duration,
}

/// How far it is; for the thread that reads.
#[derive(Default)]
pub(crate) struct Progress {
    next: AtomicU32,
}

impl Progress {
    /// Sequence number of the next alert.
    pub(crate) fn next(&self) -> u32 {
        self.next.load(Ordering::Acquire)
    }
}

/// What was published.
pub(crate) struct Published {
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    /// From sending (or the time for it) to the answer.
    pub(crate) answers: Histogram,
    pub(crate) seconds: f64,
}

struct Connection {
    socket: OwnedFd,
    since: u64,
    answer: Vec<u8>,
}

/// Publishes all of the plan.
pub(crate) fn publish(target: &Target, plan: &Plan, progress: &Progress) -> Result<Published> {
    Publisher::new(target, plan, progress)?.run()
}

struct Publisher<'a> {
    target: &'a Target,
    plan: &'a Plan,
    progress: &'a Progress,
    poll: Poll,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    requests: Requests,
    sent: u32,
    published: Published,
}

impl<'a> Publisher<'a> {
    fn new(target: &'a Target, plan: &'a Plan, progress: &'a Progress) -> Result<Self> {
        let poll = Poll::new(256)?;
        let mut connections = Vec::new();
        for number in 0..plan.connections {
            let address = target.publish_to();
            let socket = net::connect(source(address, 300_000 + number), address)?;
            poll.add(&socket, number as u64, EventFlags::IN)?;
            connections.push(Connection { socket, since: 0, answer: Vec::new() });
        }
        progress.next.store(plan.first, Ordering::Release);
        Ok(Self {
            target,
            plan,
            progress,
            poll,
            idle: (0..plan.connections).collect(),
            connections,
            requests: Requests::new(target, plan.topics),
            sent: 0,
            published: Published { answered: 0, refused: 0, answers: Histogram::new(), seconds: 0.0 },
        })
    }

    fn run(mut self) -> Result<Published> {
        let began = now();
        let end = began + self.plan.duration.as_nanos() as u64;
        // Who does not answer for so long after the end will not.
        let patience = end + 30_000_000_000;
        loop {
            let time = now();
            let more = self.sent < self.plan.limit && self.due(began).max(time) < end;
            if more {
                while let Some(number) = self.idle.pop_front() {
                    let due = self.due(began);
                    if due > now() || self.sent >= self.plan.limit {
                        self.idle.push_front(number);
                        break;
                    }
                    self.send(number, due)?;
                }
            } else if self.idle.len() == self.connections.len() || time > patience {
                break;
            }
            let until = if more && !self.idle.is_empty() { self.due(began) } else { time + 100_000_000 };
            let ready: Vec<usize> = self
                .poll
                .wait(Some(Duration::from_nanos(until.saturating_sub(now()))))?
                .map(|(number, _)| number as usize)
                .collect();
            for number in ready {
                self.receive(number)?;
            }
        }
        self.published.seconds = (now() - began) as f64 / 1e9;
        Ok(self.published)
    }

    /// When the next alert should be sent; 0 is at once.
    fn due(&self, began: u64) -> u64 {
        self.plan.pace.map_or(0, |pace| began + (f64::from(self.sent) / pace * 1e9) as u64)
    }

    fn send(&mut self, number: usize, due: u64) -> Result<()> {
        let sequence = self.plan.first + self.sent;
        // A server that falls behind is measured by when the alert should have been sent.
        let nanoseconds = if due == 0 { now() } else { due };
        let request = self.requests.with(Stamp { sequence, nanoseconds });
        self.sent += 1;
        self.progress.next.store(sequence + 1, Ordering::Release);
        let connection = &mut self.connections[number];
        connection.since = nanoseconds;
        connection.answer.clear();
        Ok(net::send_all(&connection.socket, request)?)
    }

    fn receive(&mut self, number: usize) -> Result<()> {
        let connection = &mut self.connections[number];
        let mut buffer = [0; 4096];
        match net::receive(&connection.socket, &mut buffer)? {
            None => return Ok(()),
            Some(0) => return Err("a publisher's connection was closed".into()),
            Some(length) => connection.answer.extend_from_slice(&buffer[..length]),
        }
        let Some(answer) = answer::whole(&connection.answer) else { return Ok(()) };
        if answer.length != connection.answer.len() {
            return Err("an answer is longer than it says".into());
        }
        if (200..300).contains(&answer.status) {
            self.published.answered += 1;
            self.published.answers.record(now() - connection.since);
        } else {
            self.published.refused += 1;
        }
        if answer.close {
            let address = self.target.publish_to();
            connection.socket = net::connect(source(address, 300_000 + number), address)?;
            self.poll.add(&connection.socket, number as u64, EventFlags::IN)?;
        }
        self.idle.push_back(number);
        Ok(())
    }
}

/// Publishes one alert over its own connection, and gives the answer's body.
pub(crate) fn publish_one(target: &Target, topics: Topics, sequence: u32) -> Result<String> {
    let mut request = Vec::new();
    target.publish(topics, Stamp { sequence, nanoseconds: now() }, false, &mut request);
    exchange(target.publish_to(), &request)
}

/// One request over a connection of its own; anything but success is an error.
pub(crate) fn exchange(address: std::net::SocketAddrV4, request: &[u8]) -> Result<String> {
    let socket = net::connect(None, address)?;
    net::send_all(&socket, request)?;
    let mut poll = Poll::new(1)?;
    poll.add(&socket, 0, EventFlags::IN)?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let deadline = now() + 10_000_000_000;
    while now() < deadline {
        let _ = poll.wait(Some(Duration::from_millis(500)))?.count();
        match net::receive(&socket, &mut buffer)? {
            None => {}
            Some(0) => return Err("the connection was closed before an answer".into()),
            Some(length) => bytes.extend_from_slice(&buffer[..length]),
        }
        if let Some(answer) = answer::whole(&bytes) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
            return if (200..300).contains(&answer.status) { Ok(body) } else { Err(text.into()) };
        }
    }
    Err("no answer within 10 seconds".into())
}
