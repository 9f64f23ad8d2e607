//! All clients come back at once with their last id after a restart, while a publisher goes on.

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};

use super::pool::Pool;
use super::publisher::publish_one;
use crate::dialect::{Target, Topics};
use crate::histogram::Histogram;
use crate::machine::{Tree, now, pause};
use crate::runner::RESTART;
use crate::stamp::Stamp;
use crate::{Result, answer};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 18_000)]
    clients: usize,
    /// Alerts per second, all the while.
    #[arg(long, default_value_t = 5.0)]
    pace: f64,
    /// Seconds before the restart, and after all are back.
    #[arg(long, default_value_t = 6.0)]
    normal: f64,
    /// Streams that are asked for and not answered: what a listen queue holds.
    #[arg(long, default_value_t = 2000)]
    at_once: usize,
    /// Seconds until all must be back.
    #[arg(long, default_value_t = 60.0)]
    patience: f64,
}

/// What the publisher and the reader tell each other.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU32,
    /// The process of the restarted server; 0 before.
    restarted: AtomicU32,
}

pub(crate) fn run(options: &Options) -> Result<Map<String, Value>> {
    let mut pool = Pool::new(&options.target, Topics::One, options.clients)?;
    pool.decode(options.clients);
    pool.open_to(options.clients, 256, Duration::from_secs(20))?;
    // So that everybody has an id.
    publish_one(&options.target, Topics::One, 0)?;
    wait(&mut pool, 10.0, |pool| pool.tally.reached(0) as usize >= options.clients)?;
    pool.begin(1, true);
    let shared = Shared::default();
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(&options.target, options.pace, &shared));
        let outcome = come_back(&mut pool, options, &shared);
        shared.stop.store(true, Ordering::Release);
        let sent = publisher.join().map_err(|_| "the publisher panicked")?;
        let mut report = outcome?;
        let due = u64::from(sent) * options.clients as u64;
        let _ = wait(&mut pool, 10.0, |pool| pool.tally.delivered() >= due);
        pool.tally.report(u64::from(sent), &mut report);
        pool.ended.clear();
        pool.report(&mut report);
        report.insert("gaps".into(), pool.gaps.into());
        Ok(report)
    })
}

fn come_back(pool: &mut Pool, options: &Options, shared: &Shared) -> Result<Map<String, Value>> {
    pool.live = Histogram::new();
    let _ = wait(pool, options.normal, |_| false);
    let normal = std::mem::replace(&mut pool.live, Histogram::new());
    pool.seams.clear();
    pool.heads = Histogram::new();

    let asked = now();
    println!("{RESTART}");
    std::io::stdout().flush()?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut line = String::new();
            let _ = std::io::stdin().lock().read_line(&mut line);
            shared.restarted.store(line.trim().parse().unwrap_or(1), Ordering::Release);
        });
        let (mut first, mut ended) = (0, 0);
        let deadline = asked + (options.patience * 1e9) as u64;
        let mut refused = 0u64;
        while pool.seams.len() < options.clients {
            if now() > deadline {
                return Err(format!("{} of {} are back, {refused} refused", pool.seams.len(), options.clients).into());
            }
            if ended == 0 && !pool.ended.is_empty() {
                ended = now();
            }
            pool.turn(Duration::from_millis(2))?;
            // Some at a time, so that who is back is read while others come.
            for _ in 0..64 {
                if pool.asking >= options.at_once {
                    break;
                }
                let Some(number) = pool.ended.pop_front() else { break };
                if pool.ask(number).is_err() {
                    refused += 1;
                    pool.ended.push_back(number);
                    break;
                }
            }
            if first == 0 && !pool.seams.is_empty() {
                first = now();
            }
        }
        let back = now();
        let cpu = Tree::of(&[shared.restarted.load(Ordering::Acquire)]).cpu();
        let meanwhile = std::mem::replace(&mut pool.live, Histogram::new());
        let _ = wait(pool, options.normal / 2.0, |_| false);

        let mut report = Map::new();
        let seconds = |from: u64, to: u64| Value::from(to.saturating_sub(from) as f64 / 1e9);
        report.insert("down_s".into(), seconds(ended, first));
        report.insert("resume_s".into(), seconds(first, back));
        report.insert("restart_to_resumed_s".into(), seconds(asked, back));
        report.insert("cpu_us_per_resume".into(), (cpu * 1e6 / options.clients as f64).into());
        normal.report("normal", &mut report);
        meanwhile.report("meanwhile", &mut report);
        pool.live.report("after", &mut report);
        let ratio = meanwhile.milliseconds(0.99) / normal.milliseconds(0.99).max(1e-9);
        report.insert("meanwhile_to_normal_p99".into(), ratio.into());
        report.insert("answered".into(), shared.answered.load(Ordering::Acquire).into());
        Ok(report)
    })
}

/// Reads for so long, or until the condition holds.
fn wait(pool: &mut Pool, seconds: f64, mut done: impl FnMut(&Pool) -> bool) -> Result<()> {
    let deadline = now() + (seconds * 1e9) as u64;
    while !done(pool) {
        if now() > deadline {
            return Err("it did not come in time".into());
        }
        pool.turn(Duration::from_millis(20))?;
    }
    Ok(())
}

/// One alert after another, each under its key until it is answered; returns how many.
fn publish(target: &Target, pace: f64, shared: &Shared) -> u32 {
    let (began, mut connection, mut request) = (now(), None, Vec::new());
    let mut sequence = 1;
    while !shared.stop.load(Ordering::Acquire) {
        let due = began + (f64::from(sequence - 1) / pace * 1e9) as u64;
        pause(Duration::from_nanos(due.saturating_sub(now())));
        target.publish(Topics::One, Stamp { sequence, nanoseconds: now() }, true, &mut request);
        loop {
            match exchange(target, &mut connection, &request) {
                Ok(()) => break,
                Err(_) => connection = None,
            }
            pause(Duration::from_millis(10));
            if shared.stop.load(Ordering::Acquire) {
                return sequence - 1;
            }
        }
        shared.answered.store(sequence, Ordering::Release);
        sequence += 1;
    }
    sequence - 1
}

fn exchange(target: &Target, connection: &mut Option<TcpStream>, request: &[u8]) -> Result<()> {
    if connection.is_none() {
        *connection = Some(TcpStream::connect(target.publish_to())?);
    }
    let socket = connection.as_mut().ok_or("no connection")?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.write_all(request)?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = socket.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..length]);
        match answer::whole(&bytes) {
            Some(answer) if answer.status == 200 => return Ok(()),
            Some(answer) => return Err(format!("{}", answer.status).into()),
            None if length == 0 => return Err("closed".into()),
            None => {}
        }
    }
}
