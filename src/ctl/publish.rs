//! `alertctl publish`: sends one alert until its fate is known.

use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderName;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, sleep};

use super::alert::Alert;
use super::args::Publish;
use super::client::address::Address;
use super::client::{Client, ClientError, Request};
use super::exit::Failure;
use super::output::{Output, note};
use super::tail::backoff::Backoff;
use crate::alert::Draft;
use crate::api::Published;
use crate::random;

/// How long one try may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// Publishes, and prints the id.
///
/// `second` is a socket that also takes alerts, for a user whom the first one keeps out.
///
/// # Errors
/// [`Failure::Usage`] for what is no alert, [`Failure::Unavailable`] where the outcome stays unknown, else what the daemon
/// said.
pub(crate) async fn run(
    args: Publish,
    client: Client,
    second: Option<Address>,
    input: impl AsyncRead + Unpin,
    output: &mut Output,
) -> Result<(), Failure> {
    let message = if args.message == "-" { read(input).await? } else { args.message.clone() };
    let body = body(&args, message)?;
    let key = args.idempotency_key.clone().map_or_else(random_key, Ok)?;
    let second = second.map(|address| Client::new(address, None));
    let published = send(&client, second.as_ref(), &body, &key, args.retry_for).await?;
    let json = published.alert.get();
    if args.json {
        return output.line(json).await;
    }
    let alert: Alert = serde_json::from_str(json).map_err(|e| {
        Failure::Failed(format!("the alert was stored, but the answer is not readable ({e}); update alertctl"))
    })?;
    output.line(&super::text::escaped(&alert.id)).await
}

async fn read(input: impl AsyncRead + Unpin) -> Result<String, Failure> {
    // One byte more than is allowed, and one for the line break: enough to see that it is too long.
    let most = Draft::MAX_MESSAGE as u64 + 2;
    let mut bytes = Vec::new();
    input
        .take(most)
        .read_to_end(&mut bytes)
        .await
        .map_err(|e| Failure::Failed(format!("cannot read standard input: {e}; check where it comes from")))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Failure::Usage(format!("standard input is not UTF-8: bad byte at offset {at}; convert it first"))
    })
}

/// Checked here as the daemon does it, so that what is wrong is said without a daemon.
fn body(args: &Publish, message: String) -> Result<String, Failure> {
    let mut members = serde_json::Map::new();
    for (name, value) in &args.metadata {
        if members.insert(name.clone(), value.clone().into()).is_some() {
            return Err(Failure::Usage(format!("--metadata {name} is given twice; give it once")));
        }
    }
    if message.len() > Draft::MAX_MESSAGE {
        let most = Draft::MAX_MESSAGE;
        return Err(Failure::Usage(format!("the message has more than {most} bytes; shorten it, or put a link in it")));
    }
    let body = serde_json::json!({ "topic": args.topic, "message": message, "level": args.level, "metadata": members });
    let body = body.to_string();
    match Draft::from_json(None, body.as_bytes()) {
        Ok(_) => Ok(body),
        Err(e) => Err(Failure::Usage(format!("{e}; see alertctl publish --help"))),
    }
}

pub(super) fn random_key() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Failure::Failed(format!("no random numbers from the system: {e}; give --idempotency-key")))?;
    Ok(format!("alertctl-{:032x}", u128::from_be_bytes(bytes)))
}

/// An alert that was not stored, or of which that is unknown.
#[derive(Debug)]
pub(super) enum Undelivered {
    /// Another try would end in the same way.
    Refused(ClientError),
    /// The time is up.
    GivenUp {
        /// The last reason.
        error: ClientError,
        /// The idempotency key under which it may be tried again.
        key: String,
    },
}

/// Sends an alert until its fate is known, `retry_for` at the most. `second` is another address for a user whom the
/// socket of the first keeps out.
pub(super) async fn send(
    client: &Client,
    second: Option<&Client>,
    body: &str,
    key: &str,
    retry_for: Duration,
) -> Result<Published, Undelivered> {
    let (mut client, mut second) = (client, second);
    let deadline = Instant::now() + retry_for;
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
    let mut said = false;
    loop {
        let request = Request::new(Method::POST, "/alerts")
            .header(HeaderName::from_static("idempotency-key"), key)
            .body("application/json", body.to_owned())
            .timeout(ATTEMPT_TIMEOUT);
        let sent = match client.send(request).await {
            Ok(response) => response.json::<Published>().await,
            Err(error) => Err(error),
        };
        let error = match sent {
            Ok(published) => return Ok(published),
            Err(error) => error,
        };
        if matches!(error, ClientError::Forbidden { .. })
            && let Some(other) = second.take()
        {
            client = other;
            continue;
        }
        if !error.passes() {
            return Err(Undelivered::Refused(error));
        }
        let pause = backoff.next(error.retry_after(), random::fraction());
        if Instant::now() + pause >= deadline {
            return Err(Undelivered::GivenUp { error, key: key.to_owned() });
        }
        if !said {
            note(&format!("{error}; trying again for {} s", retry_for.as_secs()));
            said = true;
        }
        sleep(pause).await;
    }
}

impl From<Undelivered> for Failure {
    fn from(undelivered: Undelivered) -> Self {
        match undelivered {
            // It never left this machine.
            Undelivered::Refused(error)
            | Undelivered::GivenUp { error: error @ ClientError::Unreachable { .. }, .. } => error.into(),
            Undelivered::GivenUp { error, key } => Self::Unavailable(format!(
                "{error}; whether the alert is stored is unknown: repeat with --idempotency-key {key}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::output::tests::Captured;
    use crate::ctl::testing::{Reply, Server};
    use clap::Parser;

    fn args(line: &[&str]) -> Publish {
        let line = ["alertctl", "publish"].into_iter().chain(line.iter().copied());
        match crate::ctl::args::Ctl::try_parse_from(line).unwrap().command {
            crate::ctl::args::Command::Publish(publish) => publish,
            other => panic!("{other:?}"),
        }
    }

    const STORED: &str = r#"{"status":"alert stored","alert":{"id":"7-0","topic":"a","message":"x","level":"info","metadata":{},"received_at":"2026-11-23T17:33:10.123Z"}}"#;

    async fn publish(line: &[&str], server: &Server, input: &[u8]) -> (Result<(), Failure>, String) {
        let (captured, client) = (Captured::default(), Client::new(server.address(), None));
        let mut output = Output::to(captured.clone());
        let done = run(args(line), client, None, input, &mut output).await;
        output.flush().await.unwrap();
        (done, captured.text())
    }

    #[tokio::test]
    async fn the_id_is_printed_and_the_alert_is_as_it_was_given() {
        let server = Server::start([Reply::json(200, STORED)]).await;
        let (done, printed) = publish(&["-t", "ops.db", "-l", "warn", "-m", "k=v=w", "it's \"x\""], &server, b"").await;
        assert_eq!((done, printed.as_str()), (Ok(()), "7-0\n"));
        let request = server.requests().remove(0);
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let expected =
            serde_json::json!({"topic":"ops.db","level":"warn","metadata":{"k":"v=w"},"message":"it's \"x\""});
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn it_is_sent_again_under_one_idempotency_key_until_it_is_stored() {
        let busy = Reply::problem(503, "the store is away").header("Retry-After: 1");
        let server = Server::start([busy, Reply::Close, Reply::problem(429, "slower"), Reply::json(200, STORED)]).await;
        let (done, printed) = publish(&["x", "--json"], &server, b"").await;
        assert_eq!(done, Ok(()));
        assert!(printed.starts_with(r#"{"id":"7-0""#));
        let keys: Vec<String> = server.requests().iter().map(|r| r.header("idempotency-key").unwrap()).collect();
        assert_eq!(keys.len(), 4);
        assert!(keys.iter().all(|key| *key == keys[0]) && keys[0].len() > 30);
    }

    #[tokio::test]
    async fn it_gives_up_in_time_and_says_that_the_outcome_is_unknown() {
        let server = Server::always(Reply::problem(503, "the store is away")).await;
        let (done, _) = publish(&["x", "--retry-for", "1s", "--idempotency-key", "mine"], &server, b"").await;
        let Err(Failure::Unavailable(text)) = done else { panic!("{done:?}") };
        assert!(text.contains("the store is away") && text.contains("--idempotency-key mine"), "{text}");
        assert!(server.requests().len() >= 2);
        let server = Server::always(Reply::problem(503, "away")).await;
        assert!(publish(&["x", "--retry-for", "0"], &server, b"").await.0.is_err());
        assert_eq!(server.requests().len(), 1);
    }

    #[tokio::test]
    async fn what_cannot_succeed_is_not_sent_again() {
        for (status, code) in [(401, 77), (403, 77), (409, 1), (413, 1), (422, 2)] {
            let server = Server::always(Reply::problem(status, "because")).await;
            let failure = publish(&["x"], &server, b"").await.0.unwrap_err();
            assert_eq!((failure.code(), server.requests().len()), (code, 1), "{failure}");
            assert!(failure.to_string().contains(if status == 401 { "asks for a key" } else { "because" }));
        }
    }

    #[tokio::test]
    async fn standard_input_is_the_message_without_its_last_line_break() {
        let server = Server::always(Reply::json(200, STORED)).await;
        publish(&["-"], &server, b"two\nlines\n").await.0.unwrap();
        let body: serde_json::Value = serde_json::from_str(&server.requests()[0].body).unwrap();
        assert_eq!(body["message"], "two\nlines");
        for input in [&b""[..], b"\n", b"\xff", &[b'x'; 4097], &[b'x'; 100_000]] {
            assert_eq!(publish(&["-"], &server, input).await.0.unwrap_err().code(), 2);
        }
        assert!(publish(&["-"], &server, &[&[b'x'; 4096][..], b"\n"].concat()).await.0.is_ok());
        assert_eq!(publish(&["-m", "a=1", "-m", "a=2", "x"], &server, b"").await.0.unwrap_err().code(), 2);
    }
}
