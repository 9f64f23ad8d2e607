//! What the machine tells: clocks, limits, and the CPU and memory of a tree of processes.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::clock_nanosleep_relative;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::Result;

/// Nanoseconds of the monotonic clock, which all processes share.
#[inline]
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// For polls that have no event to wait for.
pub(crate) fn pause(duration: Duration) {
    let request = Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) };
    let _ = clock_nanosleep_relative(ClockId::Monotonic, &request);
}

/// As many descriptors as this process may have, or if it may raise the limit, as many as the kernel allows; children
/// inherit it.
pub(crate) fn raise_descriptor_limit(beyond: bool) -> Result<()> {
    let most = fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
    if beyond && setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).is_ok() {
        return Ok(());
    }
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// How many descriptors a process may have.
pub(crate) fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Some processes and all their descendants.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    members: Vec<u32>,
}

impl Tree {
    /// As it is now.
    pub(crate) fn of(roots: &[u32]) -> Self {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            if let Some(parent) = parent(pid) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut members = roots.to_vec();
        let mut next = 0;
        while let Some(pid) = members.get(next) {
            members.extend(children.get(pid).into_iter().flatten());
            next += 1;
        }
        Self { members }
    }

    /// CPU time of all living threads, seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.members.iter().map(|pid| cpu(&pid.to_string())).sum()
    }

    /// Proportional set size, bytes: memory shared with others counts in parts.
    pub(crate) fn pss(&self) -> u64 {
        self.members.iter().map(|&pid| pss(pid)).sum()
    }
}

/// CPU time of this process, seconds.
pub(crate) fn own_cpu() -> f64 {
    cpu("self")
}

fn cpu(process: &str) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    nanoseconds.sum::<u64>() as f64 / 1e9
}

fn pss(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    kibibytes(&text, "Pss:") * 1024
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// A value of a file such as /proc/meminfo, bytes.
pub(crate) fn meminfo(name: &str) -> u64 {
    kibibytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), name) * 1024
}

fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}
