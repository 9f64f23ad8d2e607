//! Connections opened as fast as they are answered, authenticated and held.

use std::time::Duration;

use serde_json::{Map, Value};

use super::pool::Pool;
use crate::Result;
use crate::dialect::{Target, Topics};
use crate::machine::{Tree, now, own_cpu};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 19_000)]
    connections: usize,
    /// Streams that are asked for at the same time.
    #[arg(long, default_value_t = 128)]
    at_once: usize,
    /// Seconds at most.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
}

pub(crate) fn run(options: &Options) -> Result<Map<String, Value>> {
    let mut pool = Pool::new(&options.target, Topics::One, options.connections)?;
    // The first one makes the server remember the key.
    pool.open_to(1, 1, Duration::from_secs(10))?;
    let tree = Tree::of(&options.target.pids);
    let (began, server, own) = (now(), tree.cpu(), own_cpu());
    let deadline = began + (options.seconds * 1e9) as u64;
    let mut next = 1;
    while pool.open < options.connections && now() < deadline {
        while next < options.connections && pool.asking < options.at_once {
            pool.ask(next)?;
            next += 1;
        }
        pool.turn(Duration::from_millis(50))?;
        if pool.refused > 0 {
            return Err(format!("refused: {}", pool.complaint).into());
        }
    }
    let seconds = (now() - began) as f64 / 1e9;
    let opened = (pool.open - 1).max(1) as f64;
    let (server, own) = (tree.cpu() - server, own_cpu() - own);

    let mut report = Map::new();
    pool.report(&mut report);
    report.insert("connects_per_s".into(), (opened / seconds).into());
    report.insert("cpu_us_per_connection".into(), (server * 1e6 / opened).into());
    report.insert("server_cores".into(), (server / seconds).into());
    report.insert("load_cores".into(), (own / seconds).into());
    Ok(report)
}
