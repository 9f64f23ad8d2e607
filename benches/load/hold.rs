//! A part of very many subscribers: opens its streams, says so, and tells when one alert has reached them.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::pool::Pool;
use crate::Result;
use crate::dialect::{Target, Topics};
use crate::machine::now;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Seconds to wait for the alert, once told that it was sent.
    #[arg(long, default_value_t = 60.0)]
    patience: f64,
}

pub(crate) fn run(options: &Options) -> Result<Map<String, Value>> {
    let began = now();
    let mut pool = Pool::new(&options.target, Topics::One, options.subscribers)?;
    pool.open_to(options.subscribers, 256, Duration::from_secs(20))?;
    pool.begin(0, true);
    println!("open {}", (now() - began) as f64 / 1e9);
    std::io::stdout().flush()?;
    let sent = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().lock().read_line(&mut String::new());
            sent.store(true, Ordering::Release);
        });
        let mut deadline = u64::MAX;
        while pool.tally.delivered() < options.subscribers as u64 && now() < deadline {
            pool.turn(Duration::from_millis(100))?;
            if deadline == u64::MAX && sent.load(Ordering::Acquire) {
                deadline = now() + (options.patience * 1e9) as u64;
            }
        }
        let mut report = Map::new();
        report.insert("reached".into(), pool.tally.delivered().into());
        report.insert("ended".into(), pool.ended.len().into());
        report.insert("quantiles_ms".into(), json!(pool.tally.quantiles(100)));
        Ok(report)
    })
}
