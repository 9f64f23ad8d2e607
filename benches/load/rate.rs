//! Publishes per second over keep-alive connections, with no subscriber.

use std::time::Duration;

use serde_json::{Map, Value};

use super::publisher::{Plan, Progress, publish};
use crate::Result;
use crate::dialect::{Target, Topics};
use crate::machine::{Tree, own_cpu};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Alerts at most.
    #[arg(long, default_value_t = u32::MAX)]
    alerts: u32,
}

pub(crate) fn run(options: &Options) -> Result<Map<String, Value>> {
    let plan = Plan {
        topics: Topics::One,
        connections: options.connections,
        pace: None,
        first: 0,
        limit: options.alerts,
        duration: Duration::from_secs_f64(options.seconds),
    };
    let tree = Tree::of(&options.target.pids);
    let (server, own) = (tree.cpu(), own_cpu());
    let published = publish(&options.target, &plan, &Progress::default())?;
    let (server, own) = (tree.cpu() - server, own_cpu() - own);

    let mut report = Map::new();
    published.answers.report("answer", &mut report);
    report.insert("connections".into(), options.connections.into());
    report.insert("answered".into(), published.answered.into());
    report.insert("refused".into(), published.refused.into());
    report.insert("publishes_per_s".into(), (published.answered as f64 / published.seconds).into());
    report.insert("cpu_us_per_publish".into(), (server * 1e6 / published.answered.max(1) as f64).into());
    report.insert("server_cores".into(), (server / published.seconds).into());
    report.insert("load_cores".into(), (own / published.seconds).into());
    Ok(report)
}
