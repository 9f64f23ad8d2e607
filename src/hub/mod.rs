//! Fan-out: each alert is encoded once for each format and put into the ring of every subscription that it passes.
//!
//! The daemon feeds it with what the engine stored, in the order of the log; nothing else does. Streams
//! [`subscribe`](Hub::subscribe) and read their ring at their own pace: nobody waits for a reader, and a reader that is
//! overtaken is told so and goes on from the engine. The hub knows no engine, no key and no socket.
//!
//! Always true: a ring holds every alert after [`Subscription::joined`] that passes its filter, and none before it.
//! All rings together stay within `memory` bytes, but for one chunk each; distinct rings are capped, for each key and in
//! all, and a subscription beyond the cap has a signal instead, and reads from the engine what it rings for.

mod ring;
mod routes;
mod subscription;
#[cfg(test)]
mod tests;
mod wake_signal;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::alert::{Filter, Id, Record};
use crate::chunked;
use crate::sse::Format;

use ring::Ring;
pub(crate) use ring::{Chunk, ReadOutcome, RingListener};
use routes::{Filtered, Routes};
use subscription::Source;
pub(crate) use subscription::{Next, RingId, RingReader, Subscription};
use wake_signal::WakeSignal;

/// The hub's limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Bytes of all rings together.
    pub memory: usize,
    /// Distinct subscriptions with a ring of their own.
    pub max_subscriptions: usize,
    /// Of these, first asked for by the same key.
    pub max_subscriptions_per_key: usize,
}

/// The fan-out; cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    head: watch::Sender<Id>,
    marker: watch::Sender<u64>,
}

struct State {
    settings: Settings,
    rings: HashMap<ring::RingKey, RingEntry>,
    owned: HashMap<String, usize>,
    routes: Routes<Ring>,
    /// Of the subscriptions beyond the cap on rings; as many as there are streams at the most.
    signals: Routes<WakeSignal>,
}

struct RingEntry {
    ring: Arc<Ring>,
    subscribers: usize,
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
        }))
    }

    /// Takes alerts of the log, in its order; the next call's are newer.
    pub(crate) fn deliver(&self, alerts: &[Record]) {
        let Some(last) = alerts.last() else { return };
        let state = self.0.state();
        let mut touched: Vec<Arc<Ring>> = Vec::new();
        for record in alerts {
            let mut encoded = Encoded::default();
            for ring in state.routes.of(&record.topic).filter(|ring| record.level >= ring.filter().level()) {
                if ring.push(encoded.of(ring.format(), record), record) {
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
        // After the rings and signals: whoever sees this head and finds nothing there has had everything up to it.
        self.0.head.send_replace(last.id);
    }

    /// The log goes on behind this id and the feed has a break before it: every subscription finds its place lost, and
    /// goes on from the engine.
    pub(crate) fn reset(&self, head: Id) {
        let state = self.0.state();
        state.rings.values().for_each(|entry| entry.ring.forget());
        state.signals.each().for_each(|signal| signal.wake(head));
        self.0.head.send_modify(|own| *own = head.max(*own));
    }

    /// Takes the watchdog's marker, which proves that the road up to here is open.
    pub(crate) fn mark(&self, marker: u64) {
        drop(self.0.state());
        self.0.marker.send_replace(marker);
    }

    /// The newest marker that came through.
    #[must_use]
    pub(crate) fn markers(&self) -> watch::Receiver<u64> {
        self.0.marker.subscribe()
    }

    /// The newest id that the hub was fed with.
    #[must_use]
    pub(crate) fn head(&self) -> Id {
        *self.0.head.borrow()
    }

    /// Waits until it was fed with this id, which the log has given. Safe to cancel.
    pub(crate) async fn reach(&self, id: Id) {
        self.0.reach(id).await;
    }

    /// A subscription from now on. `owner` is the key that asks, for its share of rings.
    #[must_use]
    pub(crate) fn subscribe(&self, filter: &Filter, format: Format, owner: &str) -> Subscription {
        let source = self.0.state().join(filter, format, owner);
        Subscription::new(Arc::clone(&self.0), source)
    }

    /// Puts new limits into force; the rings shrink as they are fed.
    pub(crate) fn configure(&self, settings: Settings) {
        self.0.state().settings = settings;
    }

    /// Distinct subscriptions with a ring of their own.
    #[must_use]
    pub(crate) fn rings(&self) -> usize {
        self.0.state().rings.len()
    }

    /// Rings, and the bytes in them.
    #[must_use]
    pub(crate) fn usage(&self) -> (u64, u64) {
        let state = self.0.state();
        let bytes = state.rings.values().map(|entry| entry.ring.bytes() as u64).sum();
        (state.rings.len() as u64, bytes)
    }
}

impl Shared {
    async fn reach(&self, id: Id) {
        // The sender lives as long as this.
        let _ = self.head.subscribe().wait_for(|head| *head >= id).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// What one ring may hold. Four rings at the least share the memory, so that the fifth does not halve the first.
    fn share(&self) -> usize {
        self.settings.memory / self.rings.len().max(4)
    }

    fn join(&mut self, filter: &Filter, format: Format, owner: &str) -> Source {
        let key = (filter.clone(), format);
        if let Some(entry) = self.rings.get_mut(&key) {
            entry.subscribers += 1;
            return Source::ring(Arc::clone(&entry.ring));
        }
        let owned = self.owned.get(owner).copied().unwrap_or(0);
        if self.rings.len() >= self.settings.max_subscriptions || owned >= self.settings.max_subscriptions_per_key {
            let signal = Arc::new(WakeSignal::new(filter.clone()));
            self.signals.add(&signal);
            return Source::signal(signal);
        }
        let ring = Arc::new(Ring::new(key.clone(), owner.to_owned()));
        *self.owned.entry(owner.to_owned()).or_default() += 1;
        self.routes.add(&ring);
        self.rings.insert(key, RingEntry { ring: Arc::clone(&ring), subscribers: 1 });
        let share = self.share();
        self.rings.values().for_each(|entry| entry.ring.shrink(share));
        Source::ring(ring)
    }

    /// One more on a ring that somebody is on.
    fn hold(&mut self, ring: &Arc<Ring>) {
        if let Some(entry) = self.rings.get_mut(&ring.key) {
            entry.subscribers += 1;
        }
    }

    fn leave(&mut self, ring: &Arc<Ring>) {
        let Some(entry) = self.rings.get_mut(&ring.key) else { return };
        entry.subscribers -= 1;
        if entry.subscribers > 0 {
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

/// The chunk of one alert, encoded when the first ring of a format asks for it.
#[derive(Default)]
struct Encoded {
    sse: Option<Bytes>,
    ndjson: Option<Bytes>,
}

impl Encoded {
    fn of(&mut self, format: Format, record: &Record) -> Bytes {
        let slot = match format {
            Format::Sse => &mut self.sse,
            Format::Ndjson => &mut self.ndjson,
        };
        slot.get_or_insert_with(|| {
            let mut wire = BytesMut::with_capacity(record.json.len() + 96);
            chunked::write(&mut wire, |out| format.alert(out, record));
            wire.freeze()
        })
        .clone()
    }
}
