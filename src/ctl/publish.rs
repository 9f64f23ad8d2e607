//! `alertctl publish`: waits for the answer, and retries an unknown outcome with the same idempotency key.

use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use serde_json::{Map, Value, json};

use super::args::PublishArgs;
use super::client::{Client, Trouble};
use super::exit::{Code, Failure};
use super::output::{note, say};
use crate::alert::Id;
use crate::api::Published;

pub(super) async fn run(args: PublishArgs, client: &Client) -> Result<(), Failure> {
    let message = if args.message == "-" { standard_input()? } else { args.message };
    let metadata = metadata(&args.metadata)?;
    let body = json!({ "message": message, "level": args.level.as_str(), "metadata": metadata });
    let body = Bytes::from(body.to_string());
    let key = match args.idempotency_key {
        Some(key) => key,
        None => random_key()?,
    };
    let request = || {
        Request::builder()
            .method(Method::POST)
            .uri(format!("/alerts/{}", args.topic))
            .header("content-type", "application/json")
            .header("idempotency-key", &key)
            .body(Full::from(body.clone()))
            .map_err(|e| Failure::new(Code::Usage, format!("--idempotency-key: {e}")))
    };
    let (began, mut pause) = (Instant::now(), Duration::from_millis(200));
    let mut told = false;
    let published = loop {
        match once(client, request()?).await {
            Ok(published) => break published,
            Err(trouble) if trouble.is_passing() && began.elapsed() < args.retry_for => {
                let wait = trouble.retry_after().unwrap_or(pause).max(pause);
                if !std::mem::replace(&mut told, true) {
                    note(&format!("{}; trying for {} s", Failure::from(trouble), args.retry_for.as_secs()));
                }
                tokio::time::sleep(wait.min(args.retry_for)).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            Err(trouble) => {
                let unknown = matches!(trouble, Trouble::Broken(_));
                let mut failure = Failure::from(trouble);
                if unknown {
                    failure.message += &format!("; it may have been stored: retry with --idempotency-key {key}");
                }
                return Err(failure);
            }
        }
    };
    if args.json {
        return say(&format!("{}\n", published.alert.get()));
    }
    #[derive(serde::Deserialize)]
    struct Stored {
        id: Id,
    }
    let stored: Stored = serde_json::from_str(published.alert.get())
        .map_err(|e| Failure::new(Code::Failed, format!("the answer names no id: {e}")))?;
    say(&format!("{}\n", stored.id))
}

async fn once(client: &Client, request: Request<Full<Bytes>>) -> Result<Published, Trouble> {
    let answer = client.send(request).await?;
    let body = answer.into_body().collect().await.map_err(|e| Trouble::Broken(e.to_string()))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|e| Trouble::Broken(format!("the answer is not alertd's: {e}")))
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    // More than any message, so that one that is too long is refused for its length.
    let read = std::io::stdin().lock().take(1 << 20).read_to_string(&mut text);
    read.map_err(|e| Failure::new(Code::Failed, format!("standard input: {e}")))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

fn metadata(pairs: &[String]) -> Result<Map<String, Value>, Failure> {
    pairs
        .iter()
        .map(|pair| {
            let (key, value) = pair
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| Failure::new(Code::Usage, format!("--metadata {pair:?}: write it as KEY=VALUE")))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((key.to_owned(), value))
        })
        .collect()
}

fn random_key() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Failure::new(Code::Failed, e.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
