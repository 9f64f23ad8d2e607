//! kill -9 of a real process on a real disk, at any moment of its batches: everything that it reported as stored is
//! there, and nothing is there that it did not announce.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::header::SUFFIX;
use super::testing::{NOW, UNLIMITED, filter, publish, runs};
use super::{Durability, Embedded, Settings, incident_power, location};
use crate::alert::{Id, IncidentReport, IncidentStatus, Level, Record};
use crate::engine::{Direction, Range, Retention};
use crate::random::Random;

/// Set in the process that is killed: the directory, the seed and the durability.
const PLAN: &str = "ALERTD_TEST_KILLED";
const PUBLISHERS: u64 = 6;

fn settings(directory: &Path, durability: Durability, retention: Retention) -> Settings {
    let directory = directory.to_owned();
    Settings { directory, durability, retention, clock: Arc::new(|| NOW) }
}

/// A quiet topic keeps its segment, while the limits of the others empty the later ones.
fn retention(random: &mut Random) -> Retention {
    let count = if random.chance(50) { 0 } else { 300 + random.below(3000) };
    let topic_count = if random.chance(50) { 0 } else { 200 + random.below(800) };
    Retention { count, topic_count, ..UNLIMITED }
}

/// Of few incidents, so that each of them changes often.
fn report(random: &mut Random) -> IncidentReport {
    let status = if random.chance(20) { IncidentStatus::Resolved } else { IncidentStatus::Open };
    IncidentReport::new(format!("i{}", random.below(3)).parse().unwrap(), status)
}

fn say(lines: String) {
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// Runs in the process that is killed: prints each message before it is sent, and its id once it is answered.
#[test]
#[ignore = "runs in a process of its own, which the test below kills"]
fn publish_until_killed() {
    let plan = std::env::var(PLAN).unwrap();
    let [directory, seed, durability] = plan.split('|').collect::<Vec<_>>().try_into().unwrap();
    let durability = if durability == "fsync" { Durability::Fsync } else { Durability::None };
    let mut random = Random::new(seed.parse().unwrap());
    let settings = settings(Path::new(directory), durability, retention(&mut random));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (engine, mut feed) = Embedded::open(settings).unwrap();
        tokio::spawn(async move { while feed.recv().await.is_some() {} });
        let publishers = (0..PUBLISHERS).map(|publisher| {
            let (engine, mut random) = (engine.clone(), Random::new(seed.parse::<u64>().unwrap() * 100 + publisher));
            let seed = seed.to_owned();
            tokio::spawn(async move {
                for turn in 0.. {
                    let group: Vec<_> = (0..=random.below(4))
                        .map(|i| {
                            let topic = if random.chance(1) { "quiet".into() } else { format!("t{}", random.below(4)) };
                            let message = format!("{topic}:{seed}-{publisher}-{turn}-{i}");
                            let text = format!("{message} {}", "x".repeat(random.below(900) as usize));
                            let mut alert = publish(&topic, &text, Level::Warn, random.chance(20).then_some(&message));
                            if random.chance(30) {
                                alert.draft = alert.draft.reporting(Some(report(&mut random)));
                            }
                            (alert, message)
                        })
                        .collect();
                    say(group.iter().map(|(_, message)| format!("? {message}\n")).collect());
                    let publishes = group.iter().map(|(publish, _)| publish.clone()).collect();
                    let stored = engine.append_all(publishes).await.unwrap();
                    let answers = group.iter().zip(stored);
                    say(answers.map(|((_, message), stored)| format!("= {message} {}\n", stored.record.id)).collect());
                }
            })
        });
        for publisher in publishers.collect::<Vec<_>>() {
            publisher.await.unwrap();
        }
    });
}

/// What the processes printed.
#[derive(Default)]
struct Said {
    answered: BTreeMap<Id, String>,
    /// Sent, and not answered before the end.
    open: HashSet<String>,
    /// The newest id that was known before the process began.
    base: Id,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("?"), Some(message), None) => drop(self.open.insert(message.to_owned())),
            (Some("="), Some(message), Some(id)) => {
                let id: Id = id.parse().unwrap();
                assert!(id > self.base, "{line}: not above {}", self.base);
                self.open.remove(message);
                assert_eq!(self.answered.insert(id, message.to_owned()), None, "{line}: given twice");
            }
            // Lines of the test harness.
            _ => {}
        }
    }
}

/// Starts the process, kills it at some moment after its first answer, and adds what it printed.
#[expect(clippy::disallowed_methods, reason = "the moment is to be any, so nothing is waited for")]
fn kill(directory: &Path, seed: u64, durability: Durability, said: &mut Said) {
    let durability = if durability == Durability::Fsync { "fsync" } else { "none" };
    let test = format!("{}::publish_until_killed", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "--quiet", &test])
        .env(PLAN, format!("{}|{seed}|{durability}", directory.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (heard, lines) = std::sync::mpsc::channel();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let listener = std::thread::spawn(move || {
        let mut line = String::new();
        // The last line may be cut off, so it is not counted.
        while out.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            heard.send(std::mem::take(&mut line)).unwrap();
        }
    });
    let mut is_working = false;
    while !is_working {
        let Ok(line) = lines.recv() else {
            let error = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
            panic!("seed {seed}: the process ended by itself: {error}");
        };
        is_working = line.starts_with("= ");
        said.hear(line.trim_end());
    }
    std::thread::sleep(Duration::from_micros(Random::new(seed).below(25_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    listener.join().unwrap();
    lines.iter().for_each(|line| said.hear(line.trim_end()));
}

/// Everything in the log, and how to tell whether an alert would be retained.
fn read(directory: &Path, settings: Settings, at: &str) -> (Vec<Record>, impl Fn(&str, Id) -> bool + use<>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (engine, _feed) = Embedded::open(Settings { directory: directory.to_owned(), ..settings }).unwrap();
        let (mut records, mut after) = (Vec::new(), Id::ZERO);
        loop {
            let range = Range { filter: filter("*"), after, until: Id::MAX, limit: 1000, bytes: 1 << 20 };
            let page = engine.read(range, Direction::Forward).await.unwrap();
            records.extend(page.records);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(engine.stats().await.alerts, records.len() as u64, "{at}");
        incident_power::check_rows(&records, &incident_power::rows_of(&engine.0.incidents.read()), at);
        let catalog = Arc::clone(&engine.0.view.catalog);
        engine.close().await;
        (records, move |topic: &str, id: Id| catalog.read().is_retained(topic, id))
    })
}

fn copy(from: &Path, to: &Path, suffix: &str) {
    fs::create_dir_all(to.join(location::LOG)).unwrap();
    for entry in fs::read_dir(from.join(location::LOG)).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if name.to_str().unwrap().ends_with(suffix) {
            fs::copy(path, to.join(location::LOG).join(name)).unwrap();
        }
    }
}

fn check(directory: &Path, plan: &Settings, said: &mut Said, at: &str) {
    let place = tempfile::tempdir().unwrap();
    let (whole, rebuilt) = (place.path().join("whole"), place.path().join("rebuilt"));
    copy(directory, &whole, "");
    copy(directory, &rebuilt, SUFFIX);
    let (records, is_retained) = read(&whole, plan.clone(), at);
    assert!(records.is_sorted_by(|a, b| a.id < b.id), "{at}");
    let message = |record: &Record| {
        let json: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
        json["message"].as_str().unwrap().split(' ').next().unwrap().to_owned()
    };
    let found: BTreeMap<Id, String> = records.iter().map(|record| (record.id, message(record))).collect();
    for (id, message) in &found {
        match said.answered.get(id) {
            Some(answered) => assert_eq!(answered, message, "{at}: {id}"),
            None => assert!(said.open.contains(message), "{at}: {id} was never sent, or refused: {message}"),
        }
    }
    for (id, message) in &said.answered {
        let (topic, _) = message.split_once(':').unwrap();
        assert!(found.contains_key(id) || !is_retained(topic, *id), "{at}: {id} is missing: {message}");
    }
    assert_eq!(read(&rebuilt, plan.clone(), at).0, records, "{at}: the index is not that of a rebuild");
    // What the start found is known from here on.
    said.base = said.answered.keys().next_back().copied().max(records.last().map(|record| record.id)).unwrap();
    said.answered.extend(found);
    said.open.clear();
}

#[test]
fn kills_at_any_moment_lose_nothing_and_bring_up_nothing_that_was_not_sent() {
    let first: u64 = std::env::var("ALERTD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for log in 0..runs(3) {
        for durability in [Durability::Fsync, Durability::None] {
            let place = tempfile::tempdir().unwrap();
            let mut said = Said::default();
            for turn in 0..4 {
                // What is retained changes as by a reload.
                let seed = first + 4 * log + turn;
                let plan = settings(place.path(), durability, retention(&mut Random::new(seed)));
                kill(place.path(), seed, durability, &mut said);
                check(place.path(), &plan, &mut said, &format!("seed {first} log {log} {durability:?} turn {turn}"));
            }
        }
    }
}
