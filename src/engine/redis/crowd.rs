//! Tests: many readers and nodes cost little, and do not delay publishing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::testing::{Server, cut_found_by_another};
use super::{Redis, Settings};
use crate::alert::{Draft, Filter, Id, Level, Start};
use crate::engine::{Direction, Idempotency, Publish, Range, Retention};

const UNLIMITED: Retention = Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 };

async fn start(server: &Server, retention: Retention) -> Redis {
    let (engine, mut feed) = Redis::start(Settings { retention, ..server.settings("c") });
    tokio::spawn(async move { while feed.recv().await.is_some() {} });
    engine.synced().await;
    engine
}

fn alert(topic: &str, level: Level) -> Publish {
    Publish {
        draft: Draft::from_text(Some(topic.parse().unwrap()), b"m", level).unwrap(),
        user: "u".into(),
        idempotency: None,
    }
}

async fn publish(engine: &Redis, topics: impl Iterator<Item = String>) -> Vec<Id> {
    let (alerts, mut ids): (Vec<_>, _) = (topics.map(|topic| alert(&topic, Level::Info)).collect(), Vec::new());
    for group in alerts.chunks(100) {
        ids.extend(engine.append_all(group.to_vec()).await.unwrap().iter().map(|stored| stored.record.id));
    }
    ids
}

/// How often the server ran each command that begins with this name.
fn calls(server: &Server, name: &str) -> u64 {
    let counted = server.ask(&["INFO", "commandstats"]);
    let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
    counted.lines().filter(|line| line.starts_with(&format!("cmdstat_{name}"))).filter_map(calls).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_streams_asks_once_and_each_gets_what_it_would_get_alone() {
    const TOPICS: usize = 3000;
    const STREAMS: usize = 100;
    let server = Server::start();
    let engine = start(&server, UNLIMITED).await;
    let mut newest = publish(&engine, (0..TOPICS).map(|topic| format!("t.{topic}"))).await;
    server.ask(&["CONFIG", "RESETSTAT"]);
    let filter = Arc::new(Filter::new(["*".parse().unwrap()], Level::Info));
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        let (engine, filter) = (engine.clone(), Arc::clone(&filter));
        let until = engine.head().unwrap();
        streams.spawn(async move { engine.seek(&Start::Latest, &filter, until, 0).await.unwrap() });
    }
    while let Some(seek) = streams.join_next().await {
        let seek = seek.unwrap();
        assert!(seek.latest.iter().map(|record| record.id).eq(newest.iter().copied()));
        assert_eq!(Some(seek.after), engine.head());
    }
    // Alone, each of them would read each alert.
    let read = calls(&server, "xrange");
    assert!(read < (TOPICS * STREAMS / 10) as u64, "{read}");
    // While alerts come in, each topic has its newest alert up to where the stream continues.
    let until = engine.head().unwrap();
    let (asked, more) = tokio::join!(
        engine.seek(&Start::Latest, &filter, until, 0),
        publish(&engine, (0..20).map(|topic| format!("t.{topic}")))
    );
    assert!(asked.unwrap().latest.iter().map(|record| record.id).eq(newest.iter().copied()));
    newest.drain(..20);
    newest.extend(more);
    let seek = engine.seek(&Start::Latest, &filter, engine.head().unwrap(), 0).await.unwrap();
    assert!(seek.latest.iter().map(|record| record.id).eq(newest));
}

/// Otherwise the messages of a fleet grow with the square of its nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_hear_the_probes_of_other_nodes() {
    let server = Server::start();
    let engine = start(&server, UNLIMITED).await;
    let client = redis::Client::open(("127.0.0.1", server.port())).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut announcements = connection.as_pubsub();
    announcements.subscribe("{c}:live").unwrap();
    let head = engine.head().unwrap();
    cut_found_by_another(&engine, &server, head, head).await;
    assert_eq!(server.ask(&["PUBLISH", "{c}:live", "mark"]).trim(), "2");
    assert_eq!(announcements.get_message().unwrap().get_payload::<String>().unwrap(), "mark");
    assert_eq!(server.ask(&["PUBLISH", "{c}:live:test-c", "!test-c 1"]).trim(), "1", "the node hears its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_costs_no_more_with_topics_that_it_does_not_deliver() {
    let server = Server::start();
    let limited = Retention { topic_count: 1, ..UNLIMITED };
    let engine = start(&server, limited).await;
    publish(&engine, (0..5000).map(|topic| format!("t.{topic}"))).await;
    let old = engine.head().unwrap();
    let after_ms = u64::try_from((old.successor().to_u128() >> 64) + 1).unwrap();
    while server.ask(&["TIME"]).lines().next().unwrap().parse::<u64>().unwrap() * 1000 <= after_ms {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let few = publish(&engine, (0..3).chain(0..3).map(|topic| format!("t.{topic}"))).await;
    server.ask(&["CONFIG", "RESETSTAT"]);
    let until = engine.head().unwrap();
    for (pattern, level) in [("*", Level::Info), ("t.*", Level::Info), ("t.*", Level::Error)] {
        let filter = Filter::new([pattern.parse().unwrap()], level);
        let seek = engine.seek(&Start::Latest, &filter, until, after_ms).await.unwrap();
        let expected = if level == Level::Info { &few[3..] } else { &[] };
        assert!(seek.latest.iter().map(|record| record.id).eq(expected.iter().copied()), "{pattern}");
        // A stream that resumes after everything that a limit has removed.
        engine.seek(&Start::After(few[3]), &filter, until, 0).await.unwrap();
    }
    // The node itself asks for some once a second.
    let (rows, entries) = (calls(&server, "hget"), calls(&server, "xrange"));
    assert!(rows < 1000 && entries < 300, "{rows} {entries}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_do_not_hold_up_publishing() {
    let server = Server::start();
    let engine = start(&server, UNLIMITED).await;
    publish(&engine, (0..10_000).map(|topic| format!("t.{topic}"))).await;
    let mut streams = tokio::task::JoinSet::new();
    for level in [Level::Info, Level::Warn, Level::Error] {
        for number in 0..20 {
            // No two of them ask the same.
            let patterns = [format!("t.{number}x"), "t.*".into()].map(|pattern| pattern.parse().unwrap());
            let (engine, filter) = (engine.clone(), Filter::new(patterns, level));
            let filter = if number % 2 == 0 { Filter::new(["*".parse().unwrap()], level) } else { filter };
            let until = engine.head().unwrap();
            streams.spawn(async move { engine.seek(&Start::Latest, &filter, until, 0).await.map(drop) });
        }
    }
    let mut slowest = Duration::ZERO;
    while !streams.is_empty() {
        let begun = Instant::now();
        engine.append_all(vec![alert("t.1", Level::Info)]).await.expect("readers starve no publisher");
        slowest = slowest.max(begun.elapsed());
        while let Some(read) = streams.try_join_next() {
            read.unwrap().expect("readers are served");
        }
    }
    assert!(slowest < Duration::from_millis(700), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_can_be_read_while_alerts_come_in() {
    let server = Server::start();
    let engine = start(&server, UNLIMITED).await;
    let reader = engine.clone();
    let reading = tokio::spawn(async move {
        let (mut after, mut read) = (Id::ZERO, 0);
        while read < 2000 {
            let filter = Filter::new(["*".parse().unwrap()], Level::Info);
            let range = Range { filter, after, until: Id::MAX, limit: 100, bytes: 1 << 20 };
            let page = reader.read(range, Direction::Forward).await.expect("the log is there");
            read += page.records.len();
            after = page.records.last().map_or(after, |record| record.id);
        }
        read
    });
    let mut published = 0;
    while !reading.is_finished() {
        published += publish(&engine, std::iter::repeat_n("t".to_owned(), 2)).await.len();
    }
    assert!((2000..=published).contains(&reading.await.unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_many_idempotency_keys_pushes_out_no_key_of_another() {
    let server = Server::start();
    let engine = start(&server, UNLIMITED).await;
    let keyed = |user: &str, key: String| Publish {
        idempotency: Some(Idempotency { user: user.into(), key, state: None }),
        ..alert("a", Level::Info)
    };
    let first = engine.append_all(vec![keyed("alice", "1".into())]).await.unwrap().remove(0);
    let many = keyed("many", "0".into()).idempotency.unwrap();
    let fill = "for i = 1, 100000 do local key = 'k' .. i
        redis.call('HSET', '{c}:idem', key, '00 1-0 ' .. ARGV[1] .. ' ' .. ARGV[2])
        redis.call('ZADD', '{c}:idem-age', ARGV[1] + i, key)
        redis.call('ZADD', '{c}:idem-of:' .. ARGV[2], ARGV[1] + i, key) end
        redis.call('ZADD', '{c}:idem-users', 100000, ARGV[2])";
    server.ask(&["EVAL", fill, "0", &first.record.received_ms.to_string(), &super::script::hex(&many.owner())]);
    for number in 0..50 {
        engine.append_all(vec![keyed("many", number.to_string())]).await.unwrap();
    }
    assert_eq!(server.ask(&["ZCARD", "{c}:idem-age"]).trim(), "100000");
    assert_eq!(server.ask(&["HLEN", "{c}:idem"]).trim(), "100000");
    let again = engine.append_all(vec![keyed("alice", "1".into())]).await.unwrap().remove(0);
    assert!(again.repeated && again.record.id == first.record.id);
}
