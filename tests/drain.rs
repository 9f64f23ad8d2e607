//! `alertctl drain`: streams leave in portions, new ones are refused, and everything else goes on.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Daemon, Key, Request, Stream, Transport, eventually, over_both_transports, program, told};

over_both_transports! {
    hundreds_of_streams_leave_in_portions_and_publishing_goes_on,
    a_drain_that_is_ended_keeps_the_streams_that_are_left,
}

const STREAMS: usize = 300;

fn ctl(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = program("alertctl");
    command.arg("--socket").arg(daemon.control()).args(arguments);
    command
}

fn crowd(daemon: &Daemon, key: &Key) -> Vec<Stream> {
    let open = |number: usize| {
        let accept = if number.is_multiple_of(3) { "application/x-ndjson" } else { "text/event-stream" };
        let path = ["/alerts/a?since=none", "/alerts?topic=a&topic=b&since=none"][number % 2];
        let request = Request::get(path).key(key).header("Accept", accept);
        let mut stream = daemon.follow(&request);
        // The first block may have come with the head.
        if stream.raw.is_empty() {
            stream.more();
        }
        stream
    };
    let crowd = (0..STREAMS).map(open).collect();
    daemon.has_streams(STREAMS as u64);
    crowd
}

fn open_streams(daemon: &Daemon) -> u64 {
    Request::get("/status").over(&daemon.control()).json()["hub"]["streams"].as_u64().unwrap()
}

fn metric(daemon: &Daemon, line: &str) -> bool {
    Request::get("/metrics").over(&daemon.control()).text().lines().any(|found| found == line)
}

fn hundreds_of_streams_leave_in_portions_and_publishing_goes_on(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    let streams = crowd(&daemon, &key);
    let began = Instant::now();
    let mut drain = ctl(&daemon, &["drain", "--over", "4s"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    daemon.said("message_id=draining");
    assert_eq!(daemon.send(&Request::get("/readyz")).status, 503);
    assert_eq!(daemon.send(&Request::get("/livez")).status, 200);
    let refused = daemon.send(&Request::get("/alerts/a").key(&key));
    assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"));
    assert!(refused.header("retry-after").is_some() && refused.text().contains("drain"), "{refused:?}");
    daemon.publish(&key, "a", "goes on");
    let history = daemon.send(&Request::get("/alerts/a").key(&key).header("Accept", "application/json"));
    assert_eq!(history.json()["alerts"][0]["message"], "goes on");
    assert!(metric(&daemon, "alertd_draining 1"));
    for (share, seconds) in [(4, 1.0), (2, 2.0)] {
        let left = eventually("a portion has left", || {
            let left = open_streams(&daemon);
            (left <= (STREAMS - STREAMS / share) as u64).then_some(left)
        });
        let took = began.elapsed();
        assert!(took > Duration::from_secs_f64(seconds * 0.7), "{left} are left after {took:?}");
        assert!(left > (STREAMS / 4) as u64, "{left} are left after {took:?}: they left at once");
    }
    let done = drain.wait().unwrap();
    let took = began.elapsed();
    assert!(done.success() && (3.5..9.0).contains(&took.as_secs_f64()), "{done} {took:?}");
    for mut stream in streams {
        let mut last = None;
        while let Some(event) = stream.event() {
            last = Some(event);
        }
        let body = String::from_utf8_lossy(&stream.raw).into_owned();
        let is_bye = body.contains("event: bye\n") || body.contains("{\"event\":\"bye\"");
        assert!(is_bye && body.contains("\"reason\":\"drain\"") && body.contains("retry"), "{last:?}: {body}");
    }
    daemon.said("message_id=drained");
    assert!(metric(&daemon, &format!("alertd_streams_ended_total{{reason=\"drain\"}} {STREAMS}")));
}

fn a_drain_that_is_ended_keeps_the_streams_that_are_left(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    let mut streams: Vec<_> = (0..20).map(|_| daemon.stream(&key, "/alerts/a?since=none")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.until("cursor")));
    let drain = ctl(&daemon, &["drain", "--over", "1h", "--no-wait"]).output().unwrap();
    assert!(
        drain.status.success() && told(&drain).contains("open streams: 20; they leave over 3600 s"),
        "{}",
        told(&drain)
    );
    let status = told(&ctl(&daemon, &["status"]).output().unwrap());
    assert!(status.contains("not ready: drained by an operator") && status.contains("alertctl undrain"), "{status}");
    assert!(status.contains("leaving over 1 h"), "{status}");
    assert!(ctl(&daemon, &["undrain"]).status().unwrap().success());
    assert!(daemon.said("message_id=undrained").contains("was ended by "));
    assert_eq!(daemon.send(&Request::get("/readyz")).status, 200);
    assert!(metric(&daemon, "alertd_draining 0"));
    let mut new = daemon.stream(&key, "/alerts/a?since=none");
    new.until("cursor");
    daemon.publish(&key, "a", "still here");
    streams.push(new);
    let left = open_streams(&daemon) as usize;
    assert!(left >= 19, "{left}");
    let got = streams.iter_mut().filter_map(Stream::alert).filter(|alert| alert["message"] == "still here").count();
    assert_eq!(got, left);
}

#[test]
fn only_the_control_socket_may_drain() {
    let daemon = Daemon::start();
    let admin = daemon.key_with(&serde_json::json!({"user": "a", "scopes": ["admin"]}));
    assert_eq!(daemon.send(&Request::post("/drain").key(&admin)).status, 403);
    assert_eq!(daemon.send(&Request::new("DELETE", "/drain").key(&admin)).status, 403);
    let long = Request::post("/drain").json(&serde_json::json!({"over": 86_401})).over(&daemon.control());
    assert_eq!((long.status, long.json()["field"].as_str()), (422, Some("over")));
    assert_eq!(daemon.send(&Request::get("/readyz")).status, 200);
}

#[test]
fn a_stop_ends_the_streams_that_a_drain_has_left() {
    let mut daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut stream = daemon.stream(&key, "/alerts/a?since=none");
    stream.until("cursor");
    assert!(ctl(&daemon, &["drain", "--over", "24h", "--no-wait"]).status().unwrap().success());
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(stream.bye(), "stop");
    let daemon = daemon.again();
    assert_eq!(daemon.send(&Request::get("/readyz")).status, 200);
}
