//! Rows of reconnects and resumes, and of growth with the number of subscribers and publishers.

use super::goals::value_at_most;
use super::rows::{Column, Entry, FANOUT, PUBLISHES, Row, each, entry, named, slow};
use crate::server::Kind::{Alertd, AlertdFsync, FloorRing, FloorRingFsync, FloorRingNone, FloorWrite, Nchan};

pub(super) fn rows(quick: bool, long: bool) -> Vec<Row> {
    let mut rows = vec![reconnect(quick), resume(quick, long)];
    let subscribers: &[u32] = if quick { &[1, 100, 1000] } else { &[1, 10, 100, 1000, 10_000, 19_000] };
    rows.extend(subscribers.iter().map(|&number| growth_fast(number)));
    rows.extend(subscribers.iter().map(|&number| growth_paced(number)));
    let connections: &[u32] = if quick { &[1, 32] } else { &[1, 4, 16, 64, 256] };
    rows.extend(connections.iter().map(|&number| publishers(number)));
    rows
}

fn reconnect(quick: bool) -> Row {
    let arguments = if quick { "reconnect --clients 5000 --normal 3" } else { "reconnect" };
    let long = |entry: Entry| Entry { limit: 150, rounds: 3, ..entry };
    Row {
        name: "reconnect".into(),
        title: "18,000 clients come back at once with their last id after a restart, a publisher goes on at 5 alerts/s"
            .into(),
        columns: vec![
            ("resume_s", "s from the first back to the last", 2),
            ("restart_to_resumed_s", "s from the order to restart to the last", 2),
            ("cpu_us_per_resume", "server CPU us/resume, live traffic included", 0),
            ("normal_p99_ms", "live p99 ms before", 1),
            ("meanwhile_p99_ms", "live p99 ms meanwhile", 1),
            ("meanwhile_to_normal_p99", "ratio", 2),
            ("lost", "lost", 0),
            ("repeated", "repeated", 0),
            ("gaps", "gaps", 0),
        ],
        more: false,
        entries: vec![long(entry(Alertd, arguments)), long(entry(AlertdFsync, arguments))],
        goals: vec![
            value_at_most("meanwhile_to_normal_p99", Alertd, 2.0),
            value_at_most("meanwhile_to_normal_p99", AlertdFsync, 2.0),
        ],
    }
}

fn resume(quick: bool, long: bool) -> Row {
    let mut entries = vec![named("log 10^3", entry(Alertd, "resume --log 1001"))];
    let log = if quick { 20_000 } else { 100_000 };
    entries.push(named(&format!("log {log}"), entry(Alertd, &format!("resume --log {log}"))));
    if long {
        entries.push(Entry { limit: 1800, ..named("log 10^7", slow(Alertd, "resume --log 10000000 --fill 1700")) });
    }
    let columns: Vec<Column> = vec![
        ("resume_1_ms", "1 back, ms", 2),
        ("resume_1_cpu_us", "1 back, server CPU us", 0),
        ("resume_1000_ms", "1,000 back, ms", 2),
        ("resume_1000_cpu_us", "1,000 back, server CPU us", 0),
        ("resume_10000_ms", "10,000 back, ms", 2),
        ("resume_10000_cpu_us", "10,000 back, server CPU us", 0),
        ("fill_per_s", "publishes/s while filling", 0),
    ];
    Row {
        name: "resume".into(),
        title: "Going on from 1, 1,000 and 10,000 alerts back".into(),
        columns,
        more: false,
        entries,
        goals: Vec::new(),
    }
}

fn growth(name: String, title: String, arguments: &str, first: &str, more: bool) -> Row {
    let mut columns = FANOUT.to_vec();
    columns.insert(1, ("pss_mib", "PSS MiB", 1));
    columns.sort_by_key(|column| column.0 != first);
    let entries = each(&[FloorWrite, FloorRing, Alertd, Nchan], arguments);
    let entries = entries.into_iter().map(|entry| Entry { rounds: 1, ..entry }).collect();
    Row { name, title, columns, more, entries, goals: Vec::new() }
}

fn growth_fast(number: u32) -> Row {
    let arguments = format!("fanout --subscribers {number} --seconds 2");
    let title = format!("Growth: {number} subscribers, one publisher as fast as answered");
    growth(format!("growth-fast-{number}"), title, &arguments, "deliveries_per_s", true)
}

fn growth_paced(number: u32) -> Row {
    let arguments = format!("fanout --subscribers {number} --pace 4 --seconds 2.5");
    let title = format!("Growth: {number} subscribers, 4 alerts/s");
    growth(format!("growth-paced-{number}"), title, &arguments, "latency_p99_ms", false)
}

fn publishers(number: u32) -> Row {
    let arguments = format!("rate --connections {number} --seconds 2");
    let kinds = [FloorRingNone, FloorRingFsync, Alertd, AlertdFsync, Nchan];
    Row {
        name: format!("publishers-{number}"),
        title: format!("Growth: publishes/s over {number} keep-alive connections"),
        columns: PUBLISHES.to_vec(),
        more: true,
        entries: each(&kinds, &arguments).into_iter().map(|entry| Entry { rounds: 1, ..entry }).collect(),
        goals: Vec::new(),
    }
}
