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

/// A running server; it is killed when dropped.
pub struct Redis {
    child: Option<Child>,
    directory: TempDir,
    pub port: u16,
    arguments: Vec<String>,
    /// The network namespace that it is in, if it is in one of its own.
    namespace: Option<String>,
}

impl Redis {
    /// One that writes each command to its append-only file.
    pub fn start() -> Self {
        Self::with(&["--appendonly", "yes"])
    }

    /// With more arguments of its command line.
    pub fn with(arguments: &[&str]) -> Self {
        Self::at(None, arguments)
    }

    /// The same, in this network namespace and at all addresses there.
    pub fn inside(namespace: &str, arguments: &[&str]) -> Self {
        Self::at(Some(namespace.to_owned()), arguments)
    }

    fn at(namespace: Option<String>, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = fixed_port().rsplit(':').next().unwrap().parse().unwrap();
        let arguments = ["--save", ""].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { child: None, directory, port, arguments, namespace };
        server.again();
        server
    }

    /// A Sentinel that watches this primary under the name `fleet`, and takes it for dead after a second.
    pub fn sentinel(of: &Self, quorum: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sentinel.conf");
        let watched = format!(
            "sentinel monitor fleet 127.0.0.1 {} {quorum}\nsentinel down-after-milliseconds fleet 1000\n\
             sentinel failover-timeout fleet 5000\n",
            of.port
        );
        fs::write(&file, watched).unwrap();
        let port = fixed_port().rsplit(':').next().unwrap().parse().unwrap();
        let arguments = vec![file.display().to_string(), "--sentinel".into()];
        let mut server = Self { child: None, directory, port, arguments, namespace: None };
        server.again();
        server
    }

    /// Starts it again on the same port, over the same files.
    pub fn again(&mut self) {
        self.kill();
        let mut command = self.command("redis-server");
        let addresses = if self.namespace.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        command.args(&self.arguments).args(["--bind", addresses, "--port", &self.port.to_string()]);
        command.current_dir(self.directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed"));
        self.answers();
    }

    fn command(&self, program: &str) -> Command {
        let Some(namespace) = &self.namespace else { return Command::new(program) };
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
        configuration(&format!("host = \"127.0.0.1\"\nport = {}\n{more}", self.port))
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
