//! `alertctl history` and `alertctl status`.

use hyper::Method;
use serde_json::Value;
use serde_json::value::RawValue;

use super::args::HistoryArgs;
use super::client::{Client, escape};
use super::exit::{Code, Failure};
use super::output::{self, Alert, note, say, table};
use crate::alert::{Level, Pattern};
use crate::api::{History, Status};

/// The largest page that the daemon gives.
const PAGE: usize = 1000;

/// Topics and level as a query; without topics all of them.
pub(super) fn query(topics: &[Pattern], level: Level) -> String {
    let mut query = format!("?level={}", level.as_str());
    for topic in topics {
        query += &format!("&topic={}", escape(&topic.to_string()));
    }
    if topics.is_empty() {
        query += "&topic=*";
    }
    query
}

/// An alert for people, or as it came.
pub(super) fn show(alert: &str, json: bool, colours: bool) -> Result<(), Failure> {
    if json {
        return say(&format!("{alert}\n"));
    }
    let parsed: Alert<'_> = serde_json::from_str(alert)
        .map_err(|e| Failure::new(Code::Failed, format!("the daemon sent no alert: {e}")))?;
    say(&output::line(&parsed, colours))
}

pub(super) async fn history(args: HistoryArgs, client: &Client) -> Result<(), Failure> {
    let base = query(&args.topics, args.level);
    let colours = output::colours();
    let mut left = args.count.unwrap_or(if args.since.is_some() { usize::MAX } else { 100 });
    let mut back: Vec<Box<RawValue>> = Vec::new();
    let mut at = args.since.as_ref().map(|since| format!("&since={}", escape(since))).unwrap_or_default();
    while left > 0 {
        let path = format!("/alerts{base}{at}&limit={}", left.min(PAGE));
        let mut page: History = client.json(Method::GET, &path, None::<&Value>).await?;
        if let Some(gap) = &page.gap {
            note(&format!("some of what came since {} is no longer retained", gap.requested));
        }
        left -= page.alerts.len().min(left);
        if args.since.is_some() {
            page.alerts.iter().try_for_each(|alert| show(alert.get(), args.json, colours))?;
        } else {
            // The newest come first, each page oldest first.
            page.alerts.append(&mut back);
            back = page.alerts;
        }
        let Some(next) = page.next else { break };
        at = if args.since.is_some() { format!("&since={next}") } else { format!("&before={next}") };
    }
    back.iter().try_for_each(|alert| show(alert.get(), args.json, colours))
}

pub(super) async fn status(json: bool, client: &Client) -> Result<(), Failure> {
    if json {
        let status: Value = client.json(Method::GET, "/status", None::<&Value>).await?;
        return say(&format!("{status}\n"));
    }
    let status: Status = client.json(Method::GET, "/status", None::<&Value>).await?;
    let (engine, hub, traffic) = (&status.engine, &status.hub, &status.traffic);
    let oldest = engine.oldest.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let state = status.not_ready.as_deref().map_or_else(|| "ready".to_owned(), |reason| format!("NOT READY: {reason}"));
    let rows = [
        ("alertd", format!("{} ({}), up {} s", status.version, status.stage, status.uptime)),
        ("state", output::escaped(&state)),
        ("engine", format!("{}, durability {}", engine.kind, engine.durability)),
        (
            "alerts",
            format!(
                "{} in {} topics, {} bytes ({} on disk)",
                engine.alerts, engine.topics, engine.bytes, engine.store_bytes
            ),
        ),
        ("oldest", oldest),
        ("head", format!("{} (hub at {})", engine.head, hub.head)),
        (
            "streams",
            format!(
                "{} of {} subscriptions, {} bytes buffered, {} ended slow",
                hub.subscribers, hub.subscriptions, hub.bytes, hub.ended_slow
            ),
        ),
        ("published", format!("{} ({:.1}/s)", traffic.published, traffic.publish_rate)),
        ("delivered", format!("{} ({:.1}/s)", traffic.delivered, traffic.delivery_rate)),
        ("keys", format!("{}, {} refused requests", status.keys, traffic.auth_failures)),
        ("config", status.config_file.clone().unwrap_or_else(|| "defaults".to_owned())),
    ];
    say(&table(&rows.map(|(name, value)| vec![name.to_owned(), value])))
}
