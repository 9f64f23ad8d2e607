//! A real Redis on a port of its own, in a directory of its own, that can be stopped, killed and started again.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{eventually, fixed_port};

/// Where it keeps its append-only file.
const FILES: &str = "appendonlydir";

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

/// Where a server runs, and the address by which others reach it.
#[derive(Clone)]
pub struct Place {
    /// The network namespace, if it is in one of its own; there it listens at all addresses.
    namespace: Option<String>,
    pub host: String,
}

impl Place {
    pub fn here() -> Self {
        Self { namespace: None, host: "127.0.0.1".into() }
    }

    pub fn inside(namespace: &str, host: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), host: host.to_owned() }
    }
}

/// A running server; it is killed when dropped.
pub struct Redis {
    child: Option<Child>,
    directory: TempDir,
    pub port: u16,
    arguments: Vec<String>,
    pub place: Place,
}

impl Redis {
    /// One that writes each command to its append-only file.
    pub fn start() -> Self {
        Self::with(&["--appendonly", "yes"])
    }

    /// With more arguments of its command line.
    pub fn with(arguments: &[&str]) -> Self {
        Self::at(&Place::here(), arguments)
    }

    /// The same, at this place.
    pub fn at(place: &Place, arguments: &[&str]) -> Self {
        let arguments = ["--save", ""].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
        Self::run(place, tempfile::tempdir().unwrap(), arguments)
    }

    /// A Sentinel that watches this primary under the name `fleet`, and takes it for dead after a second.
    pub fn sentinel(of: &Self, quorum: usize) -> Self {
        Self::sentinel_at(&Place::here(), of, quorum)
    }

    /// The same, at this place.
    pub fn sentinel_at(place: &Place, of: &Self, quorum: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sentinel.conf");
        let watched = format!(
            "protected-mode no\nsentinel monitor fleet {} {} {quorum}\nsentinel down-after-milliseconds fleet 1000\n\
             sentinel failover-timeout fleet 5000\n",
            of.place.host, of.port
        );
        fs::write(&file, watched).unwrap();
        Self::run(place, directory, vec![file.display().to_string(), "--sentinel".into()])
    }

    fn run(place: &Place, directory: TempDir, arguments: Vec<String>) -> Self {
        let port = fixed_port().rsplit(':').next().unwrap().parse().unwrap();
        let mut server = Self { child: None, directory, port, arguments, place: place.clone() };
        server.again();
        server
    }

    /// Starts it again on the same port, over the same files.
    pub fn again(&mut self) {
        self.kill();
        let mut command = self.command("redis-server");
        let addresses = if self.place.namespace.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        command.args(&self.arguments).args(["--bind", addresses, "--port", &self.port.to_string()]);
        command.current_dir(self.directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed"));
        self.answers();
    }

    fn command(&self, program: &str) -> Command {
        let Some(namespace) = &self.place.namespace else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }

    /// Waits until it has loaded its files.
    fn answers(&self) {
        eventually("an answer of redis-server", || self.ask(&["PING"]).contains("PONG").then_some(()));
    }

    /// Ends it without a chance to do anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("a running server").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// What redis-cli prints.
    pub fn ask(&self, command: &[&str]) -> String {
        let output = self.command("redis-cli").args(["-p", &self.port.to_string()]).args(command).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Host and port, as others reach it.
    pub fn address(&self) -> String {
        format!("{}:{}", self.place.host, self.port)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Keeps its append-only file as it is now.
    pub fn save_to(&self, directory: &Path) {
        copy(&self.directory().join(FILES), directory);
    }

    /// Ends it, and starts it again with the files that were kept there.
    pub fn restore_from(&mut self, directory: &Path) {
        self.kill();
        fs::remove_dir_all(self.directory().join(FILES)).unwrap();
        copy(&directory.join(FILES), self.directory());
        self.again();
    }

    /// For an alertd that finds it alone, with more of the section `engine.redis`.
    pub fn configuration(&self, more: &str) -> String {
        configuration(&format!("host = \"{}\"\nport = {}\n{more}", self.place.host, self.port))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// For an alertd that finds its Redis as this section `engine.redis` says.
pub fn configuration(redis: &str) -> String {
    // Streams whose node has no Redis for a while are to say soon that they live.
    format!("http.heartbeat = \"1s\"\nengine.kind = \"redis\"\n[engine.redis]\n{redis}")
}
