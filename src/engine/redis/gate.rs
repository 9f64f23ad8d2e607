//! A proxy to a server that a test can close, or stop at a chosen request.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// A forwarder to a server, which ends with the test's runtime.
pub(super) struct Gate {
    pub(super) port: u16,
    shared: Arc<Inner>,
}

struct Inner {
    is_open: watch::Sender<bool>,
    /// The text of a request, and how many such requests pass before one is held.
    trap: Mutex<Option<(String, usize)>>,
    trapped: Notify,
    released: Notify,
}

impl Gate {
    pub(super) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Inner {
            is_open: watch::Sender::new(true),
            trap: Mutex::default(),
            trapped: Notify::new(),
            released: Notify::new(),
        });
        let inner = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&inner).forward(client, server));
            }
        });
        Self { port, shared }
    }

    /// Closes all connections and lets none in.
    pub(super) fn close(&self) {
        self.shared.is_open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.shared.is_open.send_replace(true);
    }

    /// From now on, holds the request with this text after `passing` others.
    pub(super) fn hold(&self, text: String, passing: usize) {
        *self.shared.trap.lock() = Some((text, passing));
    }

    /// Waits until a request is held.
    pub(super) async fn held(&self) {
        self.shared.trapped.notified().await;
    }

    pub(super) fn release(&self) {
        self.shared.released.notify_one();
    }
}

impl Inner {
    async fn forward(self: Arc<Self>, client: TcpStream, server: u16) {
        let mut is_open = self.is_open.subscribe();
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let requests = async {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                if self.is_trap(&buffer[..read]) {
                    self.trapped.notify_one();
                    self.released.notified().await;
                }
                if to_server.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = requests => {}
            _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
            _ = is_open.wait_for(|is_open| !is_open) => {}
        }
    }

    fn is_trap(&self, request: &[u8]) -> bool {
        let mut trap = self.trap.lock();
        let Some((text, passing)) = trap.as_mut() else { return false };
        if !request.windows(text.len()).any(|part| part == text.as_bytes()) {
            return false;
        }
        if *passing > 0 {
            *passing -= 1;
            return false;
        }
        *trap = None;
        true
    }
}
