//! Subscribers take what publishers send: deliveries per second, latency, CPU per delivery.

use std::time::Duration;

use serde_json::{Map, Value};

use super::pool::Pool;
use super::publisher::{Plan, Progress, Published, publish, publish_one};
use crate::Result;
use crate::dialect::{Target, Topics};
use crate::machine::{Tree, now, own_cpu};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Publishers, each with one alert in flight.
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    /// Alerts per second; without, as fast as they are answered.
    #[arg(long)]
    pace: Option<f64>,
    /// Alerts at most.
    #[arg(long, default_value_t = u32::MAX)]
    alerts: u32,
    /// Seconds of publishing at most.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, value_enum, default_value = "one")]
    topics: Topics,
    /// Streams that are read byte by byte.
    #[arg(long, default_value_t = 1)]
    decode: usize,
    /// Streams that are asked for at the same time.
    #[arg(long, default_value_t = 256)]
    at_once: usize,
    /// Seconds without a single delivery after which the rest counts as lost.
    #[arg(long, default_value_t = 10.0)]
    patience: f64,
}

pub(crate) fn run(options: &Options) -> Result<Map<String, Value>> {
    let patience = Duration::from_secs_f64(options.patience);
    let mut pool = Pool::new(&options.target, options.topics, options.subscribers)?;
    pool.decode(options.decode);
    pool.open_to(options.subscribers, options.at_once, patience)?;
    let first = warm_up(&mut pool, options)?;
    pool.begin(first, options.publishers == 1);
    let plan = Plan {
        topics: options.topics,
        connections: options.publishers,
        pace: options.pace,
        first,
        limit: options.alerts,
        duration: Duration::from_secs_f64(options.seconds),
    };
    let tree = Tree::of(&options.target.pids);
    let (began, server, own) = (now(), tree.cpu(), own_cpu());
    let published = deliver(&mut pool, &options.target, &plan, patience)?;
    let seconds = (pool.tally.last().max(began + 1) - began) as f64 / 1e9;
    let (server, own, pss) = (tree.cpu() - server, own_cpu() - own, tree.pss());

    let delivered = pool.tally.delivered();
    let mut report = Map::new();
    report.insert("subscribers".into(), options.subscribers.into());
    pool.tally.report(published.answered, &mut report);
    pool.report(&mut report);
    published.answers.report("answer", &mut report);
    report.insert("answered".into(), published.answered.into());
    report.insert("refused".into(), published.refused.into());
    report.insert("publishes_per_s".into(), (published.answered as f64 / published.seconds).into());
    report.insert("seconds".into(), seconds.into());
    report.insert("deliveries_per_s".into(), (delivered as f64 / seconds).into());
    report.insert("cpu_us_per_delivery".into(), (server * 1e6 / delivered.max(1) as f64).into());
    report.insert("server_cores".into(), (server / seconds).into());
    report.insert("pss_mib".into(), (pss as f64 / f64::from(1 << 20)).into());
    report.insert("load_cores".into(), (own / seconds).into());
    Ok(report)
}

/// Publishes until one round has reached every stream, and returns the next sequence number.
fn warm_up(pool: &mut Pool, options: &Options) -> Result<u32> {
    let round = options.topics.step();
    let audience = (options.subscribers as u32 / round).max(1);
    for attempt in 0..20 {
        for sequence in attempt * round..(attempt + 1) * round {
            publish_one(&options.target, options.topics, sequence)?;
        }
        let deadline = now() + 1_500_000_000;
        while now() < deadline {
            pool.turn(Duration::from_millis(50))?;
            if (attempt * round..(attempt + 1) * round).all(|sequence| pool.tally.reached(sequence) >= audience) {
                return Ok((attempt + 1) * round);
            }
        }
    }
    Err("no alert of the warm-up reached every stream".into())
}

/// Publishes and reads until all have all, or nothing comes any more.
fn deliver(pool: &mut Pool, target: &Target, plan: &Plan, patience: Duration) -> Result<Published> {
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(target, plan, &progress));
        let (mut moved, mut before) = (now(), 0);
        let audience = pool.streams.len() as u64 / u64::from(plan.topics.step());
        loop {
            pool.turn(Duration::from_millis(20))?;
            let delivered = pool.tally.delivered();
            if delivered > before {
                (moved, before) = (now(), delivered);
            }
            if publisher.is_finished() {
                let sent = u64::from(progress.next() - plan.first);
                if delivered >= sent * audience || now() - moved > patience.as_nanos() as u64 {
                    break;
                }
            } else if now() - moved > patience.as_nanos() as u64 * 4 {
                break;
            }
        }
        publisher.join().map_err(|_| "the publisher panicked")?
    })
}
