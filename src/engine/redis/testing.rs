//! A real server for the tests of this module.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::seen::Seen;
use super::ticked::TickAnswer;
use super::{Durability, Redis, Settings, Topology, script};
use crate::alert::Id;
use crate::engine::{Clock, Feed, Retention};

/// How long anything may take on a loaded machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A `redis-server` of its own, which ends with the value.
pub(crate) struct Server {
    process: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A replica of this one, in step with it.
    pub(super) fn replica(&self) -> Self {
        let replica = Self::with(&["--replicaof", "127.0.0.1", &self.port.to_string()]);
        while !replica.ask(&["INFO", "replication"]).contains("master_link_status:up") {
            std::thread::yield_now();
        }
        replica
    }

    fn with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--appendonly", "yes", "--save", ""])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(arguments)
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let server = Self { process, port, directory };
        while std::net::TcpStream::connect(("127.0.0.1", server.port)).is_err() {
            std::thread::yield_now();
        }
        server
    }

    /// A separate connection, to read and change the keys.
    pub(super) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(("127.0.0.1", self.port)).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// What redis-cli prints.
    pub(super) fn ask(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(command).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the server saves into a file, uncompressed.
    pub(super) fn saved(&self) -> Vec<u8> {
        self.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
        assert_eq!(self.ask(&["SAVE"]).trim(), "OK");
        std::fs::read(self.directory.path().join("dump.rdb")).unwrap()
    }

    /// `STOP` or `CONT`.
    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn engine(
        &self,
        prefix: &str,
        retention: Retention,
        clock: Clock,
    ) -> (Redis, tokio::sync::mpsc::Receiver<Feed>) {
        Redis::start(Settings { local: clock.clone(), clock: Some(clock), retention, ..self.settings(prefix) })
    }

    /// The settings of a node that uses the server's clock and keeps everything.
    pub(super) fn settings(&self, prefix: &str) -> Settings {
        Settings {
            topology: Topology::Alone { host: "127.0.0.1".into(), port: self.port },
            username: None,
            password: None,
            tls: None,
            key_prefix: prefix.into(),
            durability: Durability::Primary,
            retention: Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 },
            node: format!("test-{prefix}"),
            directory: None,
            local: Arc::new(|| 0),
            clock: None,
        }
    }
}

/// What a node finds that has seen and fed its streams with these ids: the newest id that readers are told to have missed.
pub(super) async fn cut_found_by_another(engine: &Redis, server: &Server, seen: Id, fed: Id) -> Id {
    let shared = &engine.0.queries.shared;
    let epoch = shared.epoch.borrow().clone().unwrap();
    let tick = script::Tick {
        epoch: &epoch,
        seen: &Seen::id(seen),
        fed: &Seen::id(fed),
        new_epoch: "unused",
        node: "another",
        probe: 0,
        elapsed_ms: 0,
        streams: 0,
        retention: &Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 },
    };
    let call = script::tick(&shared.link, shared.time_argument(), &tick);
    let answer = call.run(&mut server.connection().await).await.unwrap();
    TickAnswer::parse(&answer).unwrap().trimmed
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until something holds.
pub(super) async fn until(mut is_it: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_it().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it comes about");
}
