//! Fan-out: each alert is encoded once for each format and put into the ring of every subscription that it passes.
//!
//! The daemon feeds it with what the engine stored, in the order of the log; nothing else does. Streams
//! [`subscribe`](Hub::subscribe) and read their ring at their own pace: nobody waits for a reader, and a reader that is
//! overtaken is told so and goes on from the engine. The hub knows no engine, no key and no socket.
//!
//! Always true: a ring holds every alert after [`Subscription::joined`] that passes its filter, and none before it.
//! All rings together stay within `memory` bytes, but for one chunk each; distinct rings are capped, for each key and in
//! all, and a subscription beyond the cap has no ring and reads from the engine whenever the head moves.

mod ring;
mod subscription;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use crate::alert::{Filter, Id, Pattern, Record, Topic};
use crate::chunked;
use crate::sse::Format;

use ring::Ring;
pub use ring::{Chunk, Found, Listener};
pub use subscription::{Next, Reader, RingId, Subscription};

/// The hub's limits.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of all rings together.
    pub memory: usize,
    /// Distinct subscriptions with a ring of their own.
    pub max_subscriptions: usize,
    /// Of these, first asked for by the same key.
    pub max_subscriptions_per_key: usize,
}

/// The fan-out; cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    head: watch::Sender<Id>,
    marker: watch::Sender<u64>,
}

struct State {
    settings: Settings,
    rings: HashMap<ring::Key, Entry>,
    owned: HashMap<String, usize>,
    routes: Routes,
}

struct Entry {
    ring: Arc<Ring>,
    subscribers: usize,
}

/// Finds the rings of a topic without a look at the others.
#[derive(Default)]
struct Routes {
    exact: HashMap<Topic, Vec<Arc<Ring>>>,
    below: HashMap<Topic, Vec<Arc<Ring>>>,
    all: Vec<Arc<Ring>>,
}

impl Hub {
    /// A hub for a log whose newest id is `head`.
    #[must_use]
    pub fn new(settings: Settings, head: Id) -> Self {
        let state = State { settings, rings: HashMap::new(), owned: HashMap::new(), routes: Routes::default() };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            head: watch::Sender::new(head),
            marker: watch::Sender::new(0),
        }))
    }

    /// Takes alerts of the log, in its order; the next call's are newer.
    pub fn deliver(&self, alerts: &[Record]) {
        let Some(last) = alerts.last() else { return };
        let state = self.0.state();
        let mut touched: Vec<Arc<Ring>> = Vec::new();
        for record in alerts {
            let mut encoded = Encoded::default();
            for ring in state.routes.of(&record.topic).filter(|ring| record.level >= ring.filter().level()) {
                if ring.push(encoded.of(ring.format(), record), record.id) {
                    touched.push(Arc::clone(ring));
                }
            }
        }
        let share = state.share();
        for ring in &touched {
            ring.publish(share);
        }
        // After the rings: whoever sees this head and finds nothing in its ring has had everything up to it.
        self.0.head.send_replace(last.id);
    }

    /// The log goes on behind this id and the feed has a break before it: every subscription finds its place lost, and
    /// goes on from the engine.
    pub fn reset(&self, head: Id) {
        let state = self.0.state();
        state.rings.values().for_each(|entry| entry.ring.forget());
        self.0.head.send_modify(|own| *own = head.max(*own));
    }

    /// Takes the watchdog's marker, which proves that the road up to here is open.
    pub fn mark(&self, marker: u64) {
        drop(self.0.state());
        self.0.marker.send_replace(marker);
    }

    /// The newest marker that came through.
    #[must_use]
    pub fn markers(&self) -> watch::Receiver<u64> {
        self.0.marker.subscribe()
    }

    /// The newest id that the hub was fed with.
    #[must_use]
    pub fn head(&self) -> Id {
        *self.0.head.borrow()
    }

    /// A subscription from now on. `owner` is the key that asks, for its share of rings.
    #[must_use]
    pub fn subscribe(&self, filter: &Filter, format: Format, owner: &str) -> Subscription {
        let ring = self.0.state().join(filter, format, owner);
        Subscription::new(Arc::clone(&self.0), ring)
    }

    /// Puts new limits into force; the rings shrink as they are fed.
    pub fn configure(&self, settings: Settings) {
        self.0.state().settings = settings;
    }

    /// Rings, and the bytes in them.
    #[must_use]
    pub fn numbers(&self) -> (u64, u64) {
        let state = self.0.state();
        let bytes = state.rings.values().map(|entry| entry.ring.bytes() as u64).sum();
        (state.rings.len() as u64, bytes)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What one ring may hold. Four rings at the least share the memory, so that the fifth does not halve the first.
    fn share(&self) -> usize {
        self.settings.memory / self.rings.len().max(4)
    }

    fn join(&mut self, filter: &Filter, format: Format, owner: &str) -> Option<Arc<Ring>> {
        let key = (filter.clone(), format);
        if let Some(entry) = self.rings.get_mut(&key) {
            entry.subscribers += 1;
            return Some(Arc::clone(&entry.ring));
        }
        let owned = self.owned.get(owner).copied().unwrap_or(0);
        if self.rings.len() >= self.settings.max_subscriptions || owned >= self.settings.max_subscriptions_per_key {
            return None;
        }
        let ring = Arc::new(Ring::new(key.clone(), owner.to_owned()));
        *self.owned.entry(owner.to_owned()).or_default() += 1;
        self.routes.add(&ring);
        self.rings.insert(key, Entry { ring: Arc::clone(&ring), subscribers: 1 });
        let share = self.share();
        self.rings.values().for_each(|entry| entry.ring.shrink(share));
        Some(ring)
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

impl Routes {
    /// A filter's patterns never overlap, so each ring comes once.
    fn of<'a>(&'a self, topic: &'a Topic) -> impl Iterator<Item = &'a Arc<Ring>> {
        let below = topic.ancestors().filter_map(|parent| self.below.get(parent)).flatten();
        self.exact.get(topic).into_iter().flatten().chain(below).chain(&self.all)
    }

    fn add(&mut self, ring: &Arc<Ring>) {
        for pattern in ring.filter().patterns() {
            match pattern {
                Pattern::All => self.all.push(Arc::clone(ring)),
                Pattern::Below(parent) => self.below.entry(parent.clone()).or_default().push(Arc::clone(ring)),
                Pattern::Exact(topic) => self.exact.entry(topic.clone()).or_default().push(Arc::clone(ring)),
            }
        }
    }

    fn remove(&mut self, ring: &Arc<Ring>) {
        let without = |rings: &mut Vec<Arc<Ring>>| {
            rings.retain(|other| !Arc::ptr_eq(other, ring));
            !rings.is_empty()
        };
        for pattern in ring.filter().patterns() {
            let (map, topic) = match pattern {
                Pattern::All => {
                    without(&mut self.all);
                    continue;
                }
                Pattern::Below(parent) => (&mut self.below, parent),
                Pattern::Exact(topic) => (&mut self.exact, topic),
            };
            if map.get_mut(topic).is_some_and(|rings| !without(rings)) {
                map.remove(topic);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Draft, Level, Metadata};

    const ROOMY: Settings = Settings { memory: 1 << 20, max_subscriptions: 8, max_subscriptions_per_key: 4 };

    fn record(ms: u64, topic: &str, level: Level) -> Record {
        Draft::new(topic.parse().unwrap(), "m".repeat(100), level, Metadata::default()).unwrap().record(Id::at(ms), ms)
    }

    fn filter(patterns: &[&str], level: Level) -> Filter {
        Filter::new(patterns.iter().map(|p| p.parse().unwrap()), level)
    }

    fn drain(subscription: &mut Subscription) -> (u64, Option<Id>) {
        let (mut alerts, mut last) = (0, None);
        while let Next::Chunk(chunk) = subscription.next() {
            alerts += chunk.alerts;
            last = Some(chunk.last);
        }
        (alerts, last)
    }

    #[test]
    fn each_ring_gets_what_its_filter_passes_and_once() {
        let hub = Hub::new(ROOMY, Id::ZERO);
        let mut all = hub.subscribe(&filter(&["*"], Level::Info), Format::Sse, "k");
        let mut ops = hub.subscribe(&filter(&["ops.*", "ops"], Level::Warn), Format::Ndjson, "k");
        hub.deliver(&[
            record(1, "ops", Level::Warn),
            record(2, "ops.db", Level::Info),
            record(3, "ops.db.disk", Level::Error),
            record(4, "opsx", Level::Error),
        ]);
        assert_eq!(drain(&mut all), (4, Some(Id::at(4))));
        assert_eq!(drain(&mut ops), (2, Some(Id::at(3))));
        assert!(matches!(ops.next(), Next::Idle(head) if head == Id::at(4)));
    }

    #[test]
    fn a_reader_that_is_overtaken_is_told_and_can_join_again() {
        let hub = Hub::new(Settings { memory: 4 * 600, ..ROOMY }, Id::ZERO);
        let mut slow = hub.subscribe(&filter(&["*"], Level::Info), Format::Sse, "k");
        for ms in 1..=20 {
            hub.deliver(&[record(ms, "t", Level::Info)]);
        }
        assert!(matches!(slow.next(), Next::Lost));
        assert_eq!(slow.rejoin(), Id::at(20));
        hub.deliver(&[record(21, "t", Level::Info)]);
        assert_eq!(drain(&mut slow), (1, Some(Id::at(21))));
        assert!(hub.numbers().1 <= 4 * 600);
    }

    #[test]
    fn beyond_the_cap_a_subscription_has_no_ring_but_hears_of_news() {
        let hub = Hub::new(Settings { max_subscriptions_per_key: 1, ..ROOMY }, Id::ZERO);
        let _first = hub.subscribe(&filter(&["a"], Level::Info), Format::Sse, "k");
        let mut second = hub.subscribe(&filter(&["b"], Level::Info), Format::Sse, "k");
        let _other_key = hub.subscribe(&filter(&["c"], Level::Info), Format::Sse, "l");
        assert_eq!(hub.numbers().0, 2);
        assert!(matches!(second.next(), Next::Idle(Id::ZERO)));
        hub.deliver(&[record(1, "b", Level::Info)]);
        assert!(matches!(second.next(), Next::Lost));
        assert_eq!(second.rejoin(), Id::at(1));
        assert!(matches!(second.next(), Next::Idle(head) if head == Id::at(1)));
    }

    #[test]
    fn after_a_break_of_the_feed_every_reader_has_lost_its_place() {
        let hub = Hub::new(ROOMY, Id::ZERO);
        let mut ring = hub.subscribe(&filter(&["*"], Level::Info), Format::Sse, "k");
        hub.deliver(&[record(1, "t", Level::Info)]);
        assert_eq!(drain(&mut ring), (1, Some(Id::at(1))));
        hub.reset(Id::at(9));
        assert!(matches!(ring.next(), Next::Lost));
        assert_eq!(ring.rejoin(), Id::at(9));
        assert!(matches!(ring.next(), Next::Idle(head) if head == Id::at(9)));
        hub.deliver(&[record(10, "t", Level::Info)]);
        assert_eq!(drain(&mut ring), (1, Some(Id::at(10))));
    }

    #[test]
    fn a_ring_goes_with_its_last_subscriber_and_leaves_no_route() {
        let hub = Hub::new(ROOMY, Id::ZERO);
        let wide = filter(&["a", "b.*", "c.d"], Level::Info);
        let one = hub.subscribe(&wide, Format::Sse, "k");
        let two = hub.subscribe(&wide, Format::Sse, "l");
        assert_eq!(hub.numbers(), (1, 0));
        drop(one);
        assert_eq!(hub.numbers().0, 1);
        drop(two);
        assert_eq!(hub.numbers(), (0, 0));
        let state = hub.0.state();
        assert!(state.routes.exact.is_empty() && state.routes.below.is_empty() && state.owned.is_empty());
    }

    #[tokio::test]
    async fn a_waiting_reader_wakes_for_an_alert_that_passes() {
        let hub = Hub::new(ROOMY, Id::ZERO);
        let mut subscription = hub.subscribe(&filter(&["a"], Level::Info), Format::Sse, "k");
        let waiting = tokio::spawn(async move {
            subscription.changed().await;
            drain(&mut subscription)
        });
        hub.deliver(&[record(1, "a", Level::Info)]);
        assert_eq!(waiting.await.unwrap(), (1, Some(Id::at(1))));
    }
}
