//! `alertctl status`: the daemon at a glance.

use super::client::{Ask, Client};
use super::exit::Failure;
use super::output::{Output, Paint};
use super::text::escaped;
use crate::alert::Id;
use crate::api::Status;

/// Prints it: lines for people, or the daemon's own JSON.
///
/// # Errors
/// What the daemon said, or that it did not answer.
pub async fn run(json: bool, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let answer = client.ask(Ask::get("/status")).await?;
    if json {
        let value: serde_json::Value = answer.json().await?;
        return output.line(&value.to_string()).await;
    }
    let status: Status = answer.json().await?;
    for (name, value) in rows(&status) {
        let name = output.paint(&format!("{name:<11}"), Paint::Dim);
        output.line(&format!("{name}  {}", escaped(&value))).await?;
    }
    Ok(())
}

fn rows(status: &Status) -> Vec<(&'static str, String)> {
    let Status { engine, hub, traffic, .. } = status;
    let state = match &status.not_ready {
        Some(reason) => format!("not ready: {reason}"),
        None => "ready".to_owned(),
    };
    vec![
        ("state", state),
        ("version", format!("{} ({}), up {}", status.version, status.stage, time(status.uptime))),
        ("engine", format!("{}, durability {}, {} on disk", engine.kind, engine.durability, size(engine.store_bytes))),
        ("retained", format!("{} alerts in {} topics, {}", engine.alerts, engine.topics, size(engine.bytes))),
        ("newest", if engine.head == Id::ZERO { "none yet".to_owned() } else { engine.head.to_string() }),
        ("oldest", engine.oldest.map_or_else(|| "none".to_owned(), |oldest| oldest.to_string())),
        ("lag", lag(engine.head, hub.head)),
        (
            "subscribers",
            format!("{} in {} subscriptions, {} buffered", hub.subscribers, hub.subscriptions, size(hub.bytes)),
        ),
        ("published", format!("{}, {:.1} a second", traffic.published, traffic.publish_rate)),
        ("delivered", format!("{}, {:.1} a second", traffic.delivered, traffic.delivery_rate)),
        ("refused", format!("{} requests for their key, {} readers too slow", traffic.auth_failures, hub.ended_slow)),
        ("keys", status.keys.to_string()),
        ("config", status.config_file.clone().unwrap_or_else(|| "no file".to_owned())),
    ]
}

/// How far the fan-out is behind the log.
fn lag(engine: Id, hub: Id) -> String {
    if hub >= engine { "none".to_owned() } else { format!("{} ms", engine.ms.saturating_sub(hub.ms)) }
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
mod tests {
    use super::*;
    use crate::api::{EngineStatus, HubStatus, TrafficStatus};
    use crate::ctl::output::tests::Kept;
    use crate::ctl::testing::{Reply, Server};

    #[tokio::test]
    async fn what_is_wrong_is_in_the_first_line() {
        let status = Status {
            version: "0.1.0".into(),
            uptime: 93_784,
            ready: false,
            not_ready: Some("the disk\x1b is full".into()),
            stage: "prod".into(),
            engine: EngineStatus { head: Id::at(5_250), ..EngineStatus::default() },
            hub: HubStatus { head: Id::at(5_000), ..HubStatus::default() },
            traffic: TrafficStatus::default(),
            keys: 3,
            config_file: None,
        };
        let json = serde_json::to_string(&status).unwrap();
        let server = Server::always(Reply::json(200, &json)).await;
        for (as_json, expected) in [(false, "not ready: the disk\\u{1b} is full"), (true, "\"uptime\":93784")] {
            let kept = Kept::default();
            let mut output = Output::to(kept.clone());
            run(as_json, &Client::new(server.address(), None), &mut output).await.unwrap();
            output.flush().await.unwrap();
            let text = kept.text();
            assert!(text.lines().next().unwrap().contains(expected), "{text}");
            assert!(as_json || text.contains("up 1 d 2 h") && text.contains("lag          250 ms"), "{text}");
        }
    }

    #[test]
    fn sizes_and_times_are_for_people() {
        assert_eq!([size(0), size(1023), size(1536), size(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!([time(5), time(65), time(3_660), time(86_400)], ["5 s", "1 min 5 s", "1 h 1 min", "1 d 0 h"]);
    }
}
