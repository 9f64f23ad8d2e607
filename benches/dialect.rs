//! How each server is asked for a stream and given an alert.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::stamp::{self, Stamp};

/// Bytes of an alert's message.
pub(crate) const PAYLOAD: usize = 200;

/// Whose API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dialect {
    /// Also the floors'.
    Alertd,
    Nchan,
    Pushpin,
    /// The origin's API.
    Fastapi,
}

/// A server under load: its address, its protocol and its processes.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Target {
    #[arg(long, value_enum, default_value = "alertd")]
    pub(crate) dialect: Dialect,
    #[arg(long)]
    pub(crate) address: SocketAddrV4,
    /// Where alerts go, if not to the same address.
    #[arg(long)]
    pub(crate) publish_address: Option<SocketAddrV4>,
    #[arg(long, default_value = "")]
    pub(crate) key: String,
    /// Processes whose trees are measured.
    #[arg(long, value_delimiter = ',')]
    pub(crate) pids: Vec<u32>,
}

/// What streams ask for and where alerts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Topics {
    /// One topic, one subscription.
    One,
    /// 20 topics in turn; 60 distinct subscriptions, each of which takes all 20.
    Wide,
    /// 20 topics in turn; 60 distinct subscriptions (topic and level), each of which takes one.
    Narrow,
}

impl Topics {
    const NUMBER: u32 = 20;
    const SUBSCRIPTIONS: usize = 60;

    /// Every how many alerts a stream gets one.
    pub(crate) fn step(self) -> u32 {
        if self == Self::Narrow { Self::NUMBER } else { 1 }
    }

    /// The first sequence number, modulo the step, that this stream gets.
    pub(crate) fn phase(self, stream: usize) -> u32 {
        stream as u32 % self.step()
    }

    fn query(self, stream: usize) -> String {
        let level = ["info", "warn", "error"][stream / Self::NUMBER as usize % 3];
        match self {
            Self::One => String::from("/alerts?since=none"),
            Self::Wide => format!("/alerts?since=none&topic=bench.*&topic=other{}", stream % Self::SUBSCRIPTIONS),
            Self::Narrow => format!("/alerts?since=none&topic=bench.t{}&level={level}", self.phase(stream)),
        }
    }

    fn path(self, sequence: u32) -> String {
        match self {
            Self::One => String::from("/alerts"),
            Self::Wide | Self::Narrow => format!("/alerts/bench.t{}", sequence % Self::NUMBER),
        }
    }
}

impl Target {
    /// Where alerts go.
    pub(crate) fn publish_to(&self) -> SocketAddrV4 {
        self.publish_address.unwrap_or(self.address)
    }

    /// The request for the stream of this number, going on after the given id.
    pub(crate) fn subscribe(&self, topics: Topics, stream: usize, after: Option<&str>) -> Vec<u8> {
        let path = match self.dialect {
            Dialect::Alertd => topics.query(stream),
            Dialect::Nchan => String::from("/sub"),
            Dialect::Pushpin | Dialect::Fastapi => String::from("/alerts"),
        };
        let after = after.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        format!(
            "GET {path} HTTP/1.1\r\nHost: bench\r\n{}Accept: text/event-stream\r\n{after}\r\n",
            self.authorization()
        )
        .into_bytes()
    }

    /// Writes the request that publishes this alert.
    pub(crate) fn publish(&self, topics: Topics, stamp: Stamp, idempotent: bool, into: &mut Vec<u8>) {
        let message = stamp.message(PAYLOAD);
        let json = match topics {
            Topics::Narrow => format!("{{\"message\":\"{message}\",\"level\":\"error\"}}"),
            _ => format!("{{\"message\":\"{message}\"}}"),
        };
        let (line, body) = match self.dialect {
            Dialect::Alertd => (format!("PUT {}", topics.path(stamp.sequence)), json),
            Dialect::Fastapi => (String::from("PUT /alerts"), json),
            Dialect::Nchan => (String::from("POST /pub"), alert_like(&message)),
            Dialect::Pushpin => {
                let content = serde_json::Value::from(format!("data: {}\n\n", alert_like(&message)));
                let item = format!(
                    "{{\"items\":[{{\"channel\":\"alerts\",\"formats\":{{\"http-stream\":{{\"content\":{content}}}}}}}]}}"
                );
                (String::from("POST /publish/"), item)
            }
        };
        let again = if idempotent { format!("Idempotency-Key: b-{}\r\n", stamp.sequence) } else { String::new() };
        into.clear();
        into.extend_from_slice(
            format!(
                "{line} HTTP/1.1\r\nHost: bench\r\n{}Content-Type: application/json\r\n{again}Content-Length: {}\r\n\r\n{body}",
                self.authorization(),
                body.len()
            )
            .as_bytes(),
        );
    }

    fn authorization(&self) -> String {
        if self.key.is_empty() { String::new() } else { format!("Authorization: Bearer {}\r\n", self.key) }
    }
}

/// What alertd makes of the message, for servers that send on what they get: all streams carry equally many bytes.
fn alert_like(message: &str) -> String {
    format!("{ALERT_HEAD}\"message\":\"{message}\"{ALERT_TAIL}")
}

/// What alertd puts before a message, as the floors do.
pub(crate) const ALERT_HEAD: &str = "{\"id\":\"1795455190123-0\",\"topic\":\"default\",";
/// What alertd puts behind a message.
pub(crate) const ALERT_TAIL: &str = ",\"level\":\"info\",\"metadata\":{},\"received_at\":\"2026-11-23T17:33:10.123Z\"}";

/// Requests that are ready but for their stamp.
pub(crate) struct Requests {
    /// One for each topic, and where its stamp is.
    ready: Vec<(Vec<u8>, usize)>,
}

impl Requests {
    pub(crate) fn new(target: &Target, topics: Topics) -> Self {
        let number = if topics == Topics::One { 1 } else { Topics::NUMBER };
        let request = |sequence| {
            let mut bytes = Vec::new();
            target.publish(topics, Stamp { sequence, nanoseconds: 0 }, false, &mut bytes);
            let at = stamp::find(&bytes).unwrap_or_default();
            (bytes, at)
        };
        Self { ready: (0..number).map(request).collect() }
    }

    /// The request that publishes this alert.
    pub(crate) fn with(&mut self, stamp: Stamp) -> &[u8] {
        let topic = stamp.sequence as usize % self.ready.len();
        let (bytes, at) = &mut self.ready[topic];
        stamp.write(&mut bytes[*at..]);
        bytes
    }
}

/// The source address of a connection: no address gets more than a few thousand, so ports never run short.
pub(crate) fn source(target: SocketAddrV4, number: usize) -> Option<Ipv4Addr> {
    let host = (number / 2000) as u32 % 200 + 2;
    // Runs that follow each other must not meet the ports of the last one.
    let run = std::process::id() % 200 + 1;
    target.ip().is_loopback().then(|| Ipv4Addr::from(0x7f00_0000 | run << 8 | host))
}
