//! Start, reload and stop of a daemon with open streams.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Answer, Daemon, PATIENCE, Request, Running, Transport, certificate, eventually, over_both_transports,
};

over_both_transports! {
    a_stop_says_goodbye_finishes_what_runs_and_ends_with_0,
    f8_a_stop_refuses_incomplete_requests_within_a_second_and_waits_for_nobody,
}

fn a_stop_says_goodbye_finishes_what_runs_and_ends_with_0(transport: Transport) {
    let mut daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    let mut streams: Vec<_> = (0..5).map(|_| daemon.stream(&key, "/alerts")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.until("cursor")));
    let id = daemon.publish(&key, "default", "last");
    let began = Instant::now();
    assert!(daemon.stop().success());
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    for stream in &mut streams {
        assert_eq!(stream.message(), "last");
        assert_eq!(stream.bye(), "stop");
    }
    assert!(!daemon.control().exists() && !daemon.publish_socket().exists());
    let daemon = daemon.again();
    let mut back = daemon.follow(&Request::get("/alerts").key(&key).header("Last-Event-ID", &id));
    let next = daemon.publish(&key, "default", "after");
    assert!(next > id);
    assert_eq!(back.message(), "after");
}

#[test]
fn two_signals_at_once_are_one_orderly_stop() {
    let mut daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut stream = daemon.stream(&key, "/alerts");
    stream.until("cursor");
    // As Ctrl-C does it with `make run`.
    daemon.signal("INT");
    daemon.signal("TERM");
    assert_eq!(stream.bye(), "stop");
    assert!(daemon.ended().success());
    assert!(!daemon.log().contains("did not end in time"), "{}", daemon.log());
}

/// Waits until the daemon has accepted all connections and read what was sent.
fn has_read_everything(daemon: &Daemon) {
    let port = format!(":{:04X}", daemon.address.port());
    eventually("a daemon that has read everything", || {
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
        let mut queues = sockets.lines().skip(1).filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (local, queue) = (words.next()?, words.nth(2)?);
            local.ends_with(&port).then(|| queue.ends_with(":00000000"))
        });
        queues.all(|is_read| is_read).then_some(())
    });
}

/// F8: three bytes of a longer body made each restart an outage of ten seconds.
fn f8_a_stop_refuses_incomplete_requests_within_a_second_and_waits_for_nobody(transport: Transport) {
    let mut daemon = Daemon::on(transport, "");
    let key = daemon.key("alice");
    let request = Request::post("/alerts").key(&key).body("never stored").bytes(false);
    let head = request.len() - "never stored".len();
    let mut begun = [1, 20, head - 2, head, head + 3].map(|length| {
        let mut wire = daemon.connect().patient().unwrap();
        wire.write_all(&request[..length]).unwrap();
        wire
    });
    // The first request is complete.
    let mut second = daemon.connect().patient().unwrap();
    let first = Request::get("/livez").bytes(false);
    second.write_all(&[&first[..], &request[..20]].concat()).unwrap();
    let silent = daemon.connect().patient().unwrap();
    let handshake = TcpStream::connect(daemon.address).unwrap();
    has_read_everything(&daemon);
    let began = Instant::now();
    daemon.signal("TERM");
    for wire in &mut begun {
        let answer = Answer::read(wire);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
        assert_eq!((answer.header("connection"), answer.problem().as_str()), (Some("close"), "unavailable"));
    }
    let answers = Answer::read(&mut second);
    assert!(answers.status == 200 && answers.text().contains("HTTP/1.1 503 "), "{answers:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop((begun, second));
    assert!(daemon.ended().success());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(!daemon.log().contains("did not end in time"), "{}", daemon.log());
    drop((silent, handshake));
    let daemon = daemon.again();
    let history = daemon.send(&Request::get("/alerts?since=all").key(&key).header("Accept", "application/json"));
    assert_eq!(history.json()["alerts"], json!([]));
}

/// F8: so did a client that sends requests and reads no answer.
#[test]
fn f8_a_stop_lets_a_slow_reader_finish_its_answer_and_waits_for_none_that_reads_nothing() {
    let mut daemon = Daemon::start();
    let key = daemon.key("alice");
    for number in 0..250 {
        daemon.publish(&key, "ops", &format!("{number} {}", "x".repeat(4000)));
    }
    // A Unix socket holds less than this page.
    let page = Request::get("/alerts?topic=*&since=all&limit=250").header("Accept", "application/json").bytes(false);
    let begun = |bytes: &[u8]| {
        let mut wire = UnixStream::connect(daemon.control()).unwrap();
        wire.set_read_timeout(Some(PATIENCE)).unwrap();
        wire.write_all(bytes).unwrap();
        let mut first = vec![0];
        wire.read_exact(&mut first).unwrap();
        (wire, first)
    };
    let (mut slow, mut slowly_read) = begun(&page);
    let (mut stuck, mut left) = begun(&[&page[..], &page[..], &page[..20]].concat());
    let mut incomplete = UnixStream::connect(daemon.control()).unwrap();
    incomplete.write_all(&page[..20]).unwrap();
    daemon.signal("TERM");
    // By now connections that wait for a request are closed.
    assert_eq!(Answer::read(&mut incomplete).status, 503);
    let mut little = [0; 64];
    while let length @ 1.. = slow.read(&mut little).unwrap() {
        slowly_read.extend_from_slice(&little[..length]);
    }
    let (answer, body) = Answer::head(&slowly_read).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(serde_json::from_slice::<Value>(body).unwrap()["alerts"].as_array().unwrap().len(), 250);
    assert!(daemon.ended().success());
    assert!(!daemon.log().contains("did not end in time"), "{}", daemon.log());
    stuck.read_to_end(&mut left).unwrap();
    let left = String::from_utf8(left).unwrap();
    assert!(left.starts_with("HTTP/1.1 200 ") && left.matches("HTTP/1.1").count() == 1, "{left}");
}

#[test]
fn a_reload_changes_what_it_can_and_names_what_waits() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut stream = daemon.stream(&key, "/alerts");
    stream.until("cursor");
    daemon.configure("[http]\nmax_body = \"1KiB\"\nmax_connections = 99\n");
    let reload = || Request::post("/reload").over(&daemon.control());
    assert_eq!(reload().json(), json!({"needs_restart": ["http.max_connections"], "warnings": []}));
    let large = Request::post("/alerts").key(&key).body("x".repeat(2000));
    assert_eq!(daemon.send(&large).status, 413);
    // A bad file changes nothing and says all that is wrong.
    daemon.configure("[http]\nmax_body = \"tiny\"\nlissten = 1\n");
    let refused = reload();
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("max_body") && refused.text().contains("lissten"), "{}", refused.text());
    assert_eq!(daemon.send(&large).status, 413);
    daemon.configure("");
    daemon.signal("HUP");
    eventually("the reload by signal", || (daemon.send(&large).status == 200).then_some(()));
    assert_eq!(stream.alert().unwrap()["message"].as_str().unwrap().len(), 2000);
}

#[test]
fn certificates_are_served_and_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key_file) = certificate(directory.path(), "first");
    let tls = format!("[http]\ntls_cert = \"{}\"\ntls_key = \"{}\"\n", cert.display(), key_file.display());
    let daemon = Daemon::with(&tls);
    let key = daemon.key("alice");
    let get = |version: &str| {
        let url = format!("https://localhost:{}/health", daemon.address.port());
        Command::new("curl")
            .args(["-sS", version, "--cacert"])
            .arg(&cert)
            .args(["-H", &format!("Authorization: Bearer {}", key.secret), &url])
            .output()
            .unwrap()
    };
    for version in ["--http1.1", "--http2"] {
        assert_eq!(String::from_utf8_lossy(&get(version).stdout), "{\"status\":\"ok\"}\n", "{version}");
    }
    certificate(directory.path(), "second");
    assert!(!get("--http2").status.success());
    assert_eq!(Request::post("/reload").over(&daemon.control()).status, 200);
    assert!(get("--http2").status.success());
}

#[test]
fn two_daemons_never_share_a_directory() {
    let daemon = Daemon::start();
    let mut second = crate::harness::program("alertd");
    second.arg("--config").arg(daemon.directory.path().join("alertd.toml")).env("ALERTD_HTTP_LISTEN", "127.0.0.1:0");
    let at = daemon.directory.path().display().to_string();
    second.env("ALERTD_CONTROL_SOCKET", format!("{at}/c2")).env("ALERTD_PUBLISH_SOCKET", format!("{at}/p2"));
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is locked: a running alertd"), "{output:?}");
}

#[test]
fn a_full_disk_is_said_and_got_over() {
    // A small file system of its own, which can be filled.
    let directory = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| Command::new("mount").args(arguments).arg(directory.path()).status();
    if !mount(&["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this user cannot mount a small file system");
        return;
    }
    struct Unmount<'a>(&'a std::path::Path);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
    let _unmount = Unmount(directory.path());
    let state = directory.path().join("state").display().to_string();
    let daemon = Daemon::with_environment("", &[("ALERTD_STATE_DIR", &state), ("ALERTD_AUTH_STORE_DIR", &state)]);
    let key = daemon.key("alice");
    let first = daemon.publish(&key, "default", "before");
    let mut stream = daemon.stream(&key, "/alerts?topic=*&since=none");
    stream.until("cursor");
    let filler = directory.path().join("filler");
    let mut stored = vec![first];
    let body = json!({"message": "x".repeat(4000), "metadata": {"pad": "y".repeat(50_000)}});
    let send = || daemon.send(&Request::post("/alerts").key(&key).json(&body));
    // Another file takes most of the space, and then alerts are published until the disk is full.
    fs::write(&filler, vec![1; 8 << 20]).unwrap();
    let refused = eventually("a full disk", || {
        let answer = send();
        if answer.status == 200 {
            stored.push(answer.json()["alert"]["id"].as_str().unwrap().to_owned());
            return None;
        }
        Some(answer)
    });
    assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"));
    // The client learns the cause, but no path; the operator finds the directory in the journal.
    assert!(refused.text().contains("no room") && !refused.text().contains(&state), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(daemon.send(&Request::get("/readyz")).status, 503);
    assert_eq!(daemon.send(&Request::get("/livez")).status, 200);
    fs::remove_file(&filler).unwrap();
    let again = eventually("space again", || Some(send()).filter(|answer| answer.status == 200));
    stored.push(again.json()["alert"]["id"].as_str().unwrap().to_owned());
    // Nothing that was answered is missing, and the open stream saw all of it.
    let mut all = daemon.stream(&key, "/alerts?topic=*&since=all");
    for (reader, expected) in [(&mut all, &stored[..]), (&mut stream, &stored[1..])] {
        let ids: Vec<_> = expected.iter().map(|_| reader.alert().unwrap()["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, expected);
    }
}

/// F18: on a hung disk `/readyz` said yes until the watchdog's marker was late, while each publish failed.
#[test]
fn f18_a_publish_that_hangs_on_the_disk_until_its_deadline_turns_readyz_to_no_until_one_is_stored() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    daemon.publish(&key, "ops", "before");
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().map(|entry| entry.unwrap().path());
    let is_writer = |thread: &std::path::PathBuf| fs::read_to_string(thread.join("comm")).unwrap() == "alertd-writer\n";
    let writer = threads.into_iter().find(is_writer).unwrap();
    // From now on a sync takes for ever.
    let strace = Command::new("strace")
        .args([
            "-q",
            "-o",
            "/dev/null",
            "-e",
            "trace=fdatasync,fsync",
            "-e",
            "inject=fdatasync,fsync:delay_enter=3600s",
        ])
        .args([std::ffi::OsStr::new("-p"), writer.file_name().unwrap()])
        .spawn();
    let strace = Running(strace.unwrap());
    let ready = || daemon.send(&Request::get("/readyz"));
    let publish = || daemon.send(&Request::post("/alerts/ops").key(&key).body("hangs"));
    let hung = eventually("a publish that fails", || Some(publish()).filter(|answer| answer.status != 200));
    assert_eq!((hung.status, hung.problem().as_str()), (503, "unavailable"), "{hung:?}");
    assert_eq!(ready().status, 503);
    daemon.said("did not answer within");
    assert_eq!(daemon.send(&Request::get("/livez")).status, 200, "a restart would not help yet");
    drop(strace);
    eventually("a publish that is stored", || (publish().status == 200).then_some(()));
    assert_eq!(ready().status, 200);
}
