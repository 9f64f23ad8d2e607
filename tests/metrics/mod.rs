//! `GET /metrics`: who may read it, that parsers accept it, and that each number is right.

mod prometheus;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::harness::{
    Daemon, Key, Redis, Request, Stream, Transport, eventually, former_key, import, over_both_transports, told,
};

over_both_transports! {
    streams_and_deliveries_are_counted_by_what_carries_them,
    a_reader_that_its_ring_overtakes_is_counted_and_every_alert_once,
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";

/// All series with their values.
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn read(daemon: &Daemon) -> Self {
        Self::parse(&text(daemon, None))
    }

    fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let series = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self(series.collect())
    }

    /// The value of `alertd_…`.
    fn of(&self, series: &str) -> f64 {
        *self.0.get(&format!("alertd_{series}")).unwrap_or_else(|| panic!("no {series} in {:#?}", self.0))
    }
}

fn text(daemon: &Daemon, accept: Option<&str>) -> String {
    let request = Request::get("/metrics");
    let request = accept.map_or(request.clone(), |accept| request.header("Accept", accept));
    let answer = request.over(&daemon.control());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text()
}

/// Waits until these series have these values.
fn becomes(daemon: &Daemon, wanted: &[(&str, f64)]) {
    eventually(&format!("{wanted:?}"), || {
        let metrics = Metrics::read(daemon);
        // What the store has to be asked for is left out while it does not answer.
        wanted.iter().all(|(series, value)| metrics.0.get(&format!("alertd_{series}")) == Some(value)).then_some(())
    });
}

/// Runs a program with this on its standard input.
fn piped(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A daemon to which all kinds of things happened; over TLS, whose certificate has a metric.
fn busy() -> Daemon {
    let daemon = Daemon::on(Transport::Tls, "");
    let key = daemon.key("alice");
    let mut stream = daemon.stream(&key, "/alerts?topic=*&since=none");
    stream.until("cursor");
    daemon.publish(&key, "ops.db", "one");
    assert_eq!(stream.message(), "one");
    assert_eq!(daemon.send(&Request::get("/health").header("Authorization", "Bearer x")).status, 401);
    daemon
}

#[test]
fn a_key_with_the_scope_and_the_control_socket_read_metrics_and_nobody_else() {
    let daemon = Daemon::start();
    let scoped = |scope: &str| daemon.key_with(&json!({"user": scope, "scopes": [scope]}));
    let get = || Request::get("/metrics");
    let key = scoped("metrics");
    let answer = daemon.send(&get().key(&key));
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert_eq!(get().over(&daemon.control()).status, 200);
    for other in ["publish", "subscribe", "admin"] {
        let answer = daemon.send(&get().key(&scoped(other)));
        assert_eq!((answer.status, answer.problem().as_str()), (403, "not-permitted"));
        assert!(answer.text().contains("scope \\\"metrics\\\""), "{}", answer.text());
    }
    assert_eq!(get().over(&daemon.publish_socket()).problem(), "not-permitted");
    let answer = daemon.send(&get());
    assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"));
    // And it opens nothing else.
    for (request, status) in [
        (Request::post("/alerts").body("x"), 403),
        (Request::get("/alerts"), 403),
        (Request::get("/status"), 403),
        (Request::post("/metrics"), 405),
        (Request::get("/metrics?name=x"), 422),
    ] {
        assert_eq!(daemon.send(&request.key(&key)).status, status);
    }
    let head = daemon.send(&Request::new("HEAD", "/metrics").key(&key));
    assert!(head.status == 200 && head.body.is_empty() && head.header("content-length").is_some(), "{head:?}");
}

#[test]
fn both_text_forms_are_valid_and_say_the_same() {
    let daemon = busy();
    let (classic, openmetrics) = (text(&daemon, None), text(&daemon, Some(OPENMETRICS)));
    let checked = piped(Command::new("promtool").args(["check", "metrics"]), &classic);
    // promtool prints nothing if it has no complaint.
    assert!(checked.status.success() && checked.stdout.is_empty() && checked.stderr.is_empty(), "{}", told(&checked));
    let parse = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
                 for family in parse(sys.stdin.read()):\n    for sample in family.samples:\n        print(family.type, sample.name)";
    // Debian's own Python has Debian's modules.
    let parsed = piped(Command::new("/usr/bin/python3").args(["-c", parse]), &openmetrics);
    assert!(parsed.status.success(), "{}", told(&parsed));
    let parsed = String::from_utf8(parsed.stdout).unwrap();
    assert!(parsed.contains("counter alertd_deliveries_total\n"), "{parsed}");
    assert_eq!(parsed.lines().count(), Metrics::parse(&classic).0.len());
    assert!(Metrics::parse(&classic).0.keys().eq(Metrics::parse(&openmetrics).0.keys()));
    for (accept, kind) in [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        (Some("*/*"), "text/plain; version=0.0.4; charset=utf-8"),
        (Some(OPENMETRICS), "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ] {
        let request = Request::get("/metrics");
        let request = accept.map_or(request.clone(), |accept| request.header("Accept", accept));
        assert_eq!(request.over(&daemon.control()).header("content-type"), Some(kind));
    }
}

#[test]
fn the_manual_has_every_metric_and_no_other() {
    let daemon = busy();
    // The first scrub takes a moment.
    let text = eventually("all metrics", || {
        Some(text(&daemon, None)).filter(|text| text.contains("alertd_log_scrubbed_timestamp_seconds "))
    });
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let exposed: BTreeSet<_> = families.map(|about| about.split_once(' ').unwrap()).collect();
    let manual = include_str!("../../packaging/doc/metrics.md");
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `alertd_"));
    let told: BTreeSet<_> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim);
            let name = cells.next().unwrap().split(['`', '{']).next().unwrap();
            (name, cells.next().unwrap())
        })
        .collect();
    let (own, process): (BTreeSet<_>, BTreeSet<_>) =
        exposed.into_iter().partition(|(name, _)| name.starts_with("alertd_"));
    let own: BTreeSet<_> = own.into_iter().map(|(name, kind)| (&name["alertd_".len()..], kind)).collect();
    assert_eq!(told, own);
    for (name, _) in process {
        assert!(name.starts_with("process_") && manual.contains(&format!("`{name}`")), "{name}");
    }
    // And each word that a label may have.
    let labels = text.lines().filter_map(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0));
    for (label, value) in labels.flat_map(|labels| labels.split(',')).map(|label| label.split_once('=').unwrap()) {
        let word = format!("`{}`", value.trim_matches('"'));
        assert!(["le", "class", "version"].contains(&label) || manual.contains(&word), "{label} may be {value}");
    }
}

fn streams_and_deliveries_are_counted_by_what_carries_them(transport: Transport) {
    let daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    daemon.publish(&key, "ops.db", "stored before");
    let transport = if transport == Transport::Plain { "loop" } else { "task" };
    let open = |path: &str, accept: &str| daemon.follow(&Request::get(path).key(&key).header("Accept", accept));
    let all = "/alerts?topic=*&since=all";
    let (mut sse, lines) = (open(all, "text/event-stream"), open("/alerts/none", "application/x-ndjson"));
    assert_eq!(sse.message(), "stored before");
    sse.until("cursor");
    let subscribers = |format: &str| format!("streams{{format=\"{format}\",transport=\"{transport}\"}}");
    becomes(&daemon, &[(&subscribers("sse"), 1.0), (&subscribers("ndjson"), 1.0), ("subscriptions", 2.0)]);
    // A replayed alert counts as delivered, but not in the latency.
    becomes(&daemon, &[("deliveries_total", 1.0), ("delivery_latency_seconds_count", 0.0)]);
    for number in 0..20 {
        daemon.publish(&key, "ops.db", &number.to_string());
        assert_eq!(sse.message(), number.to_string());
    }
    becomes(&daemon, &[("deliveries_total", 21.0), ("delivery_latency_seconds_count", 20.0)]);
    let metrics = Metrics::read(&daemon);
    assert!(metrics.of("delivery_latency_seconds_sum") < 20.0);
    assert_eq!(metrics.of("delivery_latency_seconds_bucket{le=\"30.0\"}"), 20.0);
    assert_eq!(metrics.of("alerts_accepted_total{class=\"ops\",level=\"info\"}"), 21.0);
    assert!(metrics.of("engine_commit_seconds_count") >= 21.0 && metrics.of("engine_commit_seconds_sum") > 0.0);
    assert_eq!(metrics.of("retained_alerts"), 21.0);
    drop(lines);
    becomes(&daemon, &[(&subscribers("ndjson"), 0.0), ("streams_ended_total{reason=\"gone\"}", 1.0)]);
    assert_eq!(Request::new("DELETE", "/keys/alice").over(&daemon.control()).status, 200);
    assert_eq!(sse.bye(), "revoked");
    becomes(&daemon, &[(&subscribers("sse"), 0.0), ("streams_ended_total{reason=\"revoked\"}", 1.0)]);
}

fn a_reader_that_its_ring_overtakes_is_counted_and_every_alert_once(transport: Transport) {
    let daemon = Daemon::on(transport, "[hub]\nmemory = \"1MiB\"\n[engine]\ndurability = \"none\"\n");
    let key = daemon.key("alice");
    // The kernel holds only a few kilobytes for it.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&daemon.address.into()).unwrap();
    let wire = crate::harness::Wire::over(TcpStream::from(socket), daemon.trusted());
    let mut stream = Stream::on(wire, &Request::get("/alerts?since=none").key(&key)).unwrap();
    stream.until("cursor");
    let message = "x".repeat(4000);
    for _ in 0..300 {
        daemon.publish(&key, "default", &message);
    }
    for _ in 0..300 {
        assert_eq!(stream.message(), message);
    }
    becomes(&daemon, &[("deliveries_total", 300.0), ("lag_seconds", 0.0), ("gaps_total", 0.0)]);
    let metrics = Metrics::read(&daemon);
    assert!(metrics.of("overtaken_total") >= 1.0);
    assert!((1.0..300.0).contains(&metrics.of("delivery_latency_seconds_count")));
}

#[test]
fn a_gap_that_a_reader_was_told_of_is_counted() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    daemon.publish(&key, "default", "one");
    daemon.stream(&key, "/alerts?since=1-1").until("gap");
    becomes(&daemon, &[("gaps_total", 1.0)]);
}

#[test]
fn topics_that_publishers_make_up_do_not_make_series_without_end() {
    let daemon = Daemon::with("[engine]\ndurability = \"none\"\n");
    let key = daemon.key("alice");
    let series = || Metrics::read(&daemon).0.keys().filter(|name| name.contains("class=")).count();
    daemon.publish(&key, "ops.db", "x");
    assert_eq!(series(), 2 * 3);
    for number in 0..100 {
        daemon.publish(&key, &format!("made-up-{number}.topic"), "x");
    }
    assert_eq!(series(), 33 * 3);
    let metrics = Metrics::read(&daemon);
    assert_eq!(metrics.of("alerts_accepted_total{class=\"other\",level=\"info\"}"), 69.0);
    assert_eq!(metrics.of("alerts_accepted_total{class=\"ops\",level=\"info\"}"), 1.0);
}

#[test]
fn a_repeated_publish_is_accepted_once() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for _ in 0..3 {
        let request = Request::post("/alerts/ops?level=error").key(&key).header("Idempotency-Key", "one").body("x");
        assert_eq!(daemon.send(&request).status, 200);
    }
    let metrics = Metrics::read(&daemon);
    assert_eq!(metrics.of("alerts_accepted_total{class=\"ops\",level=\"error\"}"), 1.0);
    assert_eq!(metrics.of("alerts_repeated_total{class=\"ops\",level=\"error\"}"), 2.0);
    assert_eq!(metrics.of("publish_failures_total"), 0.0);
}

#[test]
fn attempts_to_prove_who_one_is_are_counted_by_what_became_of_them() {
    let daemon = Daemon::with("[limits]\nfailed_auth_rate = 2\n");
    let (key, gone) = (daemon.key("alice"), daemon.key("eve"));
    let status = |key: &str| daemon.send(&Request::get("/health").header("Authorization", key)).status;
    let bearer = |key: &Key| status(&format!("Bearer {}", key.secret));
    assert_eq!([bearer(&key), bearer(&key), bearer(&key)], [200; 3]);
    let ticket = daemon.send(&Request::post("/tickets").key(&key)).json()["ticket"].as_str().unwrap().to_owned();
    let with_ticket = Request::get(&format!("/alerts?ticket={ticket}")).header("Accept", "application/json");
    assert_eq!([daemon.send(&with_ticket).status, daemon.send(&with_ticket).status], [200, 401]);
    assert_eq!(daemon.send(&Request::get("/health")).status, 401);
    assert_eq!(status("Bearer nonsense"), 401);
    assert_eq!(Request::new("DELETE", "/keys/eve").over(&daemon.control()).status, 200);
    assert_eq!(bearer(&gone), 401);
    // As another key's secret has it: a known id, and another secret with a checksum of its own.
    let wrong = alertd::key::secret::compose("alice", &key.id, &[7; 24]);
    assert_eq!(status(&format!("Bearer {}", &*wrong)), 401);
    let guess = |byte: u8| bearer(&former_key("dave", byte));
    import(&daemon, &[former_key("dave", 1)]);
    assert_eq!([guess(1), guess(2), guess(2), guess(3), guess(4)], [200, 401, 401, 401, 429]);
    let metrics = Metrics::read(&daemon);
    for (result, wanted) in [
        ("remembered", 3.0),
        ("verified", 2.0),
        ("ticket", 1.0),
        ("bad_ticket", 1.0),
        ("missing", 1.0),
        ("malformed", 1.0),
        ("unknown", 1.0),
        ("wrong", 4.0),
        ("limited", 1.0),
    ] {
        let count = metrics.of(&format!("authentications_total{{result=\"{result}\"}}"));
        assert_eq!(count, wanted, "{result}");
    }
    // For the imported key; the others were decided without a derivation.
    assert_eq!(metrics.of("pbkdf2_derivations_total"), 1.0);
    assert_eq!((metrics.of("pbkdf2_queue{pool=\"own\"}"), metrics.of("keys")), (0.0, 2.0));
}

#[test]
fn what_runs_since_when_and_whether_it_works_is_told() {
    let daemon = Daemon::start();
    // The log has no file before its first alert.
    daemon.publish(&daemon.key("alice"), "default", "one");
    let metrics = Metrics::read(&daemon);
    assert_eq!(metrics.of(&format!("build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
    assert_eq!((metrics.of("live"), metrics.of("engine_up{engine=\"embedded\"}")), (1.0, 1.0));
    assert_eq!(metrics.of("streams_limit"), 16384.0);
    assert!(metrics.of("store_bytes") > 0.0);
    let uptime = daemon.status()["uptime"].as_f64().unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let age = now - metrics.of("start_time_seconds");
    assert!((uptime - 1.0..uptime + 30.0).contains(&age), "up {uptime} s, started {age} s ago");
}

#[test]
fn the_process_has_the_metrics_that_prometheus_clients_give() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let fds = || Metrics::read(&daemon).0["process_open_fds"];
    let streams: Vec<_> = (0..20).map(|_| daemon.stream(&key, "/alerts")).collect();
    let with_streams = fds();
    drop(streams);
    // Connections of earlier requests may still be open before, but none of them opens again.
    eventually("20 descriptors less", || (fds() <= with_streams - 20.0).then_some(()));
    let all = Metrics::read(&daemon).0;
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let kib = |name: &str| -> f64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    assert!((all["process_virtual_memory_bytes"] / 1024.0 / kib("VmSize:") - 1.0).abs() < 0.5, "{all:?}");
    assert!((all["process_resident_memory_bytes"] / 1024.0 / kib("VmRSS:") - 1.0).abs() < 0.5, "{all:?}");
    assert!(all["process_cpu_seconds_total"] > 0.0 && all["process_max_fds"] > all["process_open_fds"], "{all:?}");
    assert_eq!(all["process_start_time_seconds"], all["alertd_start_time_seconds"]);
    assert!(all["alertd_disk_free_bytes"] > 0.0 && all["alertd_disk_size_bytes"] > all["alertd_disk_free_bytes"]);
}

#[test]
fn keys_near_their_end_refused_reloads_and_limits_are_told() {
    let daemon = Daemon::with("[alerts]\nretain_count = 5000\nretain_bytes = \"64MiB\"\n");
    let expiring = |daemon: &Daemon| {
        let metrics = Metrics::read(daemon);
        ["1d", "7d", "30d"].map(|within| metrics.of(&format!("keys_expiring{{within=\"{within}\"}}")))
    };
    assert_eq!(expiring(&daemon), [0.0; 3]);
    // Made for a short time, for a long one, and without an end.
    for seconds in [3600, 10 * 86_400, 25 * 86_400, 90 * 86_400] {
        daemon.key_with(&json!({"user": "alice", "expires_in": seconds}));
    }
    daemon.key("bob");
    assert_eq!(expiring(&daemon), [0.0; 3]);
    let metrics = Metrics::read(&daemon);
    assert_eq!((metrics.of("retention_alerts_limit"), metrics.of("retention_limit_bytes")), (5000.0, 67_108_864.0));
    assert_eq!(metrics.of("config_last_reload_successful"), 1.0);
    daemon.configure("[alerts]\nretain_count = \"many\"\n");
    assert!(!daemon.ctl(&["reload"]).status.success());
    assert_eq!(Metrics::read(&daemon).of("config_last_reload_successful"), 0.0);
    daemon.configure("[alerts]\nretain_count = 7000\n");
    assert!(daemon.ctl(&["reload"]).status.success());
    let metrics = Metrics::read(&daemon);
    assert_eq!((metrics.of("config_last_reload_successful"), metrics.of("retention_alerts_limit")), (1.0, 7000.0));
}

#[test]
fn an_engine_that_is_away_is_told_so_and_what_it_would_say_is_left_out() {
    let mut redis = Redis::start();
    let daemon = Daemon::with(&redis.configuration(""));
    let key = daemon.key_once_ready();
    let up = "engine_up{engine=\"redis\"}";
    becomes(&daemon, &[(up, 1.0)]);
    let mut stream = daemon.stream(&key, "/alerts/ops?since=none");
    stream.until("cursor");
    for _ in 0..3 {
        daemon.publish(&key, "ops", "x");
        assert_eq!(stream.message(), "x");
    }
    becomes(&daemon, &[("deliveries_total", 3.0), ("retained_alerts", 3.0), ("lag_seconds", 0.0)]);
    let metrics = Metrics::read(&daemon);
    assert!(metrics.of("engine_commit_seconds_count") >= 3.0 && metrics.of("store_bytes") > 0.0);
    assert_eq!(metrics.of("delivery_latency_seconds_count"), 3.0);
    redis.kill();
    assert_eq!(daemon.send(&Request::post("/alerts/ops").key(&key).body("x")).status, 503);
    becomes(&daemon, &[(up, 0.0), ("publish_failures_total", 1.0)]);
    let metrics = Metrics::read(&daemon);
    assert!(!metrics.0.keys().any(|name| name.contains("retained") || name.contains("store_bytes")));
    assert_eq!(metrics.of("live"), 1.0);
    // Silence instead of a refusal does not hold up the answer either.
    redis.again();
    becomes(&daemon, &[(up, 1.0), ("retained_alerts", 3.0)]);
    redis.signal("STOP");
    let began = std::time::Instant::now();
    let metrics = Metrics::read(&daemon);
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(!metrics.0.contains_key("alertd_retained_alerts"), "what nobody could know");
    redis.signal("CONT");
    becomes(&daemon, &[(up, 1.0), ("retained_alerts", 3.0)]);
}
