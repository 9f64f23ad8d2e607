//! The connections of a floor: accepted, read, and parsed no further than needed.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::EventFlags;

use super::Options;
use crate::dialect::{ALERT_HEAD, ALERT_TAIL};
use crate::net::{self, Poll};
use crate::{Result, answer};

/// The epoll number of the listener.
const LISTENER: u64 = u64::MAX;
/// The epoll token of everything else that wakes the loop.
pub(super) const OTHER: u64 = u64::MAX - 1;

/// What a client wants.
pub(super) enum Want {
    /// The stream.
    Subscribe,
    /// This alert to be sent; the bytes are a whole chunk of the stream.
    Publish(Vec<u8>),
    /// No more of anything.
    Gone,
    /// Its socket takes bytes again.
    Writable,
    /// Not a client: the other descriptor is readable.
    Other,
}

struct Client {
    socket: OwnedFd,
    pending: Vec<u8>,
    streaming: bool,
}

/// All connections.
pub(super) struct Clients {
    pub(super) poll: Poll,
    listener: OwnedFd,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    ready: Vec<(u64, EventFlags)>,
    published: u64,
}

impl Clients {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let poll = Poll::new(256)?;
        let listener = net::listen(options.listen)?;
        poll.add(&listener, LISTENER, EventFlags::IN)?;
        let address = std::net::SocketAddrV4::try_from(rustix::net::getsockname(&listener)?)?;
        println!("{address}");
        Ok(Self { poll, listener, clients: Vec::new(), free: Vec::new(), ready: Vec::new(), published: 0 })
    }

    pub(super) fn socket(&self, number: usize) -> Option<&OwnedFd> {
        self.clients.get(number)?.as_ref().map(|client| &client.socket)
    }

    /// Forgets a client.
    pub(super) fn close(&mut self, number: usize) {
        if self.clients[number].take().is_some() {
            self.free.push(number);
        }
    }

    /// Answers a publisher.
    pub(super) fn answer(&self, number: usize) {
        if let Some(socket) = self.socket(number) {
            let _ = net::send_all(socket, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }
    }

    /// Waits, and collects what clients want.
    pub(super) fn turn(&mut self, timeout: Option<Duration>, wants: &mut Vec<(usize, Want)>) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        ready.extend(self.poll.wait(timeout)?);
        for &(number, flags) in &ready {
            match number {
                LISTENER => self.accept()?,
                OTHER => wants.push((0, Want::Other)),
                _ => self.look(number as usize, flags, wants),
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        for _ in 0..64 {
            let Some(socket) = net::accept(&self.listener)? else { break };
            let number = self.free.pop().unwrap_or(self.clients.len());
            // Edges: a stream that cannot take bytes now is heard of again, and no descriptor is registered twice.
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            self.poll.add(&socket, number as u64, flags)?;
            let client = Some(Client { socket, pending: Vec::new(), streaming: false });
            if number == self.clients.len() {
                self.clients.push(client);
            } else {
                self.clients[number] = client;
            }
        }
        Ok(())
    }

    fn look(&mut self, number: usize, flags: EventFlags, wants: &mut Vec<(usize, Want)>) {
        let Some(client) = self.clients.get_mut(number).and_then(Option::as_mut) else { return };
        if flags.contains(EventFlags::OUT) && client.streaming {
            wants.push((number, Want::Writable));
        }
        if !flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        let mut buffer = [0; 16 << 10];
        loop {
            match net::receive(&client.socket, &mut buffer) {
                Ok(Some(0)) | Err(_) => return wants.push((number, Want::Gone)),
                Ok(Some(length)) if client.pending.is_empty() => {
                    let used = requests(&buffer[..length], number, &mut client.streaming, &mut self.published, wants);
                    client.pending.extend_from_slice(&buffer[used..length]);
                    if length < buffer.len() {
                        return;
                    }
                }
                Ok(Some(length)) => {
                    client.pending.extend_from_slice(&buffer[..length]);
                    let used = requests(&client.pending, number, &mut client.streaming, &mut self.published, wants);
                    client.pending.drain(..used);
                }
                Ok(None) => return,
            }
        }
    }
}

/// Reads the whole requests at the start of the bytes, and returns how many bytes they are.
fn requests(
    bytes: &[u8],
    number: usize,
    streaming: &mut bool,
    published: &mut u64,
    wants: &mut Vec<(usize, Want)>,
) -> usize {
    let mut used = 0;
    while let Some(end) = memchr::memmem::find(&bytes[used..], b"\r\n\r\n") {
        let head = &bytes[used..used + end + 2];
        let body = used + end + 4;
        if head.starts_with(b"GET") {
            *streaming = true;
            wants.push((number, Want::Subscribe));
            used = body;
            continue;
        }
        let length = answer::field(head, b"content-length:").and_then(|value| value.trim().parse().ok()).unwrap_or(0);
        let Some(json) = bytes.get(body..body + length) else { break };
        *published += 1;
        wants.push((number, Want::Publish(chunk(*published, json))));
        used = body + length;
    }
    used
}

/// One chunk of the stream, with the shape and length of alertd's, around the fields that were sent.
fn chunk(number: u64, json: &[u8]) -> Vec<u8> {
    let fields = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
    let id = format!("id: 1795455190123-{number}\ndata: ");
    let length = id.len() + ALERT_HEAD.len() + fields.len() + ALERT_TAIL.len() + 2;
    let mut chunk = format!("{length:x}\r\n").into_bytes();
    chunk.reserve_exact(length + 2);
    for part in [id.as_bytes(), ALERT_HEAD.as_bytes(), fields, ALERT_TAIL.as_bytes(), b"\n\n\r\n"] {
        chunk.extend_from_slice(part);
    }
    chunk
}

/// The head of a stream, up to its first chunk.
pub(super) const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";
