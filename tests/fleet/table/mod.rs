//! Faults on each topology and durability, each run proved by the check of its [history](super::history).
//!
//! Some rows run with the other tests. `tests/fleet-faults` runs all of them with several seeds and prints the table of
//! `packaging/doc/fleet.md`.

mod row;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::history::Report;
use super::servers::Topology;
use row::{Fault, Row};

fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// The results of a row.
#[derive(Default)]
struct Results {
    reports: Vec<Report>,
    /// What is wrong, for each failed run.
    failures: Vec<String>,
}

impl Results {
    /// The row of the table in Markdown.
    fn line(&self, row: &Row) -> String {
        let sum = |count: fn(&Report) -> usize| self.reports.iter().map(count).sum::<usize>();
        let pause = self.reports.iter().map(|report| report.pause).max().unwrap_or_default();
        format!(
            "| {} | {} | `{}` | {} | {} | {} | {} | {} | {} | {:.1} s |",
            row.fault,
            row.topology,
            row.durability,
            self.reports.len(),
            sum(|report| report.answered),
            sum(|report| report.lost),
            sum(|report| report.untold),
            sum(|report| report.repeated),
            sum(|report| report.out_of_order),
            pause.as_secs_f64()
        )
    }
}

/// Runs rows with seeds, several at a time, because a run mostly waits.
fn run_all(rows: &[Row], seeds: &[u64]) -> Vec<Results> {
    const AT_ONCE: usize = 4;
    let results: Vec<_> = rows.iter().map(|_| Mutex::new(Results::default())).collect();
    let runs: Vec<_> = seeds.iter().flat_map(|seed| (0..rows.len()).map(move |row| (row, *seed))).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(&(number, seed)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = rows[number];
                    let run = std::thread::spawn(move || {
                        let report = row.run(seed).expect("root, to make a network");
                        let judged = row.judge(seed, &report);
                        (report, judged)
                    });
                    let run = run.join();
                    let mut results = results[number].lock().unwrap();
                    match run {
                        Ok((report, judged)) => {
                            println!("{row:?}, seed {seed}: {}", judged.as_ref().map_or("FAILED", |()| "kept"));
                            results.reports.push(report);
                            results.failures.extend(judged.err());
                        }
                        Err(_) => results.failures.push(format!("{row:?}, seed {seed}: no result, see above")),
                    }
                }
            });
        }
    });
    results.into_iter().map(|results| results.into_inner().unwrap()).collect()
}

/// `tests/fleet-faults` runs this one, which takes long.
#[test]
#[ignore = "takes half an hour; tests/fleet-faults"]
fn every_promise_is_kept_under_every_fault_on_every_topology() {
    let selection = std::env::var("ALERTD_TEST_ROWS").unwrap_or_default();
    let is_selected = |row: &Row| selection.split(' ').all(|word| format!("{row:?}").contains(word));
    let rows: Vec<_> = Row::all().into_iter().filter(is_selected).collect();
    let first = number_from("ALERTD_TEST_SEED", 1);
    let seeds: Vec<_> = (first..first + number_from("ALERTD_TEST_RUNS", 5)).collect();
    let results = run_all(&rows, &seeds);
    println!("| fault | servers | durability | runs | answered | lost | untold | repeated | out of order | pause |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    rows.iter().zip(&results).for_each(|(row, results)| println!("{}", results.line(row)));
    let failures: Vec<_> = results.into_iter().flat_map(|results| results.failures).collect();
    assert!(failures.is_empty(), "{} runs failed:\n{}", failures.len(), failures.join("\n"));
}

/// Some rows, with one seed each.
fn is_kept(fault: Fault, topology: Topology, durability: &'static str) {
    let (row, seed) = (Row::new(fault, topology, durability), number_from("ALERTD_TEST_SEED", 1));
    let Some(report) = row.run(seed) else { return };
    println!("{row:?}, seed {seed}: {report:?}");
    row.judge(seed, &report).unwrap();
}

#[test]
fn every_promise_is_kept_when_a_node_hangs() {
    is_kept(Fault::NodeHangs, Topology::Alone, "primary");
}

#[test]
fn every_promise_is_kept_when_a_node_is_cut_off_from_sentinels_and_servers() {
    is_kept(Fault::NodeCutOff, Topology::Sentinel(1), "replicas:1");
}

#[test]
fn every_promise_is_kept_when_a_failover_is_ordered_under_replicas() {
    is_kept(Fault::PlannedFailover, Topology::Sentinel(2), "replicas:2");
}

#[test]
fn every_promise_is_kept_when_the_owner_of_the_slot_is_cut_off_from_its_cluster() {
    is_kept(Fault::Partition, Topology::Cluster, "primary");
}

#[test]
fn every_promise_is_kept_when_an_older_state_is_restored_under_running_nodes() {
    is_kept(Fault::Restored, Topology::Alone, "primary");
}

#[test]
fn every_promise_is_kept_when_an_older_state_is_restored_while_nodes_are_stopped() {
    is_kept(Fault::RestoredWhileStopped, Topology::Alone, "primary");
}

#[test]
fn every_promise_is_kept_when_retention_overtakes_a_node() {
    is_kept(Fault::Retention, Topology::Alone, "primary");
}
