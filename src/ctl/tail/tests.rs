//! `tail` against a server that disconnects, refuses and falls silent.

use std::time::Duration;

use clap::Parser;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::follow::Timing;
use crate::ctl::args::{Command, Ctl};
use crate::ctl::client::Client;
use crate::ctl::exit::Failure;
use crate::ctl::output::Output;
use crate::ctl::output::tests::Captured;
use crate::ctl::testing::{Reply, Server};

fn timing() -> Timing {
    let base = Duration::from_millis(5);
    Timing { backoff: Backoff::new(base, base * 4), silence: Duration::from_secs(20) }
}

fn block(id: u64) -> String {
    let json = format!(
        r#"{{"id":"{id}-0","topic":"a","message":"m{id}","level":"info","metadata":{{}},"received_at":"2026-11-23T17:33:10.123Z"}}"#
    );
    format!("id: {id}-0\ndata: {json}\n\n")
}

fn cursor(id: u64) -> String {
    format!("event: cursor\nid: {id}-0\ndata: {{\"id\":\"{id}-0\"}}\n\n")
}

async fn tail_with(
    line: &[&str],
    server: &Server,
    stop: &CancellationToken,
    timing: Timing,
) -> (Result<(), Failure>, String) {
    let line = ["alertctl", "tail"].into_iter().chain(line.iter().copied());
    let Command::Tail(args) = Ctl::try_parse_from(line).unwrap().command else { panic!() };
    let captured = Captured::default();
    let mut output = Output::to(captured.clone());
    let client = Client::new(server.address(), None);
    let done = super::run(args, &client, &mut output, stop, timing).await;
    (done, captured.text())
}

async fn tail(line: &[&str], server: &Server) -> (Result<(), Failure>, String) {
    tail_with(line, server, &CancellationToken::new(), timing()).await
}

fn messages(printed: &str) -> Vec<&str> {
    printed.lines().filter_map(|line| line.rsplit("  ").next()).collect()
}

#[tokio::test]
async fn it_continues_after_the_last_alert_whatever_interrupts_it() {
    let server = Server::start([
        Reply::Close,
        Reply::problem(503, "starting"),
        // Cut in the middle of an event, which must not be taken for an alert.
        Reply::Ended(format!("{}{}{}", block(1), block(2), &block(3)[..20])),
        Reply::Ended(format!("retry: 1\n{}event: bye\nretry: 1\ndata: {{\"reason\":\"restart\"}}\n\n", block(3))),
        Reply::Ended(cursor(7)),
        Reply::Held(block(8)),
    ])
    .await;
    let (done, printed) = tail(&["--count", "4", "--since", "all", "ops.*", "b", "-l", "warn"], &server).await;
    assert_eq!(done, Ok(()));
    assert_eq!(messages(&printed), ["m1", "m2", "m3", "m8"]);
    let requests = server.requests();
    let ids: Vec<Option<String>> = requests.iter().map(|r| r.header("last-event-id")).collect();
    assert_eq!(ids, [None, None, None, Some("2-0".into()), Some("3-0".into()), Some("7-0".into())]);
    assert_eq!(requests[0].target, "/alerts?topic=ops.*&topic=b&level=warn&since=all");
    assert!(!requests[3].target.contains("since"), "the cursor overrides since");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_reconnected() {
    let server = Server::start([Reply::Held(block(1)), Reply::Held(block(2))]).await;
    let silence = Duration::from_millis(100);
    let (done, printed) =
        tail_with(&["--count", "2"], &server, &CancellationToken::new(), Timing { silence, ..timing() }).await;
    assert_eq!((done, messages(&printed)), (Ok(()), vec!["m1", "m2"]));
}

#[tokio::test]
async fn a_permanent_error_ends_it_with_its_exit_code() {
    for (status, code) in [(401, 77), (403, 77), (404, 1), (422, 2)] {
        let server = Server::start([Reply::Ended(block(1)), Reply::problem(status, "because")]).await;
        let (done, printed) = tail(&[], &server).await;
        let failure = done.unwrap_err();
        assert_eq!((failure.code(), messages(&printed)), (code, vec!["m1"]), "{failure}");
    }
    let server = Server::always(Reply::whole(200, "text/html", "<html>")).await;
    assert_eq!(tail(&[], &server).await.0.unwrap_err().code(), 1);
}

fn page(ids: &[u64]) -> Reply {
    let alerts: Vec<String> = ids
        .iter()
        .map(|id| block(*id).lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned())
        .collect();
    Reply::json(200, &format!(r#"{{"alerts":[{}],"next":null,"gap":null}}"#, alerts.join(",")))
}

#[tokio::test]
async fn it_begins_with_the_last_alerts_and_goes_on_after_them_whatever_interrupts_it() {
    let server = Server::start([
        Reply::problem(503, "starting"),
        page(&[4, 7]),
        Reply::Close,
        Reply::Ended(block(8)),
        Reply::Held(block(9)),
    ])
    .await;
    let (done, printed) = tail(&["-n", "2", "--count", "4", "ops.*"], &server).await;
    assert_eq!((done, messages(&printed)), (Ok(()), vec!["m4", "m7", "m8", "m9"]));
    let requests = server.requests();
    let ids: Vec<Option<String>> = requests.iter().map(|r| r.header("last-event-id")).collect();
    assert_eq!(ids, [None, None, Some("7-0".into()), Some("7-0".into()), Some("8-0".into())]);
    assert_eq!(requests[1].target, "/alerts?topic=ops.*&limit=2");
    assert_eq!(requests[2].target, "/alerts?topic=ops.*");
}

#[tokio::test]
async fn without_stored_alerts_the_first_one_is_not_missed() {
    let server = Server::start([page(&[]), Reply::Held(block(1))]).await;
    let (done, printed) = tail(&["-n", "5", "--count", "1"], &server).await;
    assert_eq!((done, messages(&printed)), (Ok(()), vec!["m1"]));
    assert_eq!(server.requests()[1].target, "/alerts?topic=*&since=all");
    let server = Server::always(Reply::Held(block(1))).await;
    tail(&["-n", "0", "--count", "1"], &server).await.0.unwrap();
    assert_eq!(server.requests()[0].target, "/alerts?topic=*&since=none");
}

#[tokio::test]
async fn the_state_is_kept_between_runs_and_includes_the_seam() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let line = ["--json", "--count", "1", "--since", "all", "--state", state.to_str().unwrap()];
    let server = Server::always(Reply::Held(format!("{}{}", block(1), cursor(5)))).await;
    let (done, printed) = tail(&line, &server).await;
    assert_eq!((done, printed.lines().count()), (Ok(()), 1));
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "1-0\n", "the events after the last alert are not handled");
    let server = Server::start([Reply::Ended(cursor(5)), Reply::Held(block(6))]).await;
    tail(&line, &server).await.0.unwrap();
    assert_eq!(server.requests()[0].header("last-event-id").as_deref(), Some("1-0"));
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "6-0\n");
}

#[tokio::test]
async fn the_position_stays_before_an_alert_whose_command_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (state, log) = (dir.path().join("state"), dir.path().join("log"));
    // Fails on the second alert the first time.
    let command =
        format!("echo $ALERT_ID >> {log}; [ $ALERT_ID != 2-0 ] || grep -c 2-0 {log} | grep -q 2", log = log.display());
    let server = Server::always(Reply::Held(format!("{}{}{}", block(1), block(2), block(3)))).await;
    let line = ["--count", "3", "--exec", &command, "--state", state.to_str().unwrap()];
    let (done, printed) = tail(&line, &server).await;
    assert_eq!((done, printed.as_str()), (Ok(()), ""));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "1-0\n2-0\n2-0\n3-0\n");
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "3-0\n");

    std::fs::remove_file(&state).unwrap();
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let seen = dir.path().join("seen");
    let command = format!("[ $ALERT_ID = 1-0 ] || {{ touch {}; exit 1; }}", seen.display());
    tokio::spawn(async move {
        while !seen.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stopper.cancel();
    });
    let line = ["--exec", &command, "--state", state.to_str().unwrap()];
    assert_eq!(tail_with(&line, &server, &stop, timing()).await.0, Ok(()));
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "1-0\n");
}

#[tokio::test]
async fn stop_is_a_success_wherever_it_waits() {
    let stop = CancellationToken::new();
    stop.cancel();
    for reply in [Reply::Held(cursor(1)), Reply::problem(503, "away"), Reply::Close] {
        let server = Server::always(reply).await;
        assert_eq!(tail_with(&[], &server, &stop, Timing::default()).await.0, Ok(()));
    }
}

#[tokio::test]
async fn gaps_and_unknown_events_do_not_end_it() {
    let gap = "event: gap\ndata: {\"requested\":\"1-0\",\"oldest\":\"4-0\",\"head\":\"9-0\"}\n\n";
    let odd = "event: novelty\ndata: x\n\nevent: cursor\ndata: {\"id\":null}\n\n: comment\n\n";
    let server = Server::always(Reply::Held(format!("{gap}{odd}{}", block(4)))).await;
    let (done, printed) = tail(&["--count", "1"], &server).await;
    assert_eq!((done, messages(&printed)), (Ok(()), vec!["m4"]));
}
