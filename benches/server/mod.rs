//! Starting and stopping what is measured: each server on the server's core, in a directory and on a port of its own.

mod alertd;
mod fastapi;
mod nchan;
mod pushpin;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::Result;
use crate::dialect::{Dialect, Target};
use crate::machine::{now, pause};

/// Where servers keep their files.
const PARENT: &str = "/var/tmp";
const PREFIX: &str = "alertd-bench-";

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    /// One send for each subscriber and alert.
    FloorWrite,
    /// A ring of wire-ready bytes; nothing is stored.
    FloorRing,
    /// The ring, with a bare store that does not flush.
    FloorRingNone,
    /// The ring, with a bare store that flushes each commit.
    FloorRingFsync,
    /// The bare store alone, batches of 32, flushed.
    StoreFsync,
    /// alertd with durability `none`.
    Alertd,
    /// alertd with durability `fsync`.
    AlertdFsync,
    /// alertd and its Redis, which flushes each second, on one core.
    AlertdRedis,
    /// The same with a Redis that flushes before it answers.
    AlertdRedisFsync,
    Nchan,
    Pushpin,
    /// The origin: FastAPI and Redis.
    Fastapi,
}

impl Kind {
    pub(crate) const fn is_alertd(self) -> bool {
        matches!(self, Self::Alertd | Self::AlertdFsync | Self::AlertdRedis | Self::AlertdRedisFsync)
    }

    pub(crate) fn name(self) -> String {
        use clap::ValueEnum;
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Where programs are, and which core a server gets.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) alertd: PathBuf,
    /// This program.
    pub(crate) own: PathBuf,
    /// Python of the environment with FastAPI.
    pub(crate) python: PathBuf,
    pub(crate) service: PathBuf,
    pub(crate) core: String,
}

/// Starts a server's process in its directory.
type Launch = Box<dyn Fn(&Path) -> Result<Child>>;

/// A server that runs; it is killed when dropped, and by the kernel should the runner die.
pub(crate) struct Server {
    pub(crate) target: Target,
    children: Vec<Child>,
    directory: TempDir,
    /// How to start it again in its directory.
    again: Option<Launch>,
}

impl Server {
    /// Starts it and waits until it takes connections.
    pub(crate) fn start(kind: Kind, place: &Place) -> Result<Self> {
        let directory = directory()?;
        match kind {
            Kind::FloorWrite => Self::floor(place, directory, &["write"]),
            Kind::FloorRing => Self::floor(place, directory, &["ring"]),
            Kind::FloorRingNone => Self::floor(place, directory, &["ring", "--store", "store.redb"]),
            Kind::FloorRingFsync => Self::floor(place, directory, &["ring", "--store", "store.redb", "--fsync"]),
            Kind::StoreFsync => Err("the bare store serves nobody".into()),
            Kind::Alertd => alertd::start(place, directory, "none", ""),
            Kind::AlertdFsync => alertd::start(place, directory, "fsync", ""),
            Kind::AlertdRedis => alertd::start_on_redis(place, directory, "everysec"),
            Kind::AlertdRedisFsync => alertd::start_on_redis(place, directory, "always"),
            Kind::Nchan => nchan::start(place, directory),
            Kind::Pushpin => pushpin::start(place, directory),
            Kind::Fastapi => fastapi::start(place, directory),
        }
    }

    /// alertd with more settings for its HTTP side.
    pub(crate) fn alertd(place: &Place, durability: &str, http: &str) -> Result<Self> {
        alertd::start(place, directory()?, durability, http)
    }

    fn floor(place: &Place, directory: TempDir, arguments: &[&str]) -> Result<Self> {
        let address = free_address()?;
        let mut command = pinned(&place.core, &place.own);
        command.arg("floor").args(arguments).args(["--listen", &address.to_string()]);
        let mut server = Self::new(Dialect::Alertd, address, directory);
        server.spawn(command)?;
        server.ready(Duration::from_secs(5))?;
        Ok(server)
    }

    fn new(dialect: Dialect, address: SocketAddrV4, directory: TempDir) -> Self {
        let target = Target { dialect, address, publish_address: None, key: String::new(), pids: Vec::new() };
        Self { target, children: Vec::new(), directory, again: None }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn spawn(&mut self, command: Command) -> Result<()> {
        let child = spawn(command, self.directory.path())?;
        self.children.push(child);
        self.target.pids = self.children.iter().map(Child::id).collect();
        Ok(())
    }

    /// Waits until it takes connections.
    fn ready(&mut self, patience: Duration) -> Result<()> {
        for address in [Some(self.target.address), self.target.publish_address].into_iter().flatten() {
            await_port(address, patience, &mut self.children, self.directory.path())?;
        }
        Ok(())
    }

    /// Stops it in the orderly way and starts it again at once, on the same port and directory; returns the new process.
    pub(crate) fn restart(&mut self) -> Result<u32> {
        let again = self.again.as_ref().ok_or("this server cannot be restarted")?;
        for child in &mut self.children {
            end(child, Duration::from_secs(30));
        }
        let child = again(self.directory.path())?;
        let process = child.id();
        self.children = vec![child];
        self.target.pids = vec![process];
        Ok(process)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            end(child, Duration::from_secs(5));
        }
    }
}

/// A new directory on a disk (/tmp may be memory, where flushing costs nothing), named after this process.
pub(crate) fn directory() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir_in(PARENT)?)
}

/// Removes what runs left behind that were broken off.
pub(crate) fn sweep() {
    for entry in std::fs::read_dir(PARENT).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Asks a process to end, and kills it if it does not in time.
fn end(child: &mut Child, patience: Duration) {
    let deadline = now() + patience.as_nanos() as u64;
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32)
        && let Ok(None) = child.try_wait()
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    while let Ok(None) = child.try_wait() {
        if now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        pause(Duration::from_millis(5));
    }
}

/// A command on this core that ends with the runner.
pub(crate) fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "taskset", "-c", core]).arg(program);
    command
}

fn spawn(mut command: Command, directory: &Path) -> Result<Child> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log"))?;
    command.current_dir(directory).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let program = format!("{command:?}");
    command.spawn().map_err(|error| format!("{program}: {error}").into())
}

/// A loopback port that nobody has at the moment, and that no connection gets by chance: below the ephemeral ones.
fn free_address() -> Result<SocketAddrV4> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1000 {
        let number = std::process::id().wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 11_000 + (number % 20_000) as u16;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        }
    }
    Err("no port is free".into())
}

fn await_port(address: SocketAddrV4, patience: Duration, children: &mut [Child], directory: &Path) -> Result<()> {
    let deadline = now() + patience.as_nanos() as u64;
    loop {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        let ended = children.iter_mut().any(|child| matches!(child.try_wait(), Ok(Some(_))));
        if ended || now() > deadline {
            let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            let what = if ended { "it ended" } else { "it does not listen" };
            return Err(format!("{what}: {}", tail.join(" | ")).into());
        }
        pause(Duration::from_millis(10));
    }
}
