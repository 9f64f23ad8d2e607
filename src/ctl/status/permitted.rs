//! What a key without the scope `admin` may know of a daemon: whether it is ready, which topics it may read, what is newest.

use super::Rows;
use crate::alert::{Id, Level, Topic};
use crate::api::Topics;
use crate::ctl::client::{Client, ClientError, Request};
use crate::ctl::exit::Failure;
use crate::ctl::pages;
use crate::ctl::text::local;

/// Topics that are named; the others are counted.
const MAX_NAMED: usize = 5;

/// Whether the daemon knows the key, and only its scope is missing.
pub(super) fn is_meant(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { status: 403, key: Some(_), about, .. } if about.scope.is_some())
}

/// # Errors
/// The daemon's refusal of what any key may ask, or that it did not answer.
pub(super) async fn rows(client: &Client) -> Result<Rows, Failure> {
    let state = match client.send(Request::get("/readyz")).await {
        Ok(_) => "ready",
        Err(ClientError::Refused { status: 503, .. }) => "not ready",
        Err(error) => return Err(error.into()),
    };
    let mut rows = vec![("state", state.to_owned())];
    let topics: Topics = match client.send(Request::get("/topics")).await {
        Ok(answer) => answer.json().await?,
        Err(ClientError::Refused { status: 403, .. }) => {
            rows.push(("alerts", "this key may not read any".to_owned()));
            return Ok(rows);
        }
        Err(error) => return Err(error.into()),
    };
    let (patterns, newest) = newest(client).await?;
    rows.push(("may read", patterns.join(", ")));
    rows.push(("topics", named(&topics)));
    rows.push(("newest", newest));
    Ok(rows)
}

fn named(Topics { topics, more }: &Topics) -> String {
    let count = format!("{}{}", if *more { "more than " } else { "" }, topics.len());
    if topics.is_empty() {
        return "none has alerts".to_owned();
    }
    let names: Vec<&str> = topics.iter().take(MAX_NAMED).map(Topic::as_str).collect();
    let rest = if *more || topics.len() > MAX_NAMED { ", …" } else { "" };
    format!("{count} with alerts: {}{rest}", names.join(", "))
}

/// The patterns that the key may read, and the newest alert there.
async fn newest(client: &Client) -> Result<(Vec<String>, String), Failure> {
    #[derive(serde::Deserialize)]
    struct Newest {
        id: Id,
        topic: Topic,
        level: Level,
    }
    let mut patterns = vec!["*".to_owned()];
    let page = loop {
        let query: Vec<_> = patterns.iter().map(|pattern| ("topic", pattern.clone())).collect();
        match pages::page(client, &query, None, 1).await {
            // A narrower key: the daemon says what it is for.
            Err(ClientError::Refused { status: 403, about, .. }) if patterns == ["*"] && about.topics.is_some() => {
                patterns = about.topics.unwrap_or_default();
            }
            page => break page?,
        }
    };
    let newest = page.alerts.last().map(|alert| serde_json::from_str::<Newest>(alert.get()));
    let newest = match newest {
        None => "no alert".to_owned(),
        Some(Ok(Newest { id, topic, level })) => {
            format!("{id}, {} on {topic}, {}", level.as_str(), local(&crate::alert::rfc3339(id.ms)))
        }
        Some(Err(_)) => "unknown to this version of alertctl".to_owned(),
    };
    Ok((patterns, newest))
}
