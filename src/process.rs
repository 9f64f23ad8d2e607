//! What the system says about this process and its disk, for the metrics.
//!
//! Called when the metrics are read, on a thread that may block. What the system does not tell is left out, since zero would be
//! misleading.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The resources that the process uses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Process {
    pub cpu: Duration,
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    /// `None` also without a limit.
    pub max_fds: Option<u64>,
}

/// The file system of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    pub bytes: u64,
    /// What a user other than root may still use.
    pub free_bytes: u64,
}

impl Process {
    #[must_use]
    pub(crate) fn read() -> Self {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        // The descriptor that reads the directory is not counted.
        let open_fds = fs::read_dir("/proc/self/fd").ok().map(|fds| (fds.count() as u64).saturating_sub(1));
        Self {
            cpu: Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), u32::try_from(used.tv_nsec).unwrap_or(0)),
            resident_bytes: kibibytes(&status, "VmRSS:"),
            virtual_bytes: kibibytes(&status, "VmSize:"),
            open_fds,
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }
}

/// A line of `/proc/self/status`, in bytes.
fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(number * 1024)
}

impl Disk {
    /// The file system that has this directory.
    #[must_use]
    pub(crate) fn of(directory: &Path) -> Option<Self> {
        let disk = rustix::fs::statvfs(directory).ok()?;
        Some(Self { bytes: disk.f_blocks * disk.f_frsize, free_bytes: disk.f_bavail * disk.f_frsize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_and_its_disk_are_measured() {
        let process = Process::read();
        let (resident, virtual_bytes) = (process.resident_bytes.unwrap(), process.virtual_bytes.unwrap());
        assert!(resident > 1 << 20 && virtual_bytes > resident, "{process:?}");
        assert!((3..100_000).contains(&process.open_fds.unwrap()), "{process:?}");
        let disk = Disk::of(Path::new("/")).unwrap();
        assert!(disk.bytes > disk.free_bytes, "{disk:?}");
        assert_eq!(Disk::of(Path::new("/nonexistent")), None);
    }
}
