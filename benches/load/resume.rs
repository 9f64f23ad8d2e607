//! Resuming a number of alerts before the end, in logs of several sizes: the cost must depend on what is sent, not on the size of the log.

use std::time::Duration;

use serde_json::{Map, Value};

use super::pool::Pool;
use super::publisher::{Plan, Progress, publish, publish_one};
use crate::Result;
use crate::dialect::{Target, Topics};
use crate::histogram::Histogram;
use crate::machine::{Tree, now};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Alerts in the log.
    #[arg(long, default_value_t = 1000)]
    log: u32,
    /// How far back; those that the log is too short for are left out.
    #[arg(long, value_delimiter = ',', default_value = "1,1000,10000")]
    back: Vec<u32>,
    /// Resumes of each distance.
    #[arg(long, default_value_t = 20)]
    times: u32,
    /// Seconds that filling the log may take.
    #[arg(long, default_value_t = 60.0)]
    fill: f64,
}

pub(crate) fn run(options: &Options) -> Result<Map<String, Value>> {
    let mut report = Map::new();
    let marks = fill(options, &mut report)?;
    let tree = Tree::of(&options.target.pids);
    for (back, id) in marks {
        let (mut times, before) = (Histogram::new(), tree.cpu());
        for _ in 0..options.times {
            times.record(resume(&options.target, back, &id)?);
        }
        let cpu = (tree.cpu() - before) * 1e6 / f64::from(options.times);
        report.insert(format!("resume_{back}_ms"), times.milliseconds(0.5).into());
        report.insert(format!("resume_{back}_max_ms"), times.milliseconds(1.0).into());
        report.insert(format!("resume_{back}_cpu_us"), cpu.into());
    }
    report.insert("log".into(), options.log.into());
    Ok(report)
}

/// Fills the log, and returns the ids that are followed by the requested numbers of alerts.
fn fill(options: &Options, report: &mut Map<String, Value>) -> Result<Vec<(u32, String)>> {
    let mut backs: Vec<u32> = options.back.iter().copied().filter(|&back| back < options.log).collect();
    backs.sort_unstable_by(|a, b| b.cmp(a));
    let (began, mut published, mut marks) = (now(), 0, Vec::new());
    for back in backs {
        let upto = options.log - back - 1;
        published += bulk(options, published, upto - published)?;
        let body: Value = serde_json::from_str(&publish_one(&options.target, Topics::One, published)?)?;
        published += 1;
        let id = body["alert"]["id"].as_str().ok_or("an answer without an id")?;
        marks.push((back, id.to_owned()));
    }
    published += bulk(options, published, options.log - published)?;
    report.insert("fill_per_s".into(), (f64::from(published) * 1e9 / (now() - began) as f64).into());
    // Or the kernel, which writes gigabytes of a long log to disk in the meantime, takes the server's core.
    rustix::fs::sync();
    Ok(marks)
}

fn bulk(options: &Options, first: u32, limit: u32) -> Result<u32> {
    let plan = Plan {
        topics: Topics::One,
        connections: 64.min(limit.max(1) as usize),
        pace: None,
        first,
        limit,
        duration: Duration::from_secs_f64(options.fill),
    };
    let published = publish(&options.target, &plan, &Progress::default())?;
    if published.answered != u64::from(limit) {
        return Err(format!("the log could not be filled: {} of {limit} alerts", published.answered).into());
    }
    Ok(limit)
}

/// From the request until the last of the alerts has come, nanoseconds.
fn resume(target: &Target, back: u32, id: &str) -> Result<u64> {
    let mut pool = Pool::new(target, Topics::One, 1)?;
    pool.decode(1);
    if let Some(decoder) = &mut pool.streams[0].decoder {
        decoder.last_id = id.to_owned();
    }
    let began = now();
    pool.ask(0)?;
    while pool.decoded < u64::from(back) {
        pool.turn(Duration::from_millis(100))?;
        if !pool.ended.is_empty() || now() - began > 20_000_000_000 {
            return Err(format!("{} of {back} alerts came. {}", pool.decoded, pool.complaint).into());
        }
    }
    if pool.gaps > 0 {
        return Err("a gap although nothing is missing".into());
    }
    Ok(now() - began)
}
