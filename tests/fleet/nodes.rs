//! Nodes that share a log, and that a test can kill and start again while clients use them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, RwLock};

use crate::harness::{Daemon, Key, Request, Stream, eventually};

pub(super) struct Fleet {
    /// None while a node is down.
    nodes: Vec<Mutex<Option<Daemon>>>,
    addresses: RwLock<Vec<SocketAddr>>,
    /// Made on one node; all of them know it.
    key: Key,
}

impl Fleet {
    /// Starts `nodes` nodes with one configuration, and waits until all are ready.
    pub(super) fn of(nodes: usize, configuration: &str) -> Self {
        Self::new((0..nodes).map(|_| Daemon::with(configuration)).collect())
    }

    pub(super) fn new(nodes: Vec<Daemon>) -> Self {
        nodes.iter().for_each(is_ready);
        let key = nodes[0].key("alice");
        nodes.iter().for_each(|node| knows(node, &key));
        let addresses = nodes.iter().map(|node| node.address).collect();
        Self {
            nodes: nodes.into_iter().map(|node| Mutex::new(Some(node))).collect(),
            addresses: RwLock::new(addresses),
            key,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Address and key of a node; numbers beyond the last node wrap around.
    pub(super) fn endpoint(&self, number: usize) -> (SocketAddr, Key) {
        let addresses = self.addresses.read().unwrap();
        (addresses[number % addresses.len()], self.key.clone())
    }

    /// Publishes a text on a node, and returns its id.
    pub(super) fn publish(&self, number: usize, message: &str) -> String {
        let (address, key) = self.endpoint(number);
        let answer = Request::post("/alerts/ops").key(&key).body(message).to(address);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["alert"]["id"].as_str().unwrap().to_owned()
    }

    /// A stream of all topics on a node.
    pub(super) fn stream(&self, number: usize, more: &str) -> Stream {
        let (address, key) = self.endpoint(number);
        Stream::open(address, &Request::get(&format!("/alerts?topic=*{more}")).key(&key))
    }

    /// Looks at a running node.
    pub(super) fn node<T>(&self, number: usize, look: impl FnOnce(&Daemon) -> T) -> T {
        look(self.nodes[number].lock().unwrap().as_ref().expect("a running node"))
    }

    pub(super) fn kill(&self, number: usize) {
        self.nodes[number].lock().unwrap().as_mut().expect("a running node").kill();
    }

    pub(super) fn stop(&self, number: usize) {
        assert!(self.nodes[number].lock().unwrap().as_mut().expect("a running node").stop().success());
    }

    /// Starts a node again that has ended, at another address.
    pub(super) fn again(&self, number: usize) {
        self.start(number, Daemon::again);
    }

    /// The same with another build; the one under test if there is none.
    pub(super) fn replace(&self, number: usize, build: Option<&Path>) {
        self.start(number, |node| node.replaced_by(build));
    }

    fn start(&self, number: usize, start: impl FnOnce(Daemon) -> Daemon) {
        let mut node = self.nodes[number].lock().unwrap();
        let started = start(node.take().expect("a node that has ended"));
        is_ready(&started);
        knows(&started, &self.key);
        self.addresses.write().unwrap()[number] = started.address;
        *node = Some(started);
    }

    /// Waits until all are ready.
    pub(super) fn is_ready(&self) {
        self.nodes.iter().for_each(|node| node.lock().unwrap().as_ref().into_iter().for_each(is_ready));
    }
}

/// Waits until the node accepts the key.
pub(super) fn knows(node: &Daemon, key: &Key) {
    let health = Request::get("/health").key(key);
    eventually("a node that knows the key", || (health.try_to(node.address)?.status == 200).then_some(()));
}

fn is_ready(node: &Daemon) {
    let ready = Request::get("/readyz");
    eventually("a node that is ready", || (ready.try_to(node.address)?.status == 200).then_some(()));
}
