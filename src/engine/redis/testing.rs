//! A real server for the tests of this module.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::{Durability, Redis, Settings, Topology};
use crate::engine::{Clock, Feed, Retention};

/// A `redis-server` of its own, which ends with the value.
pub(crate) struct Server {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--appendonly", "yes", "--save", ""])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let server = Self { process, port, _directory: directory };
        while std::net::TcpStream::connect(("127.0.0.1", server.port)).is_err() {
            std::thread::yield_now();
        }
        server
    }

    /// A connection beside the engine's, to look at the keys and to change them.
    pub(super) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(("127.0.0.1", self.port)).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    pub(crate) fn engine(
        &self,
        prefix: &str,
        retention: Retention,
        clock: Clock,
    ) -> (Redis, tokio::sync::mpsc::Receiver<Feed>) {
        Redis::start(Settings {
            topology: Topology::Alone { host: "127.0.0.1".into(), port: self.port },
            username: None,
            password: None,
            tls: None,
            key_prefix: prefix.into(),
            durability: Durability::Primary,
            retention,
            node: format!("test-{prefix}"),
            local: clock.clone(),
            clock: Some(clock),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
