//! Fan-out: encodes each alert once for each format and puts it into the ring of every subscription whose filter it passes.
//!
//! Only the daemon feeds it, with what the engine stored, in the order of the log. Streams [`subscribe`](Hub::subscribe) and
//! read their ring at their own pace. Nobody waits for a slow stream: one that is overtaken is told so and continues from the
//! engine. The hub knows no engine, no key and no socket.
//!
//! Always: a subscription gets every alert after [`Subscription::joined`] that passes its filter, and none before it, or
//! is told that it lost its place. All rings together stay within `memory` bytes, except for one chunk each. The number of
//! rings is limited, for each key and in total; a subscription beyond the limit gets a wake-up signal instead and reads the
//! alerts from the engine.

mod retractions;
mod ring;
mod routes;
mod subscription;
#[cfg(test)]
mod tests;
mod wake_signal;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::alert::{Filter, Id, Record, RecordKind};
use crate::chunked;
use crate::ntfy::Content;
use crate::sse::Format;

pub(crate) use retractions::Held;
use retractions::Retractions;
use ring::Ring;
pub(crate) use ring::{Chunk, ReadOutcome, RingListener, RingTag};
use routes::{Filtered, Routes};
use subscription::Source;
pub(crate) use subscription::{Next, RingId, RingReader, Subscription};
use wake_signal::WakeSignal;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Bytes of all rings together.
    pub memory: usize,
    /// Rings, one for each distinct subscription.
    pub max_subscriptions: usize,
    /// Rings that the same key was the first to subscribe to.
    pub max_subscriptions_per_key: usize,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    head: watch::Sender<Id>,
    marker: watch::Sender<u64>,
    retractions: Retractions,
}

struct State {
    settings: Settings,
    rings: HashMap<ring::RingKey, Arc<Ring>>,
    owned: HashMap<String, usize>,
    routes: Routes<Ring>,
    /// For the subscriptions beyond the cap on rings. Bounded by the number of streams.
    signals: Routes<WakeSignal>,
}

impl Hub {
    /// A hub for a log whose newest id is `head`.
    #[must_use]
    pub(crate) fn new(settings: Settings, head: Id) -> Self {
        let (routes, signals) = (Routes::default(), Routes::default());
        let state = State { settings, rings: HashMap::new(), owned: HashMap::new(), routes, signals };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            head: watch::Sender::new(head),
            marker: watch::Sender::new(0),
            retractions: Retractions::default(),
        }))
    }

    /// Takes alerts in the order of the log. Those of the next call must be newer.
    pub(crate) fn deliver(&self, alerts: &[Record]) {
        let Some(last) = alerts.last() else { return };
        let state = self.0.state();
        let retracted = self.retract(&state, alerts);
        let mut touched: Vec<Arc<Ring>> = Vec::new();
        for record in alerts.iter().filter(|record| !retracted.contains(&record.id)) {
            let mut encoded = Encoded::default();
            for ring in state.routes.of(&record.topic).filter(|ring| record.level >= ring.filter().level()) {
                if let Some(chunk) = encoded.of(ring.format(), record)
                    && ring.push(chunk, record)
                {
                    touched.push(Arc::clone(ring));
                }
            }
            for signal in state.signals.of(&record.topic).filter(|signal| record.level >= signal.filter().level()) {
                signal.wake(record.id);
            }
        }
        let share = state.share();
        for ring in &touched {
            ring.publish(share);
        }
        // After the rings and signals: a subscription that sees this head and finds nothing has everything up to it.
        self.0.head.send_replace(last.id);
    }

    /// Drops the alerts that these records retract from all rings, also from those whose clients are not told. Returns their
    /// ids, because some may be among the records.
    fn retract(&self, state: &State, records: &[Record]) -> HashSet<Id> {
        let mut retracted = HashSet::new();
        for record in records {
            let RecordKind::Retraction(alert) = record.kind else { continue };
            state.routes.of(&record.topic).for_each(|ring| ring.retract(alert));
            self.0.retractions.add(record.topic.clone(), alert);
            retracted.insert(alert);
        }
        retracted
    }

    /// How many alerts were retracted since the start, to be remembered before alerts are read.
    #[must_use]
    pub(crate) fn retractions(&self) -> u64 {
        self.0.retractions.count()
    }

    /// Whether one of these alerts, which pass the filter, may have been retracted since they were read.
    #[must_use]
    pub(crate) fn has_retracted(&self, held: &Held, filter: &Filter) -> bool {
        self.0.retractions.concern(held, filter)
    }

    /// Waits until [`has_retracted`](Self::has_retracted). Safe to cancel.
    pub(crate) async fn retracts(&self, held: &Held, filter: &Filter) {
        self.0.retractions.reach(held, filter).await;
    }

    /// Reports a break in the feed, which goes on after this id. Every subscription is lost and continues from the engine.
    pub(crate) fn reset(&self, head: Id) {
        let state = self.0.state();
        state.rings.values().for_each(|ring| ring.forget());
        state.signals.each().for_each(|signal| signal.wake(head));
        self.0.head.send_modify(|own| *own = head.max(*own));
    }

    /// Takes the watchdog's marker, which proves that alerts reach the hub.
    pub(crate) fn mark(&self, marker: u64) {
        drop(self.0.state());
        self.0.marker.send_replace(marker);
    }

    #[must_use]
    pub(crate) fn markers(&self) -> watch::Receiver<u64> {
        self.0.marker.subscribe()
    }

    /// The newest id in the hub.
    #[must_use]
    pub(crate) fn head(&self) -> Id {
        *self.0.head.borrow()
    }

    /// Waits until the hub has this id, which must be in the log. Safe to cancel.
    pub(crate) async fn reach(&self, id: Id) {
        self.0.reach(id).await;
    }

    /// Subscribes from now on. A new ring counts against the share of the key `owner`.
    #[must_use]
    pub(crate) fn subscribe(&self, filter: &Arc<Filter>, format: &Format, owner: &str) -> Subscription {
        let source = self.0.state().join(filter, format, owner);
        Subscription::new(Arc::clone(&self.0), source)
    }

    /// Replaces the limits. Rings shrink as they are fed.
    pub(crate) fn configure(&self, settings: Settings) {
        self.0.state().settings = settings;
    }

    /// The number of rings.
    #[must_use]
    pub(crate) fn rings(&self) -> usize {
        self.0.state().rings.len()
    }

    /// The number of rings, and the bytes in them.
    #[must_use]
    pub(crate) fn usage(&self) -> (u64, u64) {
        let state = self.0.state();
        let bytes = state.rings.values().map(|ring| ring.bytes() as u64).sum();
        (state.rings.len() as u64, bytes)
    }
}

impl Shared {
    async fn reach(&self, id: Id) {
        // This cannot fail, because `self` keeps the sender alive.
        let _ = self.head.subscribe().wait_for(|head| *head >= id).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// The bytes that one ring may hold. The memory is divided by at least four, so that the first few new rings do not
    /// shrink the others.
    fn share(&self) -> usize {
        self.settings.memory / self.rings.len().max(4)
    }

    fn join(&mut self, filter: &Arc<Filter>, format: &Format, owner: &str) -> Source {
        let key = (Arc::clone(filter), format.clone());
        if let Some(ring) = self.rings.get(&key) {
            self.add_subscriber(ring);
            return Source::ring(Arc::clone(ring));
        }
        let owned = self.owned.get(owner).copied().unwrap_or(0);
        if self.rings.len() >= self.settings.max_subscriptions || owned >= self.settings.max_subscriptions_per_key {
            let signal = Arc::new(WakeSignal::new(Arc::clone(filter)));
            self.signals.add(&signal);
            return Source::log(signal);
        }
        let ring = Arc::new(Ring::new(key.clone(), owner.to_owned()));
        *self.owned.entry(owner.to_owned()).or_default() += 1;
        self.routes.add(&ring);
        self.add_subscriber(&ring);
        self.rings.insert(key, Arc::clone(&ring));
        let share = self.share();
        self.rings.values().for_each(|ring| ring.shrink(share));
        Source::ring(ring)
    }

    fn add_subscriber(&self, ring: &Ring) {
        ring.subscribers.fetch_add(1, Ordering::Relaxed);
    }

    fn remove_subscriber(&mut self, ring: &Arc<Ring>) {
        if ring.subscribers.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        self.rings.remove(&ring.key);
        self.routes.remove(ring);
        if let Some(owned) = self.owned.get_mut(&ring.owner) {
            *owned -= 1;
            if *owned == 0 {
                self.owned.remove(&ring.owner);
            }
        }
    }
}

/// One alert for all rings: encoded when the first ring of a format asks for it, and read once for those of ntfy.
#[derive(Default)]
struct Encoded {
    sse: Option<Bytes>,
    ndjson: Option<Bytes>,
    content: Option<Content>,
}

impl Encoded {
    /// The alert as a chunk; none if the format leaves it out.
    fn of(&mut self, format: &Format, record: &Record) -> Option<Bytes> {
        let slot = match format {
            Format::Sse => &mut self.sse,
            Format::Ndjson => &mut self.ndjson,
            Format::Ntfy(view) => {
                let content = self.content.get_or_insert_with(|| Content::of(record));
                let mut message = BytesMut::new();
                return view.alert(&mut message, record, content).then(|| chunked::chunk(&message));
            }
        };
        let encode = || {
            let mut wire = BytesMut::with_capacity(record.json.len() + 96);
            chunked::write(&mut wire, |out| {
                format.alert(out, record);
            });
            wire.freeze()
        };
        Some(slot.get_or_insert_with(encode).clone())
    }
}
