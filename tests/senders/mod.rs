//! Alerts as scripts and tools really send them: too long, in other encodings, with other types, with their own
//! severities.

mod apprise;
mod frames;
mod github;
mod host;
mod journal;
mod json;
mod prometheus;
mod readers;
mod types;
mod units;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Answer, Daemon, Key, Redis, Request, certificate, program, raw, told};

/// Publishes to the topic `t`; the answer's alert.
fn publish(daemon: &Daemon, key: &Key, path: &str, kind: Option<&str>, body: impl Into<Vec<u8>>) -> Value {
    let request = Request::post(path).key(key).body(body);
    let request = kind.map_or(request.clone(), |kind| request.header("Content-Type", kind));
    let answer = daemon.send(&request);
    assert_eq!(answer.status, 200, "{kind:?}: {answer:?}");
    answer.json()["alert"].clone()
}

#[test]
fn a_text_of_any_length_encoding_and_type_is_an_alert_that_shows_what_is_missing() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for kind in [None, Some("text/plain"), Some("text/markdown"), Some("text/html"), Some("text/plain; charset=utf-8")]
    {
        let message =
            |body: &[u8]| publish(&daemon, &key, "/alerts/t", kind, body)["message"].as_str().unwrap().to_owned();
        for length in [4097, 10_000, 60_000] {
            let cut = message(&vec![b'x'; length]);
            assert!(cut.len() == 4096 && cut.ends_with("x…"), "{kind:?} {length}: {}", cut.len());
        }
        assert_eq!(message("ä".repeat(2048).as_bytes()), "ä".repeat(2048));
        assert!(message("ä".repeat(2049).as_bytes()).ends_with("ä…"));
        assert_eq!(message(b"Ger\xe4t sda"), "Ger\u{fffd}t sda");
        assert_eq!(message(b"\xef\xbb\xbfmarked"), "marked");
    }
    let latin1 = publish(&daemon, &key, "/alerts/t", Some("text/plain; charset=ISO-8859-1"), *b"Ger\xe4t sda");
    assert_eq!(latin1["message"], "Gerät sda");
}

#[test]
fn every_spelling_of_json_is_json_and_a_byte_order_mark_is_no_part_of_it() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "Application/JSON",
        "text/json",
        "application/vnd.example.alert+json",
    ] {
        for body in ["{\"message\":\"x\",\"level\":\"warn\"}", "\u{feff}{\"message\":\"x\",\"level\":\"warn\"}"] {
            let alert = publish(&daemon, &key, "/alerts/t", Some(kind), body);
            assert_eq!((&alert["message"], &alert["level"]), (&json!("x"), &json!("warn")), "{kind}");
        }
    }
    let marked = publish(&daemon, &key, "/alerts/t", None, "\u{feff}{\"message\":\"x\",\"level\":\"warn\"}");
    assert_eq!(marked["level"], "warn");
    let latin1 = Some("application/json; charset=iso-8859-1");
    assert_eq!(publish(&daemon, &key, "/alerts/t", latin1, *b"{\"message\":\"Ger\xe4t\"}")["message"], "Gerät");
    // A hook's payload likewise.
    let group = json!({"alerts": [{
        "status": "firing", "fingerprint": "f", "startsAt": "s", "annotations": {"summary": "Gerät ?"}
    }]});
    let hook = |fingerprint: &str, kind: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let mut group = group.clone();
        group["alerts"][0]["fingerprint"] = fingerprint.into();
        let request = Request::post("/hooks/alertmanager/h").key(&key).header("Content-Type", kind);
        let answer = daemon.send(&request.body(change(group.to_string().into_bytes())));
        assert_eq!((answer.status, answer.json()["stored"].as_u64()), (200, Some(1)), "{answer:?}");
    };
    hook("1", "application/json; charset=utf-8", &|body| [b"\xef\xbb\xbf", &body[..]].concat());
    hook("2", "text/json", &|body| body);
    hook("3", "application/json", &|body| {
        body.into_iter().map(|byte| if byte == b'?' { 0xff } else { byte }).collect()
    });
    let history =
        Request::get("/alerts/h?since=all").header("Accept", "application/json").over(&daemon.control()).json();
    let messages: Vec<_> = history["alerts"].as_array().unwrap().iter().map(|alert| alert["message"].clone()).collect();
    assert_eq!(messages, ["Gerät ?", "Gerät ?", "Gerät \u{fffd}"]);
}

#[test]
fn json_to_alerts_is_cut_on_request_alone() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let long = json!({ "message": "x".repeat(10_000), "level": "error" });
    let answer = daemon.send(&Request::post("/alerts/t").key(&key).json(&long));
    assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"));
    let cut = daemon.send(&Request::post("/alerts/t?cut=1").key(&key).json(&long)).json();
    assert_eq!(cut["alert"]["level"], "error");
    let message = cut["alert"]["message"].as_str().unwrap();
    assert!(message.len() == 4096 && message.ends_with('…'));
    let wrong = publish(&daemon, &key, "/alerts/t?cut=1", Some("application/json"), *b"{\"message\":\"Ger\xe4t\"}");
    assert_eq!(wrong["message"], "Ger\u{fffd}t");
    assert_eq!(daemon.send(&Request::post("/alerts/t?cut=perhaps").key(&key).json(&long)).status, 422);
    assert_eq!(daemon.send(&Request::post("/alerts/t?cut=1").key(&key).json(&json!({"mesage": "x"}))).status, 422);
}

#[test]
fn a_form_is_read_as_a_form() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let form = |path: &str, body: &str| publish(&daemon, &key, path, Some("application/x-www-form-urlencoded"), body);
    let alert =
        form("/alerts/home", "message=Water+under+the+boiler%3A+42+ml+%26+rising&level=error&title=Boiler&zone=3");
    assert_eq!(
        (&alert["message"], &alert["level"], &alert["topic"]),
        (&json!("Water under the boiler: 42 ml & rising"), &json!("error"), &json!("home"))
    );
    assert_eq!(alert["metadata"], json!({"title": "Boiler", "zone": "3"}));
    let meant = form("/alerts/home", "message=x&level=tier-2");
    assert_eq!((&meant["level"], &meant["metadata"]["level"]), (&json!("warn"), &json!("tier-2")));
    assert_eq!(form("/alerts", "message=x&topic=cellar")["topic"], "cellar");
    assert_eq!(form("/alerts/home", "disk at 91 %")["message"], "disk at 91 %");
    let long = form("/alerts/home", &format!("message={}", "y".repeat(20_000)));
    assert!(long["message"].as_str().unwrap().ends_with("y…"));
    let other = Request::post("/alerts/home").key(&key).header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(daemon.send(&other.clone().body("message=")).status, 422);
    assert_eq!(daemon.send(&other.body("message=x&topic=cellar")).status, 422);
}

#[test]
fn headers_in_latin_1_and_in_encoded_words_are_read() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let metadata = |headers: &[u8]| {
        let head = format!("POST /alerts/cellar HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n", key.secret);
        let rest = b"Content-Type: text/plain\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
        let answer: Answer = raw(daemon.address, &[head.as_bytes(), headers, rest].concat());
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["alert"]["metadata"].clone()
    };
    let expected = json!({"title": "Küche", "tags": ["überlauf", "pumpe"]});
    assert_eq!(metadata(b"Title: K\xfcche\r\nTags: \xfcberlauf,pumpe\r\n"), expected);
    assert_eq!(metadata("Title: Küche\r\nTags: überlauf,pumpe\r\n".as_bytes()), expected);
    assert_eq!(metadata(b"X-Title: =?iso-8859-1?q?K=FCche?=\r\nX-Tags: =?utf-8?b?w7xiZXJsYXVm?=,pumpe\r\n"), expected);
}

#[test]
fn a_severity_is_never_calmer_than_its_sender_meant() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let words = [
        ("high", "error"),
        ("emerg", "error"),
        ("fatal", "error"),
        ("P1", "error"),
        ("p2", "error"),
        ("Disaster", "error"),
        ("SEV-1", "error"),
        ("1 - Critical", "error"),
        ("Average", "warn"),
        ("P3", "warn"),
        ("unknown", "warn"),
        ("tier-2", "warn"),
        ("", "warn"),
        ("notice", "info"),
        ("none", "info"),
        ("Not classified", "info"),
        ("P5", "info"),
    ];
    let alerts: Vec<Value> = words
        .iter()
        .enumerate()
        .map(|(number, (word, _))| {
            json!({
                "status": "firing", "fingerprint": number.to_string(), "startsAt": "s", "labels": {"severity": word},
                "annotations": {"summary": "x"}
            })
        })
        .collect();
    let group = json!({ "alerts": alerts });
    let answer = daemon.send(&Request::post("/hooks/alertmanager/ops").key(&key).json(&group));
    assert_eq!((answer.status, answer.json()["stored"].as_u64()), (200, Some(words.len() as u64)));
    let history =
        Request::get("/alerts/ops?since=all").header("Accept", "application/json").over(&daemon.control()).json();
    for ((word, level), alert) in words.iter().zip(history["alerts"].as_array().unwrap()) {
        assert_eq!(
            (alert["level"].as_str(), alert["metadata"]["labels"]["severity"].as_str()),
            (Some(*level), Some(*word))
        );
    }
}

#[test]
fn a_job_that_pipes_its_output_lives_and_its_alert_arrives() {
    let daemon = Daemon::start();
    let kilobyte = [&b"02:17 Ger\xe4t sda: in Ordnung "[..], &[b'.'; 996]].concat();
    for (kilobytes, more) in [(1, &["-"][..]), (10, &[]), (1024, &["-"])] {
        let mut publish = daemon.ctl_command();
        publish.args(["publish", "-t", "disks"]).args(more);
        let mut child = publish.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        for _ in 0..kilobytes {
            pipe.write_all(&kilobyte).unwrap();
        }
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{kilobytes}: {}", told(&output));
    }
    let history =
        Request::get("/alerts/disks?since=all").header("Accept", "application/json").over(&daemon.control()).json();
    let messages: Vec<_> =
        history["alerts"].as_array().unwrap().iter().map(|a| a["message"].as_str().unwrap()).collect();
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| message.starts_with("02:17 Ger\u{fffd}t sda")), "{messages:?}");
    assert!(!messages[0].ends_with('…') && messages[1..].iter().all(|m| m.len() <= 4096 && m.ends_with('…')));
}

#[test]
fn each_repeat_of_an_alert_that_always_fires_is_counted() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let alert = |name: &str| {
        json!({
            "status": "firing", "fingerprint": name, "startsAt": "2026-11-23T17:37:10.123Z",
            "labels": {"alertname": name, "severity": "none"}
        })
    };
    let send = |alerts: &[Value]| {
        let answer =
            daemon.send(&Request::post("/hooks/alertmanager/alive").key(&key).json(&json!({ "alerts": alerts })));
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.json()["stored"].as_u64().unwrap(), answer.json()["repeated"].as_u64().unwrap())
    };
    assert_eq!(send(&[alert("Watchdog")]), (1, 0));
    assert_eq!(send(&[alert("Watchdog")]), (0, 1));
    assert_eq!(send(&[alert("Watchdog"), alert("DeadMansSwitch")]), (1, 1));
    let metrics = Request::get("/metrics").over(&daemon.control()).text();
    for (counter, count) in [("accepted", 2), ("repeated", 2)] {
        let line = format!("alertd_alerts_{counter}_total{{class=\"alive\",level=\"info\"}} {count}");
        assert!(metrics.lines().any(|known| known == line), "{line}: {metrics}");
    }
}

#[test]
fn a_key_file_is_read_whatever_editor_wrote_it_or_its_contents_are_named() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    let url = format!("http://{}", daemon.address);
    let history = |contents: &[u8]| {
        std::fs::write(&file, contents).unwrap();
        let mut command = program("alertctl");
        command.args(["--url", &url, "history", "--key-file"]).arg(&file).output().unwrap()
    };
    let secret = key.secret.as_str();
    for contents in
        [secret.to_owned(), format!("{secret}\r\n"), format!("\u{feff}{secret}\r\n"), format!("\u{feff}{secret}")]
    {
        let output = history(contents.as_bytes());
        assert!(output.status.success(), "{contents:?}: {}", told(&output));
    }
    let utf16: Vec<u8> = format!("\u{feff}{secret}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (contents, words) in [
        (&utf16[..], "UTF-16: save it as UTF-8"),
        (b"\xef\xbb\xbf\r\n", "contains nothing"),
        (format!("{secret}\r\n{secret}\r\n").as_bytes(), "contains several lines"),
        (b"k\xe4y", "not text in UTF-8"),
    ] {
        let output = history(contents);
        assert!(!output.status.success() && told(&output).contains(words), "{words}: {}", told(&output));
    }
    let mut command = program("alertctl");
    let output = command.args(["--url", &url, "history"]).env("ALERTCTL_KEY", format!("\u{feff}{secret}\r\n")).output();
    assert!(output.unwrap().status.success());
}

#[test]
fn an_encrypted_tls_key_is_named_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, plain) = certificate(directory.path(), "localhost");
    let check = |key: &Path| {
        let mut command = program("alertd");
        command.args(["--check", "--config", "/dev/null"]).env("ALERTD_STATE_DIR", directory.path());
        command.env("ALERTD_HTTP_TLS_CERT", &certificate).env("ALERTD_HTTP_TLS_KEY", key).output().unwrap()
    };
    for (name, arguments) in [
        ("pkcs8", &["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:hunter2"][..]),
        ("traditional", &["ec", "-aes256", "-passout", "pass:hunter2"]),
    ] {
        let encrypted = directory.path().join(name);
        let mut openssl = Command::new("openssl");
        openssl.args(arguments).arg("-in").arg(&plain).arg("-out").arg(&encrypted);
        let made = openssl.output().unwrap();
        assert!(made.status.success(), "{}", told(&made));
        let output = check(&encrypted);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(78), "{name}: {said}");
        assert!(
            said.contains("http.tls_key: ") && said.contains("is encrypted") && said.contains("openssl pkey"),
            "{said}"
        );
    }
    for file in [&certificate, &plain] {
        let text = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    }
    assert!(check(&plain).status.success());
    assert!(told(&check(&certificate)).contains("contains no private key"));
}

#[test]
fn a_clean_stop_with_redis_logs_neither_error_nor_warning() {
    let redis = Redis::start();
    let mut daemon = Daemon::with(&redis.configuration(""));
    let key = daemon.key_once_ready();
    let mut stream = daemon.stream(&key, "/alerts/ops?since=none");
    stream.until("cursor");
    daemon.publish(&key, "ops", "last");
    let started = daemon.log().lines().count();
    assert!(daemon.stop().success());
    let log = daemon.log();
    let stopping: Vec<_> = log.lines().skip(started).collect();
    assert!(stopping.iter().any(|line| line.starts_with("info stopped")), "{log}");
    assert!(!stopping.iter().any(|line| line.starts_with("error") || line.starts_with("warn")), "{log}");
}
