//! `alertctl publish`: sends one alert and retries until the outcome is known.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::alert::Alert;
use super::args::Publish;
use super::client::Client;
use super::client::address::Address;
use super::deliver::{Await, send};
use super::exit::Failure;
use super::output::Output;
use super::terminal;
use crate::alert::{Draft, IncidentReport, IncidentStatus, Metadata};
use crate::text;

/// Bytes of standard input that are used: more than a message may have, also in UTF-16.
const MAX_INPUT: u64 = 4 * Draft::MAX_MESSAGE as u64;

/// Publishes an alert and prints its id.
///
/// `fallback` is the publish socket, for a user who has no access to the control socket.
///
/// # Errors
/// [`Failure::Usage`] for an invalid alert, [`Failure::Unavailable`] if the outcome remains unknown, otherwise the daemon's
/// refusal.
pub(crate) async fn run(
    args: Publish,
    client: Client,
    fallback: Option<Address>,
    mut input: impl AsyncRead + Unpin,
    output: &mut Output,
) -> Result<(), Failure> {
    if args.message.is_none() && terminal::is_input() {
        return Err(Failure::Usage("give a message, or pipe one into alertctl publish".into()));
    }
    let given = args.message.clone().filter(|message| message != "-");
    let reads = given.is_none();
    let message = match given {
        Some(message) => message,
        None => read(&mut input).await?,
    };
    let body = draft(&args, &message)?.publish_body();
    let key = args.idempotency_key.clone().map_or_else(random_key, Ok)?;
    let fallback = fallback.map(|address| Client::new(address, None));
    let sent = send(&client, fallback.as_ref(), &body, &key, (args.retry_for, Await::Start));
    // A job that writes to a closed pipe is killed by SIGPIPE.
    let rest = async { if reads { tokio::io::copy(&mut input, &mut tokio::io::sink()).await } else { Ok(0) } };
    // The rest of the input is not used, so an error while reading it does not matter.
    let (published, _) = tokio::join!(sent, rest);
    let published = published?;
    let json = published.alert.get();
    if args.json {
        return output.line(json).await;
    }
    let alert: Alert = serde_json::from_str(json).map_err(|e| {
        Failure::Failed(format!("the alert was stored, but its answer cannot be parsed ({e}); update alertctl"))
    })?;
    output.line(&super::text::escaped(&alert.id)).await
}

/// The first [`MAX_INPUT`] bytes of the input, without the final line break.
async fn read(input: &mut (impl AsyncRead + Unpin)) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    input
        .take(MAX_INPUT)
        .read_to_end(&mut bytes)
        .await
        .map_err(|e| Failure::Failed(format!("cannot read standard input: {e}; check where it comes from")))?;
    let text = text::decoded(&bytes, None);
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// The alert, validated and cut like the daemon does it, so that errors are reported without a request.
fn draft(args: &Publish, message: &str) -> Result<Draft, Failure> {
    let mut members = serde_json::Map::new();
    for (name, value) in &args.metadata {
        if members.insert(name.clone(), value.clone().into()).is_some() {
            return Err(Failure::Usage(format!("--metadata {name} is given twice; give it once")));
        }
    }
    let metadata = Metadata::from_members(&members).map_err(|reason| Failure::Usage(format!("--metadata {reason}")))?;
    let draft = Draft::cut(args.topic.clone(), message, args.level, metadata);
    let draft = draft.map_err(|e| Failure::Usage(format!("{e}; see alertctl publish --help")))?;
    let report = args.incident.clone().map(|name| {
        let status = if args.resolve { IncidentStatus::Resolved } else { IncidentStatus::Open };
        IncidentReport { ttl: args.ttl, ..IncidentReport::new(name, status) }
    });
    Ok(draft.expecting(args.expect_within).reporting(report).cut_to_frame())
}

pub(super) fn random_key() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Failure::Failed(format!("cannot get random numbers: {e}; give --idempotency-key")))?;
    Ok(format!("alertctl-{:032x}", u128::from_be_bytes(bytes)))
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
    async fn the_id_is_printed_and_the_alert_is_sent_as_given() {
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
    async fn retries_use_one_idempotency_key_until_the_alert_is_stored() {
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
    async fn retries_end_in_time_with_an_unknown_outcome() {
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
    async fn a_permanent_refusal_is_not_retried() {
        for (status, code) in [(401, 77), (403, 77), (409, 1), (413, 1), (422, 2)] {
            let server = Server::always(Reply::problem(status, "because")).await;
            let failure = publish(&["x"], &server, b"").await.0.unwrap_err();
            assert_eq!((failure.code(), server.requests().len()), (code, 1), "{failure}");
            assert!(failure.to_string().contains(if status == 401 { "requires a key" } else { "because" }));
        }
    }

    #[tokio::test]
    async fn standard_input_is_the_message_without_its_last_line_break() {
        let server = Server::always(Reply::json(200, STORED)).await;
        publish(&["-"], &server, b"two\nlines\n").await.0.unwrap();
        let body: serde_json::Value = serde_json::from_str(&server.requests()[0].body).unwrap();
        assert_eq!(body["message"], "two\nlines");
        for input in [&b""[..], b"\n"] {
            assert_eq!(publish(&["-"], &server, input).await.0.unwrap_err().code(), 2);
        }
        assert_eq!(publish(&["-m", "a=1", "-m", "a=2", "x"], &server, b"").await.0.unwrap_err().code(), 2);
    }

    /// The message that is sent for this input.
    async fn message(line: &[&str], input: &[u8]) -> String {
        let server = Server::always(Reply::json(200, STORED)).await;
        publish(line, &server, input).await.0.unwrap();
        let body: serde_json::Value = serde_json::from_str(&server.requests()[0].body).unwrap();
        body["message"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn input_of_any_length_and_encoding_becomes_an_alert_that_shows_what_is_missing() {
        for (input, expected) in [
            (&b"Ger\xe4t sda\n"[..], "Ger\u{fffd}t sda"),
            (b"\xef\xbb\xbfx\n", "x"),
            (b"\xff\xfex\0\n\0", "x"),
            (b"a\0b", "a\0b"),
        ] {
            assert_eq!(message(&["-"], input).await, expected);
        }
        let fits = [&[b'x'; 4096][..], b"\n"].concat();
        assert_eq!(message(&["-"], &fits).await, "x".repeat(4096));
        for length in [4097, 5600, 10_000, 1 << 20] {
            let cut = message(&["-"], &vec![b'x'; length]).await;
            assert!(cut.len() == 4096 && cut.ends_with("x…"), "{length}: {}", cut.len());
            // Two bytes each, so that a limit on bytes lies within a character.
            let cut = message(&["-"], "ä".repeat(length).as_bytes()).await;
            assert!(cut.ends_with("ä…") && !cut.contains('\u{fffd}'), "{length}");
        }
        let cut = message(&[&"ä".repeat(3000)], b"").await;
        assert!(cut.len() <= 4096 && cut.ends_with("ä…"), "{}", cut.len());
    }

    #[tokio::test]
    async fn the_input_is_read_to_its_end_even_if_the_alert_is_refused() {
        for reply in [Reply::json(200, STORED), Reply::problem(403, "no")] {
            let server = Server::always(reply).await;
            let (reader, mut writer) = tokio::io::duplex(4096);
            let (captured, client) = (Captured::default(), Client::new(server.address(), None));
            let mut output = Output::to(captured);
            let job = async move {
                for _ in 0..1000 {
                    tokio::io::AsyncWriteExt::write_all(&mut writer, &[b'x'; 1000]).await.unwrap();
                }
            };
            let _ = tokio::join!(run(args(&["-"]), client, None, reader, &mut output), job);
        }
    }
}
