//! A million subscribers and one alert: in one process where descriptors allow it, otherwise in several.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{facts, measure};
use crate::dialect::{Requests, Topics};
use crate::machine::{Tree, descriptor_limit, meminfo, now, pause};
use crate::server::{self, Place, Server, pinned};
use crate::stamp::Stamp;
use crate::{Result, net};

/// Memory that is left alone, bytes.
const SPARE: u64 = 2 << 30;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(default_value_t = 1_000_000)]
    subscribers: usize,
    /// The alertd to measure.
    #[arg(long, default_value = "target/release/alertd")]
    alertd: PathBuf,
    /// Subscribers of one daemon and one generator at most; by default what descriptors allow.
    #[arg(long)]
    each: Option<usize>,
    /// Minutes after which no more subscribers are opened.
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// Silence after which a stream gets a heartbeat: at alertd's default of 8 s a million streams cost a core.
    #[arg(long, default_value = "10m")]
    heartbeat: String,
    #[arg(long, default_value = "results")]
    results: PathBuf,
}

/// A daemon and the generator that holds its subscribers.
struct Pair {
    server: Server,
    generator: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    subscribers: usize,
    connect_seconds: f64,
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.generator.kill();
        let _ = self.generator.wait();
    }
}

/// Opens as many as there should be, or as memory and time allow, and sends one alert to all.
pub(crate) fn run(options: &Options) -> Result<()> {
    let each = options.each.unwrap_or(usize::MAX).min(descriptor_limit() as usize - 500).min(options.subscribers);
    server::sweep();
    let place = place(options)?;
    let (began, available, slab) = (now(), meminfo("MemAvailable:"), meminfo("Slab:"));
    let (mut pairs, mut opened, mut stopped) = (Vec::<Pair>::new(), 0, "all are open");
    while opened < options.subscribers {
        let number = each.min(options.subscribers - opened);
        let per_subscriber = available.saturating_sub(meminfo("MemAvailable:")) / opened.max(1) as u64;
        if meminfo("MemAvailable:") < SPARE + per_subscriber * number as u64 {
            stopped = "memory was at its end";
            break;
        }
        if (now() - began) as f64 / 6e10 > options.minutes {
            stopped = "time was at its end";
            break;
        }
        let pair = open(&place, options, number)?;
        opened += number;
        eprintln!(
            "{opened} open, {} processes each side, {} MiB available",
            pairs.len() + 1,
            meminfo("MemAvailable:") >> 20
        );
        pairs.push(pair);
    }
    let connecting = (now() - began) as f64 / 1e9;
    pause(Duration::from_secs(3));
    let pss: u64 = pairs.iter().map(|pair| Tree::of(&pair.server.target.pids).pss()).sum();
    let (slab, used) = (meminfo("Slab:").saturating_sub(slab), available.saturating_sub(meminfo("MemAvailable:")));
    let cpu = || pairs.iter().map(|pair| Tree::of(&pair.server.target.pids).cpu()).sum::<f64>();
    let before = cpu();
    let answered = publish(&pairs)?;
    let reports = collect(&mut pairs)?;
    let cpu = pairs.iter().map(|pair| Tree::of(&pair.server.target.pids).cpu()).sum::<f64>() - before;

    let reached: u64 = reports.iter().filter_map(|report| report["reached"].as_u64()).sum();
    let quantile = |share: f64| weighted(&reports, share);
    let per = |bytes: u64| bytes as f64 / opened.max(1) as f64;
    let report = json!({
        "subscribers": opened,
        "wanted": options.subscribers,
        "stopped": stopped,
        "alertd processes": pairs.len(),
        "connect seconds, all": connecting,
        "connect seconds, streams alone": pairs.iter().map(|pair| pair.connect_seconds).sum::<f64>(),
        "reached": reached,
        "first subscriber, ms": quantile(0.0),
        "median subscriber, ms": quantile(0.5),
        "99 of 100 subscribers, ms": quantile(0.99),
        "last subscriber, ms": quantile(1.0),
        "last answer to the publisher, ms": answered,
        "server CPU us per delivery": cpu * 1e6 / reached.max(1) as f64,
        "server PSS bytes per subscriber": per(pss),
        "kernel slab bytes per subscriber, both ends": per(slab),
        "memory bytes per subscriber, everything": per(used),
        "heartbeat": options.heartbeat,
        "facts": facts::collect(&place),
    });
    let text = serde_json::to_string_pretty(&report)?;
    let directory = options.results.join(facts::stamp());
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("million.json"), &text)?;
    println!("{text}\nresults: {}", directory.display());
    Ok(())
}

fn place(options: &Options) -> Result<Place> {
    Ok(Place {
        alertd: std::path::absolute(&options.alertd)?,
        own: std::env::current_exe()?,
        python: PathBuf::new(),
        service: PathBuf::new(),
        core: format!("0-{}", std::thread::available_parallelism()?.get() - 1),
    })
}

fn open(place: &Place, options: &Options, subscribers: usize) -> Result<Pair> {
    let server = Server::alertd(place, "none", &format!("heartbeat = \"{}\"", options.heartbeat))?;
    let mut command = pinned(&place.core, &place.own);
    command.args(["load", "hold", "--subscribers", &subscribers.to_string()]);
    measure::address(&mut command, &server.target);
    let mut generator = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let input = generator.stdin.take().ok_or("no pipe to the generator")?;
    let output = BufReader::new(generator.stdout.take().ok_or("no pipe from the generator")?).lines();
    let mut pair = Pair { server, generator, input, output, subscribers, connect_seconds: 0.0 };
    let line = pair.output.next().ok_or("a generator ended before its streams were open")??;
    pair.connect_seconds = line.strip_prefix("open ").and_then(|text| text.parse().ok()).ok_or(line.clone())?;
    Ok(pair)
}

/// Sends the same alert to each daemon, one right after the other; milliseconds until the last has answered.
fn publish(pairs: &[Pair]) -> Result<f64> {
    let mut sockets = Vec::new();
    for pair in pairs {
        let target = &pair.server.target;
        sockets.push((net::connect(None, target.address)?, Requests::new(target, Topics::One)));
    }
    let began = now();
    for (socket, requests) in &mut sockets {
        net::send_all(&*socket, requests.with(Stamp { sequence: 0, nanoseconds: began }))?;
    }
    let (mut buffer, deadline) = ([0; 4096], began + 60_000_000_000);
    for (socket, _) in &sockets {
        while net::receive(socket, &mut buffer)?.is_none() && now() < deadline {
            pause(Duration::from_millis(1));
        }
    }
    Ok((now() - began) as f64 / 1e6)
}

fn collect(pairs: &mut [Pair]) -> Result<Vec<Value>> {
    for pair in &mut *pairs {
        writeln!(pair.input, "sent")?;
    }
    let mut reports = Vec::new();
    for pair in pairs {
        let line = pair.output.next().ok_or("a generator ended without a report")??;
        let mut report: Value = serde_json::from_str(&line)?;
        report["subscribers"] = pair.subscribers.into();
        reports.push(report);
    }
    Ok(reports)
}

/// A quantile over all generators, each of which has told its own hundred, milliseconds.
fn weighted(reports: &[Value], share: f64) -> f64 {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for report in reports {
        let weight = report["reached"].as_f64().unwrap_or(0.0) / 100.0;
        let quantiles = report["quantiles_ms"].as_array().into_iter().flatten().filter_map(Value::as_f64);
        points.extend(quantiles.map(|value| (value, weight)));
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted = points.iter().map(|point| point.1).sum::<f64>() * share;
    let mut sum = 0.0;
    let found = points.iter().find(|point| {
        sum += point.1;
        sum >= wanted
    });
    found.or(points.last()).map_or(0.0, |point| point.0)
}
