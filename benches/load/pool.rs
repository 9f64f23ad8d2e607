//! All streams of the generator: opened, polled and read by one thread.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use serde_json::{Map, Value};

use super::h2;
use super::sse::{Decoder, Event};
use super::stream::{State, Stream};
use super::tally::Tally;
use crate::dialect::{Target, Topics, source};
use crate::histogram::Histogram;
use crate::machine::now;
use crate::net::{self, Poll};
use crate::{Failure, Result, answer, stamp};

/// One read takes at most so much.
const BUFFER: usize = 256 << 10;

/// The streams and what they have in common.
pub(crate) struct Pool {
    target: Target,
    topics: Topics,
    h2: bool,
    poll: Poll,
    pub(crate) streams: Vec<Stream>,
    buffer: Vec<u8>,
    ready: Vec<usize>,
    /// Asked for and not answered.
    pub(crate) asking: usize,
    pub(crate) open: usize,
    /// From the request to the head.
    pub(crate) heads: Histogram,
    pub(crate) tally: Tally,
    /// Ended since the last look.
    pub(crate) ended: VecDeque<usize>,
    /// Streams whose seam between replay and live was passed since the last look.
    pub(crate) seams: VecDeque<usize>,
    pub(crate) refused: u64,
    /// Streams that ended while all were being opened, and were asked for again.
    reopened: usize,
    pub(crate) gaps: u64,
    /// The first answer that was no 200.
    pub(crate) complaint: String,
    /// All alerts of streams that are read with care.
    pub(crate) decoded: u64,
    /// Latencies of alerts that were published when their stream had passed its seam; only of streams read with care.
    pub(crate) live: Histogram,
}

impl Pool {
    pub(crate) fn new(target: &Target, topics: Topics, number: usize) -> Result<Self> {
        Ok(Self {
            target: target.clone(),
            topics,
            h2: false,
            poll: Poll::new(1024)?,
            streams: (0..number).map(|_| Stream::new()).collect(),
            buffer: vec![0; BUFFER],
            ready: Vec::new(),
            asking: 0,
            open: 0,
            heads: Histogram::new(),
            tally: Tally::new(number as u32 / topics.step(), topics.step()),
            ended: VecDeque::new(),
            seams: VecDeque::new(),
            refused: 0,
            reopened: 0,
            gaps: 0,
            complaint: String::new(),
            decoded: 0,
            live: Histogram::new(),
        })
    }

    /// Number of streams, from the first, that are parsed byte by byte, as a client must.
    pub(crate) fn decode(&mut self, number: usize) {
        for stream in self.streams.iter_mut().take(number) {
            stream.decoder = Some(Box::new(Decoder::new(true)));
        }
    }

    /// Each stream over HTTP/2, on a connection of its own; only for streams that stay quiet.
    pub(crate) fn speak_h2(&mut self, h2: bool) {
        self.h2 = h2;
    }

    /// Asks for one stream.
    pub(crate) fn ask(&mut self, number: usize) -> Result<()> {
        let address = self.target.address;
        let stream = &mut self.streams[number];
        let after = stream.decoder.as_ref().map(|decoder| decoder.last_id.as_str()).filter(|id| !id.is_empty());
        let request = match self.h2 {
            true => h2::request("/alerts?since=none", &self.target.key),
            false => self.target.subscribe(self.topics, number, after),
        };
        let socket = net::connect(source(address, number), address)?;
        net::send_all(&socket, &request)?;
        self.poll.add(&socket, number as u64, EventFlags::IN)?;
        stream.asked = now();
        stream.state = State::Asked;
        stream.seam = u64::MAX;
        stream.pending.clear();
        stream.socket = Some(socket);
        self.asking += 1;
        Ok(())
    }

    /// Opens streams up to this number, a limited number at a time.
    pub(crate) fn open_to(&mut self, number: usize, at_once: usize, patience: Duration) -> Result<()> {
        let mut next = self.open + self.asking;
        let mut moved = now();
        // Some servers drop some connections in a storm: a client would come again, and so does this one.
        let most = self.reopened + number / 10 + 10;
        while self.open < number {
            while self.asking < at_once {
                match self.ended.pop_front() {
                    Some(again) => {
                        self.reopened += 1;
                        self.ask(again)?;
                    }
                    None if next < number => {
                        self.ask(next)?;
                        next += 1;
                    }
                    None => break,
                }
            }
            let before = self.open;
            self.turn(Duration::from_millis(200))?;
            if self.reopened > most {
                return Err(self.trouble("streams are refused"));
            }
            if self.open > before {
                moved = now();
            } else if now() - moved > patience.as_nanos() as u64 {
                return Err(self.trouble("streams do not open"));
            }
        }
        Ok(())
    }

    /// Waits for what comes next, and reads it.
    pub(crate) fn turn(&mut self, timeout: Duration) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        ready.extend(self.poll.wait(Some(timeout))?.map(|(number, _)| number as usize));
        for &number in &ready {
            self.read(number);
        }
        self.ready = ready;
        Ok(())
    }

    fn read(&mut self, number: usize) {
        let Self { streams, buffer, tally, .. } = self;
        let stream = &mut streams[number];
        let Some(socket) = &stream.socket else { return };
        let kept = stream.pending.len();
        buffer[..kept].copy_from_slice(&stream.pending);
        let length = match net::receive(socket, &mut buffer[kept..]) {
            Ok(None) => return,
            Ok(Some(0)) | Err(_) => return self.end(number),
            Ok(Some(length)) => kept + length,
        };
        stream.pending.clear();
        let mut bytes = &buffer[..length];
        if self.h2 {
            let frames = h2::read(bytes);
            stream.pending.extend_from_slice(&bytes[frames.used..]);
            if frames.over || frames.answered == Some(false) || net::send_all(socket, &frames.reply).is_err() {
                return self.end(number);
            }
            if frames.answered.is_some() {
                stream.state = State::Open;
                self.heads.record(now() - stream.asked);
                self.asking -= 1;
                self.open += 1;
            }
            return;
        }
        if stream.state == State::Asked {
            let Some((end, status)) = answer::head(bytes) else {
                stream.pending.extend_from_slice(bytes);
                return;
            };
            if status != 200 {
                if self.complaint.is_empty() {
                    self.complaint = String::from_utf8_lossy(bytes).into_owned();
                }
                self.refused += 1;
                return self.end(number);
            }
            if let Some(decoder) = &mut stream.decoder {
                decoder.restart(answer::field(&bytes[..end], b"transfer-encoding:").is_some());
            }
            bytes = &bytes[end..];
            stream.state = State::Open;
            self.heads.record(now() - stream.asked);
            self.asking -= 1;
            self.open += 1;
        }
        let time = now();
        let Some(decoder) = &mut stream.decoder else {
            let kept = stamp::scan(bytes, |stamp| tally.take(&mut stream.order, stamp, time));
            stream.pending.extend_from_slice(&bytes[kept..]);
            return;
        };
        let (seams, gaps, decoded, live) = (&mut self.seams, &mut self.gaps, &mut self.decoded, &mut self.live);
        decoder.feed(bytes, |event| match event {
            Event::Alert(data) => {
                *decoded += 1;
                stamp::scan(data, |stamp| {
                    tally.take(&mut stream.order, stamp, time);
                    if stamp.nanoseconds > stream.seam {
                        live.record(time - stamp.nanoseconds);
                    }
                });
            }
            Event::Named("cursor") if stream.seam == u64::MAX => {
                stream.seam = time;
                seams.push_back(number);
            }
            Event::Named("gap") => *gaps += 1,
            Event::Named(_) => {}
        });
    }

    fn end(&mut self, number: usize) {
        let stream = &mut self.streams[number];
        match stream.state {
            State::Asked => self.asking -= 1,
            State::Open => self.open -= 1,
            State::Closed => return,
        }
        stream.state = State::Closed;
        stream.socket = None;
        self.ended.push_back(number);
    }

    /// From this sequence number on, everything is measured.
    pub(crate) fn begin(&mut self, first: u32, one_publisher: bool) {
        self.tally.begin(first);
        let index = first / self.topics.step();
        for stream in &mut self.streams {
            stream.order.begin(index, one_publisher);
        }
    }

    /// In how many orders streams of the same alerts have got them: 1, or something is wrong.
    pub(crate) fn orders(&self) -> usize {
        let digests: std::collections::HashSet<(u32, u64)> = self
            .streams
            .iter()
            .enumerate()
            .filter(|(_, stream)| stream.state == State::Open)
            .map(|(number, stream)| (self.topics.phase(number), stream.order.digest))
            .collect();
        (digests.len() as u32).div_ceil(self.topics.step()) as usize
    }

    /// What every workload reports of its streams.
    pub(crate) fn report(&self, into: &mut Map<String, Value>) {
        self.heads.report("head", into);
        let broken: u64 = self.streams.iter().filter_map(|stream| Some(stream.decoder.as_ref()?.broken)).sum();
        into.insert("streams".into(), self.open.into());
        into.insert("ended".into(), self.ended.len().into());
        into.insert("reopened".into(), self.reopened.into());
        into.insert("orders".into(), self.orders().into());
        into.insert("decoded".into(), self.decoded.into());
        into.insert("broken".into(), broken.into());
    }

    fn trouble(&self, what: &str) -> Failure {
        let complaint = self.complaint.split("\r\n").last().unwrap_or_default();
        let Self { open, asking, refused, .. } = self;
        format!("{what}: {open} open, {asking} asked for, {refused} refused, {} ended. {complaint}", self.ended.len())
            .into()
    }
}
