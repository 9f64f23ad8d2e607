//! Memory of subscribers that get nothing, at several numbers of them: a line, and how straight it is.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::pool::Pool;
use crate::Result;
use crate::dialect::{Target, Topics};
use crate::machine::{Tree, now};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Numbers of subscribers at which memory is read.
    #[arg(long, value_delimiter = ',', default_value = "1000,5000,10000,15000,19000")]
    steps: Vec<usize>,
    /// HTTP/2 with prior knowledge, one stream on each connection.
    #[arg(long)]
    h2: bool,
    /// Streams that are asked for at the same time.
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    /// Seconds of rest before memory is read.
    #[arg(long, default_value_t = 1.0)]
    rest: f64,
}

pub(crate) fn run(options: &Options) -> Result<Map<String, Value>> {
    let most = options.steps.iter().copied().max().unwrap_or(0);
    let mut pool = Pool::new(&options.target, Topics::One, most)?;
    pool.speak_h2(options.h2);
    pool.open_to(1, 1, Duration::from_secs(10))?;
    let empty = Tree::of(&options.target.pids).pss();
    let mut line = Vec::new();
    for &step in &options.steps {
        pool.open_to(step, options.at_once, Duration::from_secs(20))?;
        let rested = now() + (options.rest * 1e9) as u64;
        while now() < rested {
            pool.turn(Duration::from_millis(50))?;
        }
        line.push((step as f64, Tree::of(&options.target.pids).pss() as f64));
    }
    let (slope, from_line) = fit(&line);

    let mut report = Map::new();
    pool.report(&mut report);
    report.insert("pss_empty".into(), empty.into());
    report.insert("pss_steps".into(), json!(line));
    report.insert("pss_bytes_per_subscriber".into(), slope.into());
    report.insert("pss_off_the_line".into(), from_line.into());
    if let Some((number, pss)) = line.last() {
        report.insert("pss_bytes_per_subscriber_all".into(), ((pss - empty as f64) / number).into());
    }
    Ok(report)
}

/// The slope of the line through the points, and how far the worst of them is from it, as a share of the growth.
fn fit(points: &[(f64, f64)]) -> (f64, f64) {
    let number = points.len().max(1) as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / number, points.iter().map(|p| p.1).sum::<f64>() / number);
    let spread: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
    let slope = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / spread.max(1.0);
    let worst = points.iter().map(|p| (p.1 - my - slope * (p.0 - mx)).abs()).fold(0.0, f64::max);
    let growth = points.last().map_or(0.0, |last| last.1 - points[0].1);
    (slope, worst / growth.abs().max(1.0))
}
