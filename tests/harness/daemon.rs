//! A real alertd on a port of its own, in a directory of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, PATIENCE, Request, Stream, Transport, Wire, certificate, eventually, program, undisturbed};

/// A running daemon; it is killed when dropped.
pub struct Daemon {
    child: Child,
    pub directory: TempDir,
    pub address: SocketAddr,
    /// The certificate that clients trust, if they connect over TLS.
    trusted: Option<PathBuf>,
    log: Arc<Log>,
    environment: Vec<(String, String)>,
    /// Another build of the program, if it is not the one under test.
    build: Option<PathBuf>,
}

/// A key and its public id.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    fn wait(&self, text: &str) -> String {
        let lines = self.lines.lock().unwrap();
        let found = |lines: &Vec<String>| lines.iter().find(|line| line.contains(text)).cloned();
        let (lines, _) = self.more.wait_timeout_while(lines, PATIENCE, |lines| found(lines).is_none()).unwrap();
        let (found, all) = (found(&lines), lines.join("\n"));
        // Unlocked, so that a failing test can show the log.
        drop(lines);
        found.unwrap_or_else(|| panic!("the log never said {text:?}:\n{all}"))
    }
}

/// The daemon with two sockets that a service manager passed: one over TCP, and one at this path.
pub fn activated(path: &Path) -> Command {
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(path).unwrap());
    let mut command = undisturbed(Command::new("sh"));
    let pass = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:http exec \"$@\"";
    command.args(["-c", pass, "sh"]).arg(program("alertd").get_program());
    command.stdin(OwnedFd::from(tcp)).stdout(OwnedFd::from(unix));
    command
}

impl Daemon {
    /// Starts a daemon with the defaults.
    pub fn start() -> Self {
        Self::with("")
    }

    /// Starts a daemon with additional configuration, as TOML.
    pub fn with(configuration: &str) -> Self {
        Self::with_environment(configuration, &[])
    }

    /// The same, with environment variables.
    pub fn with_environment(configuration: &str, environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        configure(&directory, configuration);
        Self::launch(directory, environment, None)
    }

    /// The same, for clients that use this transport.
    pub fn on(transport: Transport, configuration: &str) -> Self {
        if transport == Transport::Plain {
            return Self::with(configuration);
        }
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = certificate(directory.path(), "alertd");
        configure(&directory, configuration);
        let variable = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
        let environment = vec![variable("ALERTD_HTTP_TLS_CERT", &certificate), variable("ALERTD_HTTP_TLS_KEY", &key)];
        Self::launch(directory, environment, Some(certificate))
    }

    /// The same, with two sockets that a service manager passed: one over TCP, and one at the returned path.
    pub fn behind_a_socket(configuration: &str) -> (Self, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        configure(&directory, configuration);
        let path = directory.path().join("http.sock");
        (Self::run(activated(&path), directory, Vec::new(), None), path)
    }

    /// The same, in a network namespace. Its listener is in the test's namespace, so the test can connect.
    pub fn inside(namespace: &str, configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        configure(&directory, configuration);
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let daemon = program("alertd");
        let mut command = undisturbed(Command::new("sh"));
        let pass = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http exec ip netns exec \"$@\"";
        command.args(["-c", pass, "sh", namespace]).arg(daemon.get_program());
        command.stdin(OwnedFd::from(tcp)).stdout(Stdio::null());
        Self::run(command, directory, Vec::new(), None)
    }

    /// Another build of the program.
    pub fn of_build(build: &Path, configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        configure(&directory, configuration);
        Self::launch_build(Some(build), directory, Vec::new())
    }

    fn launch_build(build: Option<&Path>, directory: TempDir, environment: Vec<(String, String)>) -> Self {
        let Some(build) = build else { return Self::launch(directory, environment, None) };
        let mut command = undisturbed(Command::new(build));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut daemon = Self::run(command, directory, environment, None);
        daemon.build = Some(build.to_owned());
        daemon
    }

    fn launch(directory: TempDir, environment: Vec<(String, String)>, trusted: Option<PathBuf>) -> Self {
        let mut command = program("alertd");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::run(command, directory, environment, trusted)
    }

    fn run(
        mut command: Command,
        directory: TempDir,
        environment: Vec<(String, String)>,
        trusted: Option<PathBuf>,
    ) -> Self {
        command.args(["--config"]).arg(directory.path().join("alertd.toml"));
        // Cheap keys, because no test depends on what a derivation costs.
        command.env("ALERTD_AUTH_ITERATIONS", "10000").env("ALERTD_HTTP_LISTEN", "127.0.0.1:0");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (lines, pipe) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                lines.lines.lock().unwrap().push(line);
                lines.more.notify_all();
            }
        });
        let line = log.wait(" http=");
        let address = line.split(" http=").nth(1).unwrap().split([' ', ',']).next().unwrap().parse().unwrap();
        Self { child, directory, address, trusted, log, environment, build: None }
    }

    /// Replaces the configuration file; a reload or restart reads it.
    pub fn configure(&self, configuration: &str) {
        configure(&self.directory, configuration);
    }

    pub fn control(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    pub fn publish_socket(&self) -> PathBuf {
        self.directory.path().join("publish.sock")
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kilobytes that it holds in memory and that no file has.
    pub fn memory_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits for a line of the log that contains the text.
    pub fn said(&self, text: &str) -> String {
        self.log.wait(text)
    }

    /// All of the log so far.
    pub fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    /// A key for a user with the default scopes.
    pub fn key(&self, user: &str) -> Key {
        self.key_with(&json!({ "user": user }))
    }

    /// The same, on a node of a fleet that may not be connected to Redis yet.
    pub fn key_once_ready(&self) -> Key {
        eventually("a node that is ready", || {
            (Request::get("/readyz").try_to(self.address)?.status == 200).then_some(())
        });
        self.key("alice")
    }

    /// A key as `POST /keys` takes it.
    pub fn key_with(&self, wish: &Value) -> Key {
        let answer = Request::post("/keys").json(wish).over(&self.control());
        assert_eq!(answer.status, 201, "{answer:?}");
        let created = answer.json();
        Key { id: created["key"]["id"].as_str().unwrap().into(), secret: created["secret"].as_str().unwrap().into() }
    }

    /// The certificate, if clients use TLS.
    pub fn trusted(&self) -> Option<&Path> {
        self.trusted.as_deref()
    }

    /// A connection over TCP, with TLS if the daemon has it.
    pub fn connect(&self) -> Wire {
        Wire::connect(self.address, self.trusted.as_deref()).unwrap()
    }

    /// Sends a request over TCP.
    pub fn send(&self, request: &Request) -> Answer {
        request.answered(self.connect()).unwrap()
    }

    /// Publishes a text, and returns its id.
    pub fn publish(&self, key: &Key, topic: &str, message: &str) -> String {
        let answer =
            self.send(&Request::post(&format!("/alerts/{topic}")).key(key).json(&json!({ "message": message })));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["alert"]["id"].as_str().unwrap().to_owned()
    }

    /// Opens a stream, such as `/alerts?topic=*`.
    pub fn stream(&self, key: &Key, path: &str) -> Stream {
        self.follow(&Request::get(path).key(key))
    }

    /// Opens a stream with this request.
    pub fn follow(&self, request: &Request) -> Stream {
        Stream::on(self.connect(), request).expect("an answer")
    }

    /// The status, as alertctl sees it.
    pub fn status(&self) -> Value {
        Request::get("/status").over(&self.control()).json()
    }

    /// Waits until this number of streams is open.
    pub fn has_streams(&self, number: u64) {
        eventually(&format!("{number} streams"), || (self.status()["hub"]["streams"] == number).then_some(()));
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the process to end.
    pub fn ended(&mut self) -> ExitStatus {
        eventually("the end of alertd", || self.child.try_wait().unwrap())
    }

    /// Stops it by SIGTERM.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    /// Starts another process in the same directory. The old one must have ended.
    pub fn again(mut self) -> Self {
        let (build, trusted) = (self.build.take(), self.trusted.take());
        if build.is_some() {
            return self.replaced_by(build.as_deref());
        }
        let directory = self.left();
        Self::launch(directory, self.environment.clone(), trusted)
    }

    /// The same with another build; the one under test if there is none.
    pub fn replaced_by(mut self, build: Option<&Path>) -> Self {
        let directory = self.left();
        Self::launch_build(build, directory, self.environment.clone())
    }

    /// The directory of a process that has ended.
    fn left(&mut self) -> TempDir {
        assert!(self.child.try_wait().unwrap().is_some(), "still running");
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Runs alertctl against it.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        self.ctl_command().args(arguments).output().unwrap()
    }

    /// alertctl with this daemon's socket, to which arguments can be added.
    pub fn ctl_command(&self) -> Command {
        let mut command = program("alertctl");
        command.arg("--socket").arg(self.control()).arg("--config").arg(self.directory.path().join("alertd.toml"));
        command.env("ALERTD_AUTH_ITERATIONS", "10000");
        command
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "--- the daemon's log\n{}", self.log());
        }
    }
}

fn configure(directory: &TempDir, configuration: &str) {
    let at = directory.path().display();
    let own = format!(
        "state_dir = \"{at}/state\"\ncontrol_socket = \"{at}/control.sock\"\npublish_socket = \"{at}/publish.sock\"\n{configuration}"
    );
    fs::write(directory.path().join("alertd.toml"), own).unwrap();
}
