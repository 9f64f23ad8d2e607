use std::pin::pin;
use std::task::{Context, Waker};

use super::*;
use crate::alert::{Draft, Level, Metadata, Retraction};
use crate::ntfy::{Names, Selection, Shape, View};

const ROOMY: Settings = Settings { memory: 1 << 20, max_subscriptions: 8, max_subscriptions_per_key: 4 };

fn record(ms: u64, topic: &str, level: Level) -> Record {
    Draft::new(topic.parse().unwrap(), "m".repeat(100), level, Metadata::default()).unwrap().record(Id::at(ms), ms)
}

fn filter(patterns: &[&str], level: Level) -> Arc<Filter> {
    Arc::new(Filter::new(patterns.iter().map(|p| p.parse().unwrap()), level))
}

fn drain(subscription: &mut Subscription) -> (u64, Option<Id>) {
    let (mut alerts, mut last) = (0, None);
    while let Next::Chunk(chunk) = subscription.next() {
        alerts += chunk.alerts;
        last = Some(chunk.last);
    }
    (alerts, last)
}

fn is_woken(subscription: &mut Subscription) -> bool {
    pin!(subscription.changed()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn each_ring_gets_what_its_filter_passes_and_once() {
    let hub = Hub::new(ROOMY, Id::ZERO);
    let mut all = hub.subscribe(&filter(&["*"], Level::Info), &Format::Sse, "k");
    let mut ops = hub.subscribe(&filter(&["ops.*", "ops"], Level::Warn), &Format::Ndjson, "k");
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
    let mut slow = hub.subscribe(&filter(&["*"], Level::Info), &Format::Sse, "k");
    for ms in 1..=20 {
        hub.deliver(&[record(ms, "t", Level::Info)]);
    }
    assert!(matches!(slow.next(), Next::Lost));
    assert_eq!(slow.rejoin(), Id::at(20));
    hub.deliver(&[record(21, "t", Level::Info)]);
    assert_eq!(drain(&mut slow), (1, Some(Id::at(21))));
    assert!(hub.usage().1 <= 4 * 600);
}

#[test]
fn beyond_the_cap_a_subscription_has_no_ring_but_hears_of_its_own_news() {
    let hub = Hub::new(Settings { max_subscriptions_per_key: 1, ..ROOMY }, Id::ZERO);
    let _first = hub.subscribe(&filter(&["a"], Level::Info), &Format::Sse, "k");
    let mut second = hub.subscribe(&filter(&["b"], Level::Info), &Format::Sse, "k");
    let _other_key = hub.subscribe(&filter(&["c"], Level::Info), &Format::Sse, "l");
    assert_eq!(hub.usage().0, 2);
    assert!(matches!(second.next(), Next::Idle(Id::ZERO)));
    hub.deliver(&[record(1, "c", Level::Info), record(2, "b.c", Level::Info)]);
    assert!(!is_woken(&mut second));
    assert!(matches!(second.next(), Next::Idle(head) if head == Id::at(2)));
    hub.deliver(&[record(3, "b", Level::Info), record(4, "c", Level::Info)]);
    assert!(is_woken(&mut second));
    assert!(matches!(second.next(), Next::Lost));
    assert_eq!(second.rejoin(), Id::at(4));
    assert!(matches!(second.next(), Next::Idle(head) if head == Id::at(4)));
    hub.reset(Id::at(9));
    assert!(matches!(second.next(), Next::Lost));
    drop(second);
    assert!(hub.0.state().signals.is_empty());
}

#[test]
fn after_a_break_of_the_feed_every_reader_has_lost_its_place() {
    let hub = Hub::new(ROOMY, Id::ZERO);
    let mut ring = hub.subscribe(&filter(&["*"], Level::Info), &Format::Sse, "k");
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
    let one = hub.subscribe(&wide, &Format::Sse, "k");
    let two = hub.subscribe(&wide, &Format::Sse, "l");
    assert_eq!(hub.usage(), (1, 0));
    drop(one);
    assert_eq!(hub.usage().0, 1);
    drop(two);
    assert_eq!(hub.usage(), (0, 0));
    let state = hub.0.state();
    assert!(state.routes.is_empty() && state.owned.is_empty());
}

#[tokio::test]
async fn a_waiting_reader_wakes_for_an_alert_that_passes() {
    let hub = Hub::new(ROOMY, Id::ZERO);
    let mut subscription = hub.subscribe(&filter(&["a"], Level::Info), &Format::Sse, "k");
    let waiting = tokio::spawn(async move {
        subscription.changed().await;
        drain(&mut subscription)
    });
    hub.deliver(&[record(1, "a", Level::Info)]);
    assert_eq!(waiting.await.unwrap(), (1, Some(Id::at(1))));
}

fn retraction(ms: u64, topic: &str, alert: u64) -> Record {
    Retraction::new(topic.parse().unwrap(), Id::at(alert), "alice").record(Id::at(ms), ms)
}

/// What a subscription still gets, as text; none if its ring no longer has it because of a retraction.
fn rest(subscription: &mut Subscription) -> Option<String> {
    let mut text = String::new();
    loop {
        match subscription.next() {
            Next::Chunk(chunk) => text.push_str(std::str::from_utf8(&chunk.wire).unwrap()),
            Next::Retracted => return None,
            Next::Lost => panic!("it was not overtaken"),
            Next::Idle(_) => return Some(text),
        }
    }
}

#[test]
fn a_retracted_alert_is_dropped_from_each_ring_that_has_it_and_from_no_other() {
    let hub = Hub::new(ROOMY, Id::ZERO);
    let names = Names::parse("ops", false).unwrap();
    let view = View { shape: Shape::Json, names, selection: Selection::default(), retained_s: None };
    let subscribe = |pattern: &str, format: &Format| hub.subscribe(&filter(&[pattern], Level::Info), format, "k");
    let formats = [Format::Sse, Format::Ndjson, Format::Ntfy(Arc::new(view))];
    let mut ops = formats.clone().map(|format| subscribe("ops", &format));
    let mut web = subscribe("web", &Format::Sse);
    let mut behind = subscribe("ops", &Format::Sse);
    hub.deliver(&[record(1, "ops", Level::Info), record(2, "web", Level::Info)]);
    hub.deliver(&[record(3, "ops", Level::Info)]);
    hub.deliver(&[record(4, "ops", Level::Info)]);
    // One that has got past it loses nothing.
    let mut ahead = subscribe("ops", &Format::Sse);
    hub.deliver(&[record(5, "ops", Level::Info)]);
    assert!(matches!(behind.next(), Next::Chunk(chunk) if chunk.last == Id::at(1)));
    let held = Held { since: hub.retractions(), after: Id::at(1), upto: Id::at(3) };
    hub.deliver(&[retraction(6, "ops", 3)]);
    assert!(hub.has_retracted(&held, &filter(&["ops"], Level::Error)));
    assert!(!hub.has_retracted(&held, &filter(&["web"], Level::Info)));
    for subscription in ops.iter_mut().chain([&mut behind]) {
        assert_eq!(rest(subscription), None);
        assert_eq!(subscription.rejoin(), Id::at(6));
        assert_eq!(rest(subscription), Some(String::new()));
    }
    let seen = rest(&mut ahead).unwrap();
    assert!(seen.contains("id: 5-0") && seen.contains("event: retract") && !seen.contains("id: 4-0"), "{seen}");
    assert!(rest(&mut web).unwrap().contains("id: 2-0"));
    // An older alert, which no ring has any more, and one that is retracted in its own batch.
    hub.deliver(&[record(7, "ops", Level::Info)]);
    hub.deliver(&[retraction(8, "ops", 1), record(9, "ops", Level::Info), retraction(10, "ops", 9)]);
    let seen = rest(&mut ahead).unwrap();
    assert!(seen.contains("id: 7-0") && !seen.contains("id: 9-0") && seen.contains("id: 10-0"), "{seen}");
    let ntfy = rest(&mut ops[2]).unwrap();
    assert!(ntfy.contains("7-0") && !ntfy.contains("9-0") && !ntfy.contains("10-0"), "{ntfy}");
}
