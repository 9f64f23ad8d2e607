//! Logs that earlier versions wrote, as files: each format that is still read has one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::header::{Header, VERSION};
use super::testing::{NOW, UNLIMITED, filter, publish};
use super::{Durability, Embedded, Settings};
use crate::alert::{Id, Level, Record, Start};
use crate::engine::{Direction, Publish, Range};

/// Forty alerts with idempotency keys, as the last build of each earlier format left them at a clean stop.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/segment-format-");

fn alert(format: u32, number: usize) -> Publish {
    let message = format!("alert {number} of segment format {format}");
    let mut alert = publish(&format!("ops.{}", number % 3), &message, Level::Warn, Some(&format!("key-{number}")));
    alert.user = "(publish socket)".into();
    if let Some(key) = &mut alert.idempotency {
        key.user = "(publish socket)".into();
    }
    alert
}

fn open(directory: &Path, format: u32) -> Embedded {
    let directory = directory.to_owned();
    // Later than the alerts of the files, and within the age of their keys.
    let now_ms = NOW + [446_500_000, 602_000_000, 620_000_000][format as usize - 1];
    let clock: crate::engine::Clock = Arc::new(move || now_ms);
    let settings = Settings { directory, durability: Durability::Fsync, retention: UNLIMITED, clock };
    let (engine, mut feed) = Embedded::open(settings).unwrap();
    tokio::spawn(async move { while feed.recv().await.is_some() {} });
    engine
}

async fn all(engine: &Embedded) -> Vec<Record> {
    let range = Range { filter: filter("*"), after: Id::ZERO, until: Id::MAX, limit: 1000, bytes: 1 << 20 };
    let page = engine.read(range, Direction::Forward).await.unwrap();
    assert!(page.next.is_none() && page.damaged.is_none());
    page.records
}

fn versions(log: &Path) -> Vec<u32> {
    let segments = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let segments = segments.filter(|path| path.extension().is_some_and(|ending| ending == "seg"));
    let mut versions: Vec<_> = segments.map(|path| Header::read(&fs::read(path).unwrap()).unwrap().version).collect();
    versions.sort_unstable();
    versions
}

#[tokio::test]
async fn a_log_of_an_earlier_format_is_read_and_goes_on_in_a_segment_of_the_present_format() {
    for format in 1..VERSION {
        // As a clean stop left it, and without the file that only a clean stop writes.
        for was_killed in [false, true] {
            goes_on(format, was_killed).await;
        }
    }
}

async fn goes_on(format: u32, was_killed: bool) {
    let at = format!("format {format}, {was_killed}");
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    fs::create_dir(&log).unwrap();
    for entry in fs::read_dir(format!("{FIXTURES}{format}")).unwrap() {
        let path = entry.unwrap().path();
        if !was_killed || path.extension().is_some_and(|ending| ending == "seg") {
            fs::copy(&path, log.join(path.file_name().unwrap())).unwrap();
        }
    }
    assert_eq!(versions(&log), [format]);
    let engine = open(place.path(), format);
    let before = all(&engine).await;
    assert_eq!(before.len(), 40, "{at}");
    for (number, record) in (1..).zip(&before) {
        let stored = engine.append_all(vec![alert(format, number)]).await.unwrap().remove(0);
        assert!(stored.repeated && stored.record == *record, "{at}: {stored:?}");
        let seek = engine.seek(&Start::After(record.id), &filter("*"), Id::MAX, 0).await.unwrap();
        assert!(seek.gap.is_none(), "{at}: {}", record.id);
    }
    let new = engine.append_all(vec![alert(format, 41)]).await.unwrap().remove(0).record;
    engine.close().await;
    assert_eq!(versions(&log), [format, VERSION]);
    let engine = open(place.path(), format);
    assert_eq!(all(&engine).await, [before, vec![new]].concat(), "{at}");
    engine.close().await;
}
