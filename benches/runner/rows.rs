//! The workloads: what each row runs, on which servers, for how long.

use std::path::{Path, PathBuf};

use super::goals::{Goal, at_least, at_most, value_at_most};
use crate::server::Kind::{
    self, Alertd, AlertdFsync, AlertdRedis, AlertdRedisFsync, Fastapi, FloorRing, FloorRingFsync, FloorRingNone,
    FloorWrite, Nchan, Pushpin, StoreFsync,
};

/// One server (or one way to ask it) of a row.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Of the load generator.
    pub(crate) arguments: Vec<String>,
    /// The alertd to measure, if it is another than the run's own.
    pub(crate) program: Option<PathBuf>,
    /// Rounds at most.
    pub(crate) rounds: u32,
    /// Seconds after which the generator is killed.
    pub(crate) limit: u32,
}

/// A figure of a row's table: the report's name for it, the heading, digits behind the point.
pub(crate) type Column = (&'static str, &'static str, usize);

/// One workload.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) title: String,
    /// The first is the one whose ratios are shown.
    pub(crate) columns: Vec<Column>,
    /// Whether more of the first column is better.
    pub(crate) more: bool,
    pub(crate) entries: Vec<Entry>,
    pub(crate) goals: Vec<Goal>,
}

impl Row {
    /// Measures this build of alertd too, each of its entries right behind that of the current one.
    pub(super) fn add_before(&mut self, program: &Path) {
        let entries = std::mem::take(&mut self.entries);
        for entry in entries {
            let before = entry.kind.is_alertd().then(|| Entry {
                name: format!("{}-before", entry.name),
                program: Some(program.to_owned()),
                ..entry.clone()
            });
            self.entries.push(entry);
            self.entries.extend(before);
        }
    }
}

pub(super) const FANOUT: [Column; 11] = [
    ("deliveries_per_s", "deliveries/s", 0),
    ("publishes_per_s", "publishes/s", 0),
    ("cpu_us_per_delivery", "server CPU us/delivery", 3),
    ("latency_p50_ms", "p50 ms", 1),
    ("latency_p99_ms", "p99 ms", 1),
    ("all_p50_ms", "all p50 ms", 1),
    ("server_cores", "server cores", 2),
    ("load_cores", "load cores", 2),
    ("lost", "lost", 0),
    ("repeated", "repeated", 0),
    ("reordered", "reordered", 0),
];

pub(super) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

pub(super) fn entry(kind: Kind, arguments: &str) -> Entry {
    Entry { name: kind.name(), kind, arguments: words(arguments), program: None, rounds: u32::MAX, limit: 60 }
}

/// Slow peers: once is enough to know the order of magnitude.
pub(super) fn slow(kind: Kind, arguments: &str) -> Entry {
    Entry { rounds: 1, limit: 240, ..entry(kind, arguments) }
}

pub(super) fn named(name: &str, entry: Entry) -> Entry {
    Entry { name: name.to_owned(), ..entry }
}

fn fanout(name: &str, title: &str, first: &str, more: bool, entries: Vec<Entry>, goals: Vec<Goal>) -> Row {
    let mut columns = FANOUT.to_vec();
    columns.sort_by_key(|column| column.0 != first);
    Row { name: name.into(), title: title.into(), columns, more, entries, goals }
}

pub(super) fn each(kinds: &[Kind], arguments: &str) -> Vec<Entry> {
    kinds.iter().map(|&kind| entry(kind, arguments)).collect()
}

/// Rows of fan-out, publishing and memory; those of growth and reconnects are in `growth`.
pub(super) fn rows(quick: bool) -> Vec<Row> {
    let (short, usual) = if quick { (1.5, 2.0) } else { (4.0, 5.0) };
    let mut rows = vec![
        one_write(usual),
        fast("w1-1k", 1000, short, 5.0, true),
        fast("w1-10k", 10_000, usual, 40.0, false),
        paced_10(usual),
        paced_50(usual),
        burst(quick),
        idle(quick),
        idle_h2(quick),
        publishes(short),
        storm(),
        topics(usual),
    ];
    rows.extend(on_redis(short));
    rows
}

fn one_write(seconds: f64) -> Row {
    let arguments = format!("fanout --subscribers 10000 --pace 5 --seconds {}", seconds + 1.0);
    fanout(
        "one-write",
        "One write per delivery: 10,000 subscribers, 5 alerts/s, each alert alone",
        "cpu_us_per_delivery",
        false,
        each(&[FloorWrite, FloorRing, Alertd, AlertdFsync, Nchan], &arguments),
        vec![
            at_least("cpu_us_per_delivery", FloorWrite, Alertd, 0.90),
            at_least("cpu_us_per_delivery", Nchan, Alertd, 1.4),
            at_least("cpu_us_per_delivery", FloorWrite, AlertdFsync, 0.90),
        ],
    )
}

fn fast(name: &str, subscribers: usize, seconds: f64, nchan: f64, slow_peers: bool) -> Row {
    let arguments = format!("fanout --subscribers {subscribers} --seconds {seconds}");
    let mut entries = each(&[FloorWrite, FloorRing, Alertd, AlertdFsync, Nchan], &arguments);
    if slow_peers {
        entries.push(slow(Pushpin, &format!("{arguments} --at-once 16 --patience 5")));
        entries.push(slow(Fastapi, &format!("{arguments} --at-once 16 --patience 20")));
    }
    fanout(
        name,
        &format!("W1: one publisher as fast as answered, {subscribers} subscribers"),
        "deliveries_per_s",
        true,
        entries,
        vec![
            at_least("deliveries_per_s", Alertd, FloorRing, 0.85),
            at_least("deliveries_per_s", Alertd, Nchan, nchan),
            at_least("deliveries_per_s", AlertdFsync, FloorRing, 0.85),
        ],
    )
}

fn paced_10(seconds: f64) -> Row {
    let arguments = format!("fanout --subscribers 10000 --pace 10 --seconds {seconds}");
    fanout(
        "w2-10",
        "W2: 10,000 subscribers, 10 alerts/s",
        "all_p50_ms",
        false,
        each(&[FloorWrite, FloorRing, Alertd, AlertdFsync, Nchan], &arguments),
        vec![
            at_most("latency_p99_ms", Alertd, FloorWrite, 1.15),
            at_most("all_p50_ms", Alertd, FloorWrite, 1.15),
            at_most("latency_p99_ms", Alertd, Nchan, 1.0),
            at_most("all_p50_ms", AlertdFsync, FloorWrite, 1.15),
        ],
    )
}

fn paced_50(seconds: f64) -> Row {
    let arguments = format!("fanout --subscribers 10000 --pace 50 --seconds {seconds}");
    let mut entries = each(&[FloorRing, Alertd, AlertdFsync], &arguments);
    entries.extend([slow(FloorWrite, &arguments), slow(Nchan, &arguments)]);
    fanout(
        "w2-50",
        "W2: 10,000 subscribers, 50 alerts/s (one write per alert and nchan fall behind)",
        "all_p50_ms",
        false,
        entries,
        vec![
            at_most("all_p50_ms", Alertd, FloorRing, 1.1),
            at_most("all_p50_ms", AlertdFsync, FloorRing, 1.1),
            value_at_most("latency_p99_ms", Alertd, 200.0),
        ],
    )
}

fn burst(quick: bool) -> Row {
    let arguments = "fanout --subscribers 5000 --publishers 32 --alerts 1000 --seconds 120";
    let mut entries = each(&[FloorRing, Alertd, AlertdFsync], arguments);
    entries.iter_mut().for_each(|entry| entry.limit = 150);
    if !quick {
        entries.push(slow(Nchan, arguments));
    }
    let mut row = fanout(
        "w3",
        "W3: 1,000 alerts to 5,000 subscribers, 32 publishes in flight",
        "seconds",
        false,
        entries,
        vec![
            at_most("seconds", Alertd, FloorRing, 1.3),
            at_least("seconds", Nchan, Alertd, 80.0),
            at_most("seconds", AlertdFsync, FloorRing, 1.3),
        ],
    );
    row.columns.insert(0, ("seconds", "s until all have all", 3));
    row
}

fn memory(name: &str, title: &str, entries: Vec<Entry>, goals: Vec<Goal>) -> Row {
    let columns = vec![
        ("pss_bytes_per_subscriber", "PSS bytes/subscriber (slope)", 0),
        ("pss_bytes_per_subscriber_all", "PSS bytes/subscriber (whole growth)", 0),
        ("pss_off_the_line", "furthest off the line (share of growth)", 3),
        ("pss_empty", "PSS with one, bytes", 0),
        ("streams", "streams", 0),
    ];
    Row { name: name.into(), title: title.into(), columns, more: false, entries, goals }
}

fn idle(quick: bool) -> Row {
    let mut entries = each(&[FloorRing, Alertd, Nchan], "idle");
    if !quick {
        entries.push(slow(Pushpin, "idle --at-once 16 --steps 200,400,600,800,1000"));
        entries.push(slow(Fastapi, "idle --at-once 16 --steps 100,200,300,400,500"));
    }
    memory(
        "w4",
        "W4: memory per idle subscriber, 1,000 to 19,000, plain HTTP/1.1",
        entries,
        vec![
            value_at_most("pss_bytes_per_subscriber", Alertd, 160.0),
            value_at_most("pss_off_the_line", Alertd, 0.1),
            at_least("pss_bytes_per_subscriber", Nchan, Alertd, 60.0),
        ],
    )
}

fn idle_h2(quick: bool) -> Row {
    let steps = if quick { "idle --h2 --steps 1000,3000,5000" } else { "idle --h2" };
    memory(
        "w4-h2",
        "W4: memory per idle subscriber, HTTP/2, one stream on each connection",
        each(&[Alertd], steps),
        vec![value_at_most("pss_bytes_per_subscriber", Alertd, 32_768.0)],
    )
}

/// Columns of rows that publish without subscribers.
pub(super) const PUBLISHES: [Column; 6] = [
    ("publishes_per_s", "publishes/s", 0),
    ("cpu_us_per_publish", "server CPU us/publish", 1),
    ("answer_p50_ms", "answer p50 ms", 2),
    ("answer_p99_ms", "answer p99 ms", 2),
    ("server_cores", "server cores", 2),
    ("load_cores", "load cores", 2),
];

fn publishes(seconds: f64) -> Row {
    let arguments = format!("rate --connections 32 --seconds {seconds}");
    let mut entries = each(&[FloorRing, FloorRingNone, FloorRingFsync, Alertd, AlertdFsync, Nchan], &arguments);
    entries.push(entry(StoreFsync, &format!("--batch 32 --fsync --seconds {seconds}")));
    entries.push(slow(Fastapi, &arguments));
    Row {
        name: "w5".into(),
        title: "W5: publishes/s over 32 keep-alive connections, no subscriber".into(),
        columns: PUBLISHES.to_vec(),
        more: true,
        entries,
        goals: vec![
            at_least("publishes_per_s", Alertd, FloorRingNone, 0.6),
            at_least("publishes_per_s", AlertdFsync, StoreFsync, 0.6),
            at_least("publishes_per_s", Alertd, FloorRing, 0.4),
            at_least("publishes_per_s", Alertd, Nchan, 0.65),
        ],
    }
}

/// The same alertd on its own disk and on a Redis, which shares the core with it.
fn on_redis(seconds: f64) -> [Row; 2] {
    let kinds = [Alertd, AlertdFsync, AlertdRedis, AlertdRedisFsync];
    let publishes = Row {
        name: "redis-w5".into(),
        title: "Through Redis: publishes/s over 32 keep-alive connections, no subscriber".into(),
        columns: PUBLISHES.to_vec(),
        more: true,
        entries: each(&kinds, &format!("rate --connections 32 --seconds {seconds}")),
        goals: Vec::new(),
    };
    let arguments = format!("fanout --subscribers 1000 --pace 100 --seconds {seconds}");
    let title = "Through Redis: 1,000 subscribers, 100 alerts/s";
    [publishes, fanout("redis-w2", title, "latency_p50_ms", false, each(&kinds, &arguments), Vec::new())]
}

fn storm() -> Row {
    let mut entries = each(&[FloorWrite, Alertd, Nchan], "storm");
    entries.push(slow(Fastapi, "storm --connections 300 --at-once 16"));
    Row {
        name: "w6".into(),
        title: "W6: 19,000 connections opened, authenticated with a remembered key, and held".into(),
        columns: vec![
            ("cpu_us_per_connection", "server CPU us/connection", 1),
            ("connects_per_s", "connects/s", 0),
            ("head_p50_ms", "head p50 ms", 1),
            ("head_p99_ms", "head p99 ms", 1),
            ("server_cores", "server cores", 2),
            ("load_cores", "load cores", 2),
        ],
        more: false,
        entries,
        goals: vec![
            at_least("cpu_us_per_connection", FloorWrite, Alertd, 0.80),
            at_least("cpu_us_per_connection", Nchan, Alertd, 1.2),
        ],
    }
}

fn topics(seconds: f64) -> Row {
    let arguments = format!("fanout --subscribers 9960 --seconds {seconds}");
    let entries = vec![
        named("alertd one", entry(Alertd, &arguments)),
        named("alertd wide", entry(Alertd, &format!("{arguments} --topics wide"))),
        named("alertd narrow", entry(Alertd, &format!("{arguments} --topics narrow --publishers 8"))),
    ];
    fanout(
        "topics",
        "20 topics and 60 distinct subscriptions instead of one: wide (each takes all 20), narrow (each takes one)",
        "deliveries_per_s",
        true,
        entries,
        vec![Goal::between("deliveries_per_s", "alertd wide", "alertd one", 0.8)],
    )
}
