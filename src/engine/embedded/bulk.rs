//! A store of any size for measurements, written through the engine. `benches/store` runs it; see benches/README.md.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::disk::real::RealDisk;
use super::location;
use super::store::{Options, Store};
use super::testing::{UNLIMITED, publish};
use super::{Durability, Settings};
use crate::alert::Level;

const BATCH: u64 = 1024;
/// The size outside of tests.
const SEGMENT: u64 = 64 << 20;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |value| value.replace('_', "").parse().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "the daemon, which reads the clock elsewhere, does not run")]
fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[test]
#[ignore = "writes gigabytes; benches/store runs it"]
fn fill_a_store() {
    let directory = PathBuf::from(std::env::var("ALERTD_STORE").expect("ALERTD_STORE names a directory"));
    let (alerts, topics) = (number("ALERTD_STORE_ALERTS", 10_000_000), number("ALERTD_STORE_TOPICS", 10_000));
    let clock = Arc::new(now_ms);
    let settings = Settings { directory: directory.clone(), durability: Durability::None, retention: UNLIMITED, clock };
    let _lock = location::prepare(&settings, &|_| ()).unwrap();
    let options = Options { durability: Durability::None, segment_bytes: SEGMENT };
    let disk = Arc::new(RealDisk(directory.join(location::LOG)));
    let (mut store, damage) = Store::open(disk, options, now_ms()).unwrap();
    assert_eq!(damage, Vec::<String>::new());
    let keeper = store.keeper();
    let (started, mut writing) = (Instant::now(), Duration::ZERO);
    let text = "The message of an alert as people write them, one or two lines long".repeat(2);
    for from in (0..alerts).step_by(usize::try_from(BATCH).unwrap()) {
        let batch: Vec<_> = (from..alerts.min(from + BATCH))
            .map(|i| publish(&format!("host-{:05}.disk", i % topics), &format!("{i} {text}"), Level::Warn, None))
            .collect();
        let began = Instant::now();
        store.append([&batch[..]].into_iter(), now_ms(), &UNLIMITED, 0).unwrap();
        for chore in store.take_chores() {
            keeper.perform(chore, &mut || ()).unwrap();
        }
        writing += began.elapsed();
    }
    store.stop(&keeper).unwrap();
    let disk = store.catalog.read().on_disk();
    let each = |duration: Duration| duration.as_nanos() / u128::from(alerts);
    println!(
        "{alerts} alerts in {topics} topics: {:.1} s, {} ns each in the engine, {} bytes on disk each",
        started.elapsed().as_secs_f64(),
        each(writing),
        disk / alerts
    );
}
