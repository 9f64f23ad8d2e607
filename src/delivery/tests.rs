use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::alert::{Draft, Level};
use crate::engine::{Feed, Publish, Retention, embedded};
use crate::hub;
use crate::ntfy::{Names, Selection, Shape, View};

/// A client that publishes as soon as it has the first event.
struct Eager {
    engine: Engine,
    got: Arc<Mutex<String>>,
}

impl StreamSink for Eager {
    async fn start(&mut self) -> Result<(), StreamEnd> {
        Ok(())
    }

    async fn send(&mut self, blocks: Bytes) -> Result<(), StreamEnd> {
        let is_first = self.got.lock().is_empty();
        if is_first {
            let draft = Draft::from_text(Some("ops".parse().unwrap()), b"at once", Level::Info).unwrap();
            self.engine.append(Publish { draft, user: "u".into(), idempotency: None }).await.unwrap();
        }
        self.got.lock().push_str(std::str::from_utf8(&blocks).unwrap());
        Ok(())
    }

    async fn finish(&mut self, _: Bytes) {}

    fn disconnected(&mut self) -> impl Future<Output = ()> + Send + 'static {
        std::future::pending()
    }
}

#[tokio::test]
async fn what_is_published_once_a_client_has_the_opening_event_reaches_it() {
    let directory = tempfile::tempdir().unwrap();
    let clock: Clock = Arc::new(|| 1_795_455_190_123);
    let settings = embedded::Settings {
        directory: directory.path().to_owned(),
        durability: embedded::Durability::None,
        retention: Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 },
        clock: Arc::clone(&clock),
    };
    let (embedded, mut feed) = embedded::Embedded::open(settings).unwrap();
    let engine = Engine::Embedded(embedded);
    let limits = hub::Settings { memory: 1 << 20, max_subscriptions: 8, max_subscriptions_per_key: 8 };
    let hub = Hub::new(limits, engine.head().unwrap_or_default());
    let fed = hub.clone();
    tokio::spawn(async move {
        while let Some(news) = feed.recv().await {
            if let Feed::Alerts(alerts) = news {
                fed.deliver(&alerts);
            }
        }
    });
    let delivery = Delivery::start(engine.clone(), hub, clock, 1).unwrap();
    let names = Names::parse("ops", false).unwrap();
    let view = View { shape: Shape::Json, names, selection: Selection::default(), retained_s: None };
    let request = StreamRequest {
        owner: "k",
        key: None,
        filter: Filter::new(["ops".parse().unwrap()], Level::Info),
        format: Format::Ntfy(Arc::new(view)),
        start: Start::Live,
        latest_after_ms: 0,
        heartbeat: Duration::from_secs(3600),
        retry: Duration::from_secs(1),
        lifetime: None,
        limits: StreamLimits { per_key: 0, total: 0 },
        ends_at_seam: false,
    };
    let stream = delivery.open(request).ok().unwrap();
    let got = Arc::<Mutex<String>>::default();
    let running = tokio::spawn(stream.run(Eager { engine, got: Arc::clone(&got) }));
    let arrived = async {
        while !got.lock().contains("at once") {
            tokio::task::yield_now().await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(10), arrived).await;
    assert!(outcome.is_ok(), "{}", got.lock());
    running.abort();
    delivery.stop();
}
