//! Events of libraries: each kind is logged once a minute, with the number of those that were left out.
//!
//! A library warns of what a client does, and a client may do it a million times. Used by the subscriber for every event.
//! Bounded by the number of places in the program that log.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;
use tracing::Metadata;
use tracing::callsite::Identifier;

use super::record::Record;
use super::repeated::Repeated;

/// What the targets of alertd's own events begin with; those limit themselves.
pub(super) const OWN: &str = "alertd";

#[derive(Default)]
pub(super) struct Libraries(Mutex<HashMap<Identifier, (&'static Metadata<'static>, Repeated)>>);

impl Libraries {
    /// Whether an event is to be logged now.
    pub(super) fn admit(&self, event: &'static Metadata<'static>, now: Instant) -> bool {
        if event.target().starts_with(OWN) {
            return true;
        }
        let mut kinds = self.0.lock();
        let (_, repeated) = kinds.entry(event.callsite()).or_insert_with(|| (event, Repeated::default()));
        repeated.note(now).is_some()
    }

    /// Says how many events were left out in minutes that have ended.
    pub(super) fn settle(&self, now: Instant) -> Vec<Record> {
        let kinds = self.0.lock();
        let left_out = kinds.values().filter_map(|(event, repeated)| Some((event, repeated.settle(now)?)));
        let record = |(event, number): (&&'static Metadata<'static>, u64)| {
            let mut record = Record::new(*event.level(), event.target());
            record.put("message", format_args!("{number} more such events were left out within a minute"));
            record
        };
        left_out.map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tracing::Subscriber;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Notes the kinds of the events that are logged.
    struct Kinds(Arc<Mutex<Vec<&'static Metadata<'static>>>>);

    impl<S: Subscriber> Layer<S> for Kinds {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.lock().push(event.metadata());
        }
    }

    #[test]
    fn each_kind_of_a_librarys_events_is_logged_once_a_minute_and_the_others_are_counted() {
        let kinds = Arc::<Mutex<Vec<_>>>::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Kinds(Arc::clone(&kinds))), || {
            tracing::warn!(target: "h2::proto", "one");
            tracing::warn!(target: "h2::proto", "other");
            tracing::warn!(target: "alertd::http", "own");
        });
        let kinds = kinds.lock();
        let [one, other, own] = kinds[..] else { panic!("{kinds:?}") };
        let (libraries, start, minute) = (Libraries::default(), Instant::now(), Duration::from_secs(60));
        let admitted = [one, one, other, one, own, own].map(|kind| libraries.admit(kind, start));
        assert_eq!(admitted, [true, false, true, false, true, true]);
        assert!(libraries.settle(start).is_empty());
        let settled = libraries.settle(start + minute);
        let said: Vec<_> = settled.iter().map(|record| (record.target, record.message.as_str())).collect();
        assert_eq!(said, [("h2::proto", "2 more such events were left out within a minute")]);
        assert!(libraries.settle(start + minute).is_empty() && libraries.admit(one, start + minute));
    }
}
