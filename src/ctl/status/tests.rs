//! The status on a terminal, on another output, and with `--watch`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{plural, run, size, time};
use crate::alert::Id;
use crate::api::{DrainStatus, EngineStatus, HubStatus, IncidentStatus, Listening, Stage, Status, TrafficStatus};
use crate::ctl::args;
use crate::ctl::client::Client;
use crate::ctl::exit::Failure;
use crate::ctl::output::Output;
use crate::ctl::output::tests::{Captured, shown};
use crate::ctl::testing::{Reply, Server};
use crate::ctl::text::columns;

fn status(published: u64, not_ready: Option<&str>) -> Reply {
    status_of(published, not_ready, EngineStatus { counted: true, ..EngineStatus::default() })
}

fn status_of(published: u64, not_ready: Option<&str>, engine: EngineStatus) -> Reply {
    let incidents = IncidentStatus { counted: engine.counted, ..IncidentStatus::default() };
    let status = Status {
        incidents,
        version: "0.1.0".into(),
        uptime: 93_784,
        ready: not_ready.is_none(),
        not_ready: not_ready.map(Into::into),
        stage: Stage::Prod,
        engine: EngineStatus { head: Id::at(5_250), ..engine },
        hub: HubStatus { head: Id::at(5_000), ..HubStatus::default() },
        traffic: TrafficStatus { published, ..TrafficStatus::default() },
        keys: 3,
        unusable_keys: 0,
        config_file: None,
        listening: Listening { addresses: vec!["127.0.0.1:8080".to_owned()], source: "alertd.socket".to_owned() },
        drain: DrainStatus::default(),
        connections: Vec::new(),
        accept_failures: 0,
        certificate: None,
    };
    Reply::json(200, &serde_json::to_string(&status).unwrap())
}

fn once(json: bool) -> args::Status {
    args::Status { json, watch: None }
}

async fn watched(replies: Vec<Reply>, args: args::Status, mut output: Output) -> Result<(), Failure> {
    let server = Server::start(replies).await;
    let done = run(&args, &Client::new(server.address(), None), &mut output, &CancellationToken::new()).await;
    output.flush().await.unwrap();
    done
}

#[tokio::test]
async fn the_first_line_says_why_the_daemon_is_not_ready() {
    for (json, expected) in [(false, "not ready: the disk\\u{1b} is full"), (true, "\"uptime\":93784")] {
        let captured = Captured::default();
        let reply = status(0, Some("the disk\x1b is full"));
        watched(vec![reply], once(json), Output::to(captured.clone())).await.unwrap();
        let text = captured.text();
        assert!(text.lines().next().unwrap().contains(expected), "{text}");
        assert!(json || text.contains("up 1 d 2 h") && text.contains("lag          250 ms"), "{text}");
        assert!(json || text.contains("127.0.0.1:8080 (alertd.socket)"), "{text}");
    }
}

#[tokio::test]
async fn the_control_sockets_refusal_is_no_answer_for_a_key() {
    // Without a key there is nobody whose rights could be told.
    let reply = Reply::problem(403, "admin");
    assert_eq!(watched(vec![reply], once(false), Output::to(tokio::io::sink())).await.unwrap_err().code(), 77);
}

#[tokio::test]
async fn a_terminal_gets_a_dashboard_that_fits_its_width() {
    let captured = Captured::default();
    watched(vec![status(0, None)], once(false), shown(captured.clone(), || (40, 24), true)).await.unwrap();
    let text = captured.text();
    assert!(text.starts_with("\x1b[32m● ready\x1b[0m\n") && text.contains("\x1b[33m250 ms"), "{text:?}");
    assert!(text.contains("1970-01-01 00:00:05") || text.contains("…"), "{text}");
    let captured = Captured::default();
    watched(vec![status(0, None)], once(false), shown(captured.clone(), || (40, 24), false)).await.unwrap();
    assert!(captured.text().lines().all(|line| columns(line) <= 40), "{}", captured.text());
}

#[tokio::test]
async fn only_a_watched_dashboard_is_cut_to_the_height_and_says_so() {
    let captured = Captured::default();
    watched(vec![status(0, None)], once(false), shown(captured.clone(), || (80, 6), false)).await.unwrap();
    let whole = captured.text().lines().count();
    assert!(whole > 14 && captured.text().contains("no file"), "{}", captured.text());
    let captured = Captured::default();
    let args = args::Status { json: false, watch: Some(Duration::from_millis(1)) };
    let replies = vec![status(0, None), Reply::problem(401, "no")];
    watched(replies, args, shown(captured.clone(), || (80, 6), false)).await.unwrap_err();
    let text = captured.text();
    let last = text.lines().last().unwrap();
    assert!(text.lines().count() == 5 && last.starts_with(&format!("… {} more lines", whole - 4)), "{text}");
}

#[tokio::test]
async fn a_warning_is_shown_with_its_remedy_above_the_numbers() {
    let warning = "appendonly is no: alerts that were answered may be lost when Redis ends; set appendonly yes";
    let engine = EngineStatus { server_warnings: vec![warning.to_owned()], ..EngineStatus::default() };
    let captured = Captured::default();
    let args = args::Status { json: false, watch: Some(Duration::from_millis(1)) };
    let replies = vec![status_of(0, None, engine), Reply::problem(401, "no")];
    watched(replies, args, shown(captured.clone(), || (30, 10), false)).await.unwrap_err();
    let text = captured.text().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&format!("warning: {warning} ")), "{text}");
}

#[tokio::test]
async fn a_number_that_cannot_be_determined_is_unknown_and_not_zero() {
    for is_terminal in [false, true] {
        let engine = EngineStatus { kind: "redis".into(), ..EngineStatus::default() };
        let captured = Captured::default();
        let output =
            if is_terminal { shown(captured.clone(), || (100, 40), false) } else { Output::to(captured.clone()) };
        watched(vec![status_of(0, Some("Redis is away"), engine)], once(false), output).await.unwrap();
        let text = captured.text();
        assert_eq!(text.matches("unknown: the log cannot be read now").count(), 4, "{text}");
        assert!(!text.contains("0 alerts") && !text.contains("in its memory") && !text.contains("none"), "{text}");
    }
}

#[tokio::test]
async fn watching_continues_while_the_daemon_is_away_and_ends_with_the_key() {
    let captured = Captured::default();
    let args = args::Status { json: false, watch: Some(Duration::from_millis(1)) };
    let replies = vec![status(1, None), status(9, None), Reply::Close, status(2, None), Reply::problem(401, "no")];
    let failure = watched(replies, args, shown(captured.clone(), || (100, 40), false)).await.unwrap_err();
    assert_eq!(failure.code(), 77);
    let text = captured.text();
    let frames: Vec<&str> = text.split("\x1b[J").collect();
    assert_eq!(frames.len(), 4, "{text}");
    let lines = frames[0].lines().count() - 1;
    assert!(frames[0].ends_with(&format!("\x1b[{lines}A\r")), "{:?}", frames[0]);
    assert!(frames[1].contains('█') && frames[2].starts_with("✗ ") && frames[2].contains("published"), "{text}");
    assert!(frames[3].starts_with("● ready"), "{text}");
}

#[tokio::test]
async fn a_pipe_gets_all_readings_without_control_codes() {
    for (json, lines) in [(true, 2), (false, 2 * 17)] {
        let captured = Captured::default();
        let args = args::Status { json, watch: Some(Duration::from_millis(1)) };
        let replies = vec![status(1, None), Reply::Close, Reply::Close, status(2, None), Reply::problem(403, "no")];
        watched(replies, args, Output::to(captured.clone())).await.unwrap_err();
        assert!(!captured.text().contains('\x1b'));
        assert_eq!(captured.text().lines().count(), lines, "{}", captured.text());
    }
}

#[tokio::test]
async fn an_unreachable_daemon_at_the_start_is_a_failure() {
    let args = args::Status { json: false, watch: Some(Duration::from_millis(1)) };
    assert_eq!(watched(vec![], args, Output::to(Captured::default())).await.unwrap_err().code(), 69);
}

#[test]
fn sizes_times_and_counts_have_units() {
    assert_eq!([plural(0, "alert"), plural(1, "alert"), plural(2, "alert")], ["0 alerts", "1 alert", "2 alerts"]);
    assert_eq!([size(0), size(1023), size(1536), size(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
    assert_eq!([time(5), time(65), time(3_660), time(86_400)], ["5 s", "1 min 5 s", "1 h 1 min", "1 d 0 h"]);
}
