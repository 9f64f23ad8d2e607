//! A stream of alerts that reconnects after every interruption and continues after the last event.
//!
//! Called by `tail` only. It yields events in order and without repeats, and keeps the cursor. It buffers at most the events
//! of one read, and the newest alerts that it was asked to begin with. It returns only errors that a retry cannot cure.

use std::collections::VecDeque;
use std::time::Duration;

use hyper::header::{ACCEPT, HeaderName};
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use crate::alert::Id;
use crate::ctl::client::{Client, ClientError, Request, Response, target};
use crate::ctl::output::note;
use crate::ctl::pages;
use crate::ctl::text::escaped;
use crate::random;
use crate::sse::{Event, Gap, Parser};

/// Three heartbeats at the daemon's default interval. A server that is silent for longer is considered lost.
const DEFAULT_SILENCE: Duration = Duration::from_secs(24);
/// The heartbeat interval is a setting and may be longer. So the limit doubles each time that it is reached, up to this.
const MAX_SILENCE: Duration = Duration::from_secs(360);

/// What a record that is not an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Incident,
    Retraction,
}

impl Change {
    /// The change that an event of this name tells.
    fn of_event(name: &str) -> Option<Self> {
        [Self::Incident, Self::Retraction].into_iter().find(|change| change.event() == name)
    }

    pub(crate) const fn event(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Retraction => "retract",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// An alert and its JSON, unchanged.
    Alert(Id, String),
    /// A change of an incident, or a retraction: the event, its id, and its JSON, unchanged.
    Change(Change, Id, String),
    /// Everything up to this id was delivered or filtered out.
    Cursor(Id),
    /// Alerts may be missing.
    Gap(Gap),
}

/// Where a stream begins.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    After(Id),
    /// With this many of the newest stored alerts.
    Newest(u32),
    /// At the `since` of a request, or where the daemon begins without one.
    Since(Option<String>),
}

/// Pauses and limits, which tests shorten.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    /// Between attempts.
    pub backoff: Backoff,
    /// How long a stream may be silent.
    pub silence: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)), silence: DEFAULT_SILENCE }
    }
}

/// A stream that reconnects.
pub(crate) struct Follower<'a> {
    client: &'a Client,
    query: Vec<(&'static str, String)>,
    since: Option<String>,
    cursor: Option<Id>,
    /// How many of the newest alerts come first; none once they were read.
    newest: Option<u32>,
    open: Option<(Response, Parser)>,
    waiting: VecDeque<Item>,
    /// The error that interrupted the stream, handled after all items before it were taken.
    error: Option<ClientError>,
    timing: Timing,
    /// Whether a stream was ever open, which proves that the address is that of an alertd.
    was_connected: bool,
    last_reported: Option<String>,
}

impl<'a> Follower<'a> {
    /// Follows the alerts that `query` selects. Connects at the first call of [`next`](Self::next).
    #[must_use]
    pub(crate) fn new(client: &'a Client, query: Vec<(&'static str, String)>, start: Start, timing: Timing) -> Self {
        let (cursor, newest, since) = match start {
            Start::After(id) => (Some(id), None, None),
            Start::Newest(0) => (None, None, Some("none".to_owned())),
            // If there are none yet, all are newer than now.
            Start::Newest(count) => (None, Some(count), Some("all".to_owned())),
            Start::Since(since) => (None, None, since),
        };
        Self {
            client,
            query,
            since,
            cursor,
            newest,
            open: None,
            waiting: VecDeque::new(),
            error: None,
            timing,
            was_connected: false,
            last_reported: None,
        }
    }

    /// Whether all received items were taken, so that [`next`](Self::next) has to wait.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits for the next item, without a time limit.
    ///
    /// # Errors
    /// [`ClientError`] that a retry cannot cure, such as a revoked key.
    pub(crate) async fn next(&mut self) -> Result<Item, ClientError> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Ok(item);
            }
            let Some(error) = self.error.take() else {
                self.error = self.read().await.err();
                continue;
            };
            // The address is that of an alertd, so a foreign answer comes from a proxy that cannot reach it now, and a
            // service that is down may be started again.
            let is_away = matches!(error, ClientError::Foreign { .. } | ClientError::Down { .. });
            if !(error.is_transient() || self.was_connected && is_away) {
                return Err(error);
            }
            let pause = self.timing.backoff.next(error.retry_after(), random::fraction());
            self.report(&error, pause);
            sleep(pause).await;
        }
    }

    /// Reads one piece of the stream. Opens the stream first if necessary, and closes it after an error.
    async fn read(&mut self) -> Result<(), ClientError> {
        if let Some(count) = self.newest {
            return self.read_newest(count).await;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => (self.connect().await?, Parser::default()),
        };
        self.piece(&mut open).await?;
        self.open = Some(open);
        Ok(())
    }

    /// Reads the newest stored alerts. The stream then begins after the last of them.
    async fn read_newest(&mut self, count: u32) -> Result<(), ClientError> {
        #[derive(serde::Deserialize)]
        struct WithId {
            id: Id,
        }
        let alerts = pages::newest(self.client, &self.query, None, count, |_| ()).await?;
        for alert in alerts {
            let WithId { id } = serde_json::from_str(alert.get()).map_err(|e| ClientError::Foreign {
                address: self.client.address().to_string(),
                reason: format!("it sent an alert without an id ({e})"),
            })?;
            self.waiting.push_back(Item::Alert(id, alert.get().to_owned()));
            self.cursor = Some(id);
        }
        self.newest = None;
        Ok(())
    }

    async fn piece(&mut self, (response, parser): &mut (Response, Parser)) -> Result<(), ClientError> {
        let address = self.client.address().to_string();
        let broken = |reason: String| ClientError::Broken { address: address.clone(), reason };
        let silence = self.timing.silence;
        let piece = match timeout(silence, response.piece()).await {
            Ok(piece) => piece?.ok_or_else(|| broken("ended the stream".into()))?,
            Err(_) => {
                self.timing.silence = (silence * 2).min(MAX_SILENCE);
                return Err(broken(format!("was silent for {} s", silence.as_secs_f64())));
            }
        };
        let mut events = Vec::new();
        let fed = parser.feed(&piece, |event| events.push(event));
        for event in events {
            self.take(event)?;
        }
        fed.map_err(|e| ClientError::Foreign { address, reason: e.to_string() })
    }

    async fn connect(&self) -> Result<Response, ClientError> {
        let mut query = self.query.clone();
        if let (None, Some(since)) = (self.cursor, &self.since) {
            query.push(("since", since.clone()));
        }
        let mut request = Request::get(target("/alerts", &query)).header(ACCEPT, "text/event-stream");
        if let Some(cursor) = self.cursor {
            request = request.header(HeaderName::from_static("last-event-id"), cursor.to_string());
        }
        let response = self.client.send(request).await?;
        match response.media_type().as_str() {
            "text/event-stream" => Ok(response),
            other => Err(ClientError::Foreign {
                address: self.client.address().to_string(),
                reason: format!("it sent {:?} instead of a stream", escaped(other)),
            }),
        }
    }

    fn take(&mut self, event: Event) -> Result<(), ClientError> {
        self.was_connected = true;
        self.last_reported = None;
        self.timing.backoff.succeeded();
        if let Some(retry) = event.retry {
            self.timing.backoff.set_base(Duration::from_millis(retry));
        }
        let address = || self.client.address().to_string();
        let id = event.id.as_deref().and_then(|id| id.parse::<Id>().ok());
        if let Some(id) = id {
            self.cursor = Some(id);
        }
        match (event.event.as_str(), id) {
            ("", Some(id)) => self.waiting.push_back(Item::Alert(id, event.data)),
            ("", None) if event.data.is_empty() => {}
            ("", None) => {
                return Err(ClientError::Foreign {
                    address: address(),
                    reason: "it sent an alert without an id".into(),
                });
            }
            ("cursor", Some(id)) => self.waiting.push_back(Item::Cursor(id)),
            ("gap", _) => match serde_json::from_str(&event.data) {
                Ok(gap) => self.waiting.push_back(Item::Gap(gap)),
                Err(e) => {
                    let reason = format!("it sent a gap that cannot be parsed ({e})");
                    return Err(ClientError::Foreign { address: address(), reason });
                }
            },
            ("bye", _) => {
                #[derive(serde::Deserialize)]
                struct Bye {
                    reason: String,
                }
                let reason = serde_json::from_str(&event.data).map_or_else(|_| "?".into(), |bye: Bye| bye.reason);
                let reason = format!("ended the stream ({})", escaped(&reason));
                return Err(ClientError::Broken { address: address(), reason });
            }
            (name, Some(id)) => {
                // Another event is one that only a newer daemon knows.
                let known = Change::of_event(name).map(|change| Item::Change(change, id, event.data));
                self.waiting.extend(known);
            }
            _ => {}
        }
        Ok(())
    }

    /// Reports an error, unless the last one reported was the same.
    fn report(&mut self, error: &ClientError, pause: Duration) {
        let text = error.to_string();
        if self.last_reported.as_ref() != Some(&text) {
            let cursor = self.cursor.map_or_else(String::new, |cursor| format!(" after {cursor}"));
            note(&format!("{text}; reconnecting{cursor} in {:.1} s", pause.as_secs_f64()));
            self.last_reported = Some(text);
        }
    }
}
