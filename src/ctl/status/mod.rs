//! `alertctl status`: prints the state of the daemon, once or repeatedly.
//!
//! `--json` prints the daemon's own JSON. A terminal gets the [`dashboard`], any other output one line per number. A key
//! without the scope `admin` gets what it is [`permitted`] to know.

mod dashboard;
mod permitted;

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::args;
use super::client::{Client, ClientError, Request};
use super::exit::Failure;
use super::output::{Output, Paint, note};
use super::text::{escaped, local};
use crate::alert::Id;
use crate::api::{
    CertificateStatus, ConnectionStatus, EngineStatus, HubStatus, IncidentStatus, Listening, NodeStatus, Status,
};
use dashboard::Dashboard;

/// An answer of `GET /status`.
struct Reading {
    json: String,
    status: Status,
}

/// Prints the status, with `--watch` repeatedly until `stop`. With `--watch`, the daemon may become unavailable for a while.
///
/// # Errors
/// A refusal of the daemon, or that it did not answer the first request.
pub(crate) async fn run(
    args: &args::Status,
    client: &Client,
    output: &mut Output,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let first = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        first = read(client) => first,
    };
    let mut reading = match first {
        Err(error) if permitted::is_meant(&error) && !args.json && args.watch.is_none() => {
            for row in permitted::rows(client).await? {
                output.line(&line(row, output)).await?;
            }
            note("the other numbers need a key of the scope admin, or the control socket");
            return Ok(());
        }
        first => Ok(first?),
    };
    let mut dashboard = Dashboard::new(args.watch.is_some());
    let mut reported = None;
    loop {
        match &reading {
            Ok(Reading { json, .. }) if args.json => output.line(json).await?,
            Ok(Reading { status, .. }) if output.size().is_some() => dashboard.draw(status, output).await?,
            Ok(Reading { status, .. }) => {
                for line in plain(status, output) {
                    output.line(&line).await?;
                }
                if args.watch.is_some() {
                    output.line("").await?;
                }
            }
            Err(error) if !args.json && output.size().is_some() => dashboard.draw_error(error, output).await?,
            Err(error) if reported.as_ref() != Some(error) => {
                note(&error.to_string());
                reported = Some(error.clone());
            }
            Err(_) => {}
        }
        let Some(pause) = args.watch else { return Ok(()) };
        output.flush().await?;
        reading = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            next = read_after(client, pause) => next,
        };
        match &reading {
            Ok(_) => reported = None,
            Err(error) if error.is_transient() || matches!(error, ClientError::Down { .. }) => {}
            Err(error) => return Err(error.clone().into()),
        }
    }
}

async fn read_after(client: &Client, pause: Duration) -> Result<Reading, ClientError> {
    sleep(pause).await;
    read(client).await
}

async fn read(client: &Client) -> Result<Reading, ClientError> {
    let body = client.send(Request::get("/status")).await?.bytes().await?;
    let foreign = |e: serde_json::Error| ClientError::Foreign {
        address: client.address().to_string(),
        reason: format!("its answer is not the expected JSON ({e})"),
    };
    // Keeps fields of a newer daemon, which `--json` prints too.
    let json: serde_json::Value = serde_json::from_slice(&body).map_err(foreign)?;
    Ok(Reading { json: json.to_string(), status: serde_json::from_slice(&body).map_err(foreign)? })
}

/// One line per number: its name and value.
fn plain(status: &Status, output: &Output) -> Vec<String> {
    let state = match &status.not_ready {
        Some(reason) => format!("not ready: {reason}"),
        None => "ready".to_owned(),
    };
    let head = [("state", state), ("version", version(status))].into_iter();
    let warnings = warnings(status).map(|warning| ("warning", warning.clone()));
    let numbers = [fleet(status), streams(status), service(status)].into_iter().flatten();
    head.chain(log(status)).chain(warnings).chain(numbers).map(|row| line(row, output)).collect()
}

fn line((name, value): (&str, String), output: &Output) -> String {
    format!("{}  {}", output.paint(&format!("{name:<11}"), Paint::Dim), escaped(&value))
}

/// What the operator has to do something about.
fn warnings(status: &Status) -> impl Iterator<Item = &String> {
    let certificate = status.certificate.as_ref().and_then(|certificate| certificate.warning.as_ref());
    let connections = status.connections.iter().filter_map(|connections| connections.warning.as_ref());
    let incidents = status.incidents.warning.as_ref();
    certificate.into_iter().chain(&status.engine.server_warnings).chain(connections).chain(incidents)
}

fn version(status: &Status) -> String {
    format!("{} ({}), up {}", status.version, status.stage.as_str(), time(status.uptime))
}

type Rows = Vec<(&'static str, String)>;

/// Shown instead of a number that the daemon cannot determine now; a zero would be misleading.
const UNKNOWN: &str = "unknown: the log cannot be read now";

fn log(status: &Status) -> Rows {
    let engine = &status.engine;
    let known = |text: String| if engine.counted { text } else { UNKNOWN.to_owned() };
    let medium = if engine.kind == "redis" { "in its memory" } else { "on disk" };
    let store = if engine.counted { format!(", {} {medium}", size(engine.store_bytes)) } else { String::new() };
    let retained =
        format!("{} in {}, {}", plural(engine.alerts, "alert"), plural(engine.topics, "topic"), size(engine.bytes));
    let newest = match engine.head {
        Id::ZERO => known("none yet".to_owned()),
        head => head.to_string(),
    };
    let mut rows = vec![
        ("engine", format!("{}, durability {}{store}", engine.kind, engine.durability)),
        ("retained", known(retained)),
        ("newest", newest),
        ("oldest", known(engine.oldest.map_or_else(|| "none".to_owned(), |oldest| oldest.to_string()))),
        ("lag", lag(engine.head, status.hub.head)),
    ];
    if engine.held_bytes > 0 {
        rows.push(("backup", format!("one is being made and keeps {} of removed alerts", size(engine.held_bytes))));
    }
    if let Some(at) = &engine.scrubbed_at {
        rows.push(("checked", format!("all of it in the background, at {}", local(&at.to_string()))));
    }
    if engine.damaged > 0 {
        rows.push(("damage", format!("{}, listed by journalctl -u alertd", plural(engine.damaged, "place"))));
    }
    rows.push(("incidents", incidents(&status.incidents)));
    rows
}

/// The unresolved incidents, and how many alerts opened none.
fn incidents(incidents: &IncidentStatus) -> String {
    let IncidentStatus { counted, open, acknowledged, limit, untracked, .. } = incidents;
    let unresolved = match counted {
        true => format!("{open} open, {acknowledged} acknowledged, of at most {limit}"),
        false => UNKNOWN.to_owned(),
    };
    match untracked {
        0 => unresolved,
        _ => format!("{unresolved}; {} opened none", plural(*untracked, "alert")),
    }
}

/// The nodes that share the log.
fn fleet(status: &Status) -> Rows {
    let node = |node: &NodeStatus| {
        let NodeStatus { name, version, streams, lag_ms, silent_ms } = node;
        let state = match silent_ms / 1000 {
            0..=2 if *lag_ms == 0 => "in step".to_owned(),
            0..=2 => format!("lag {lag_ms} ms"),
            seconds => format!("silent for {}", time(seconds)),
        };
        ("node", format!("{name}, {state}, {}, alertd {version}", plural(*streams, "stream")))
    };
    let EngineStatus { kind, counted, nodes, .. } = &status.engine;
    if kind == "redis" && !counted {
        return vec![("node", UNKNOWN.to_owned())];
    }
    nodes.iter().map(node).collect()
}

fn streams(status: &Status) -> Rows {
    let Status { hub, traffic, drain, .. } = status;
    let leaving = match (&drain.since, drain.over) {
        (Some(since), Some(over)) => format!("; leaving over {} since {}", time(over), local(since)),
        _ => String::new(),
    };
    vec![
        ("streams", format!("{}{leaving}", open_streams(hub))),
        ("published", format!("{}, {:.1} a second", traffic.published, traffic.publish_rate)),
        ("delivered", format!("{}, {:.1} a second", traffic.delivered, traffic.delivery_rate)),
        (
            "refused",
            format!(
                "{} because of the key, {} too slow",
                plural(traffic.auth_failures, "request"),
                plural(hub.ended_slow, "reader")
            ),
        ),
    ]
}

fn open_streams(hub: &HubStatus) -> String {
    let open =
        format!("{} in {}, {} buffered", hub.streams, plural(hub.subscriptions, "subscription"), size(hub.bytes));
    match hub.taken_over {
        0 => open,
        taken_over => format!("{open}; {taken_over} taken over at the last restart"),
    }
}

fn service(status: &Status) -> Rows {
    let keys = match status.unusable_keys {
        0 => status.keys.to_string(),
        unusable => format!("{}, and {unusable} refused: alertctl key list names them", status.keys),
    };
    let Listening { addresses, source } = &status.listening;
    let mut rows = vec![
        ("keys", keys),
        ("connections", connections(status)),
        ("listening", format!("{} ({source})", addresses.join(", "))),
        ("config", status.config_file.clone().unwrap_or_else(|| "no file".to_owned())),
    ];
    if let Some(CertificateStatus { file, expires_at, .. }) = &status.certificate {
        rows.push(("certificate", format!("{file}, expires at {}", local(expires_at))));
    }
    rows
}

/// The open connections, and what came of those that were too many.
fn connections(status: &Status) -> String {
    let listener = |ConnectionStatus { listener, open, limit, .. }: &ConnectionStatus| match listener.as_str() {
        "http" => format!("{open} of {limit}"),
        name => format!("{open} of {limit} on the {name} socket"),
    };
    let mut parts: Vec<_> = status.connections.iter().map(listener).collect();
    match status.connections.iter().map(|connections| connections.refused).sum() {
        0 => {}
        refused => parts.push(format!("{} refused at a limit", plural(refused, "request"))),
    }
    if status.accept_failures > 0 {
        parts.push(format!("{} to accept one", plural(status.accept_failures, "failed attempt")));
    }
    parts.join(", ")
}

/// How far the hub is behind the log.
fn lag(engine: Id, hub: Id) -> String {
    if hub >= engine { "none".to_owned() } else { format!("{} ms", engine.ms.saturating_sub(hub.ms)) }
}

/// A count with its noun in the singular or plural.
fn plural(count: u64, name: &str) -> String {
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

fn time(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests;
