//! A server with prepared answers, for the tests of the commands.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::client::address::Address;

/// What the server does on one connection.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Sends this and closes.
    Whole(String),
    /// Sends this as the body of a stream and closes.
    Ended(String),
    /// Sends this as the body of a stream and keeps the connection open.
    Held(String),
    /// Closes without an answer.
    Close,
}

/// A request as the server received it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    head: String,
    pub(crate) body: String,
}

/// A server on a socket in a temporary directory.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::whole(status, "application/json", body)
    }

    pub(crate) fn problem(status: u16, detail: &str) -> Self {
        let body = serde_json::json!({
            "type": "/problems/x", "title": "X", "status": status, "detail": detail, "request_id": "r1",
        });
        Self::whole(status, "application/problem+json", &body.to_string())
    }

    pub(crate) fn whole(status: u16, kind: &str, body: &str) -> Self {
        let length = body.len();
        Self::Whole(format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"))
    }

    pub(crate) fn header(self, line: &str) -> Self {
        match self {
            Self::Whole(text) => Self::Whole(text.replacen("\r\n", &format!("\r\n{line}\r\n"), 1)),
            other => other,
        }
    }
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(own, value)| own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned()))
    }
}

impl Server {
    /// Answers each connection with the next reply, and closes further connections.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        Self::serve(move || replies.pop_front().unwrap_or(Reply::Close))
    }

    /// Answers every connection with the same reply.
    pub(crate) async fn always(reply: Reply) -> Self {
        Self::serve(move || reply.clone())
    }

    fn serve(mut next: impl FnMut() -> Reply + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let notes = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, next(), Arc::clone(&notes)));
            }
        });
        Self { dir, seen, task }
    }

    pub(crate) fn address(&self) -> Address {
        Address::Socket(self.dir.path().join("control.sock"))
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(stream: UnixStream, reply: Reply, notes: Arc<Mutex<Vec<Seen>>>) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let mut words = head.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut seen = Seen { method, target, head, body: String::new() };
    let mut body = vec![0; seen.header("content-length").map_or(0, |text| text.parse().unwrap())];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    seen.body = String::from_utf8(body).unwrap();
    notes.lock().unwrap().push(seen);
    let stream_head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |text: &str| if text.is_empty() { String::new() } else { format!("{:x}\r\n{text}\r\n", text.len()) };
    let (text, hold) = match &reply {
        Reply::Whole(text) => (text.clone(), false),
        Reply::Ended(text) => (format!("{stream_head}{}", chunk(text)), false),
        Reply::Held(text) => (format!("{stream_head}{}", chunk(text)), true),
        Reply::Close => return,
    };
    // The client may have disconnected, which some tests do on purpose.
    let _ = stream.write_all(text.as_bytes()).await;
    if hold {
        let _ = stream.read_u8().await;
    }
}
