//! A log of wire-ready bytes, and a cursor for each subscriber: whatever is pending goes out as one write.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::epoll::EventFlags;

use super::clients::{Clients, OTHER, STREAM, Want};
use super::store::Committer;
use super::{Options, RingOptions};
use crate::{Result, net};

/// Bytes of the log; the older half is dropped when it is full.
const LOG: usize = 64 << 20;
/// The cursor of no subscriber.
const NONE: u64 = u64::MAX;

/// The log and who is how far in it.
struct Ring {
    log: Vec<u8>,
    /// Offset of the log's first byte in the whole stream of bytes.
    base: u64,
    /// By number of the client; `NONE` for those who are no subscribers.
    cursors: Vec<u64>,
    blocked: Vec<bool>,
    /// The next subscriber of the current pass.
    at: usize,
    /// Subscribers in a row that had all; a whole round of them ends the pass.
    served: usize,
}

pub(super) fn run(options: &RingOptions) -> Result<()> {
    let mut clients = Clients::new(&options.common)?;
    let mut ring = Ring::new();
    let store = options.store.as_ref().map(|path| Committer::start(path, options.fsync)).transpose()?;
    if let Some(store) = &store {
        clients.poll.add(store.done().as_fd(), OTHER, EventFlags::IN)?;
    }
    let (mut wants, mut logged) = (Vec::new(), 0);
    loop {
        let timeout = if ring.pending() { Some(Duration::ZERO) } else { None };
        clients.turn(timeout, &mut wants)?;
        for (number, want) in wants.drain(..) {
            match want {
                Want::Subscribe => ring.subscribe(number, &clients)?,
                Want::Publish(chunk) => match &store {
                    Some(store) => store.submit(number, chunk)?,
                    None => ring.publish(number, &chunk, &clients, &options.common, &mut logged),
                },
                Want::Other => {
                    for (number, chunk) in store.iter().flat_map(Committer::committed) {
                        ring.publish(number, &chunk, &clients, &options.common, &mut logged);
                    }
                }
                Want::Writable => ring.unblock(number),
                Want::Gone => {
                    ring.forget(number);
                    clients.close(number);
                }
            }
        }
        for number in ring.slice(options.slice, &clients) {
            ring.forget(number);
            clients.close(number);
        }
    }
}

impl Ring {
    fn new() -> Self {
        Self { log: Vec::with_capacity(LOG), base: 0, cursors: Vec::new(), blocked: Vec::new(), at: 0, served: 0 }
    }

    fn head(&self) -> u64 {
        self.base + self.log.len() as u64
    }

    fn subscribe(&mut self, number: usize, clients: &Clients) -> Result<()> {
        if number >= self.cursors.len() {
            self.cursors.resize(number + 1, NONE);
            self.blocked.resize(number + 1, false);
        }
        if let Some(socket) = clients.socket(number) {
            net::send_all(socket, STREAM)?;
            self.cursors[number] = self.head();
            self.blocked[number] = false;
        }
        Ok(())
    }

    fn publish(&mut self, number: usize, chunk: &[u8], clients: &Clients, options: &Options, logged: &mut u64) {
        *logged += 1;
        if options.repeat == Some(*logged) {
            self.append(chunk);
        }
        self.append(chunk);
        if options.drop == Some(*logged)
            && let Some(cursor) = self.cursors.iter_mut().find(|cursor| **cursor != NONE)
        {
            *cursor += chunk.len() as u64;
        }
        clients.answer(number);
    }

    fn append(&mut self, chunk: &[u8]) {
        if self.log.len() + chunk.len() > LOG {
            self.log.drain(..LOG / 2);
            self.base += LOG as u64 / 2;
        }
        self.log.extend_from_slice(chunk);
        self.served = 0;
    }

    fn pending(&self) -> bool {
        self.served < self.cursors.len()
    }

    fn unblock(&mut self, number: usize) {
        if self.blocked.get(number) == Some(&true) {
            self.blocked[number] = false;
            self.served = 0;
        }
    }

    fn forget(&mut self, number: usize) {
        if let Some(cursor) = self.cursors.get_mut(number) {
            *cursor = NONE;
        }
    }

    /// Serves at most this number of subscribers; returns those to close.
    fn slice(&mut self, most: usize, clients: &Clients) -> Vec<usize> {
        let (mut sends, mut lost, head) = (0, Vec::new(), self.head());
        while sends < most && self.pending() {
            if self.at >= self.cursors.len() {
                self.at = 0;
            }
            let number = self.at;
            self.at += 1;
            self.served += 1;
            let cursor = self.cursors[number];
            if cursor == NONE || cursor == head || self.blocked[number] {
                continue;
            }
            let from = cursor.checked_sub(self.base).map(|from| from as usize);
            let (Some(from), Some(socket)) = (from, clients.socket(number)) else {
                lost.push(number);
                continue;
            };
            sends += 1;
            match net::send(socket, &self.log[from..]) {
                Ok(Some(length)) => {
                    self.cursors[number] += length as u64;
                    self.blocked[number] = self.cursors[number] < head;
                }
                Ok(None) => self.blocked[number] = true,
                Err(_) => lost.push(number),
            }
        }
        lost
    }
}
