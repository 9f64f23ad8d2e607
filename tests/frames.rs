//! A reader gets an alert as one line of bounded length.

use serde_json::{Value, json};

use crate::harness::{Daemon, Key, Request};

/// The longest line that clients accept.
const MAX_FRAME: usize = 64 << 10;

/// The lines of what a stream of everything sends up to its seam.
fn lines(daemon: &Daemon, key: &Key, accept: &str) -> Vec<String> {
    let request = Request::get("/alerts?topic=*&since=all").key(key).header("Accept", accept);
    let mut wire = daemon.connect().patient().unwrap();
    std::io::Write::write_all(&mut wire, &request.bytes(false)).unwrap();
    let mut stream = crate::harness::Stream::answered(wire).unwrap();
    let mut text = String::new();
    while !text.contains("cursor") {
        text = stream.more();
    }
    text.split('\n').map(str::to_owned).collect()
}

#[test]
fn an_alert_that_would_be_a_longer_frame_is_refused_and_any_other_is_one_frame() {
    let daemon = Daemon::with("[http]\nmax_body = \"1MiB\"\n");
    let key = daemon.key("alice");
    let publish = |text: String| {
        daemon.send(&Request::post("/alerts").key(&key).json(&json!({"message": "x", "metadata": {"k": text}})))
    };
    for character in ["x", "ä", "\u{2028}", "\u{1}"] {
        let (mut fits, mut least) = (0, 0);
        for length in [100, 9000, 10_800, 10_950, 21_000, 32_000, 33_000, 65_000, 65_400, 100_000] {
            let answer = publish(character.repeat(length));
            if answer.status == 200 {
                fits += 1;
                continue;
            }
            assert_eq!((answer.status, answer.json()["field"].as_str()), (422, Some("metadata")), "{}", answer.text());
            assert!(answer.text().contains("65536"), "{}", answer.text());
            least = if least == 0 { length } else { least };
        }
        assert!(fits > 1 && least > 0, "{character:?}: {fits} {least}");
    }
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let lines = lines(&daemon, &key, accept);
        assert!(lines.iter().all(|line| line.len() < MAX_FRAME - 50), "{:?}", lines.iter().map(String::len).max());
        assert!(lines.iter().any(|line| line.len() > 60_000), "{:?}", lines.iter().map(String::len).max());
    }
}

#[test]
fn the_long_metadata_of_a_hook_is_cut_with_a_mark() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let annotations: serde_json::Map<String, Value> =
        (0..200).map(|number| (format!("shards_{number:03}"), "shard waits for a copy; ".repeat(150).into())).collect();
    let alert = |name: &str, annotations: Value| json!({"status": "firing", "labels": {"alertname": "A"}, "annotations": annotations, "fingerprint": name, "startsAt": "2026-11-28T12:00:00Z"});
    let alerts = [alert("1", annotations.into()), alert("2", json!({"summary": "short"}))];
    let payload = json!({"status": "firing", "alerts": alerts});
    let stored = daemon.send(&Request::post("/hooks/alertmanager/search").key(&key).json(&payload));
    assert_eq!((stored.status, &stored.json()["stored"]), (200, &json!(2)), "{}", stored.text());
    let mut stream = daemon.stream(&key, "/alerts/search?since=all");
    let whole = [stream.alert().unwrap(), stream.alert().unwrap()];
    assert!(stream.raw.split(|byte| *byte == b'\n').all(|line| line.len() < MAX_FRAME));
    let marks: Vec<_> = whole.iter().map(|alert| alert["metadata"]["alertd_cut"].is_string()).collect();
    assert_eq!(marks, [true, false], "{whole:?}");
}

#[test]
fn no_character_ends_a_line_before_its_end() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let text = "import stopped\u{2028}row 81\u{2029}column 4\u{85}see the report\u{b}\u{c}\u{1c}\u{1d}\u{1e}\r\n.";
    let answer = daemon.send(&Request::post("/alerts/ops").key(&key).header("Content-Type", "text/plain").body(text));
    let metadata = json!({"message": text, "metadata": {text: [text]}});
    let answers = [answer, daemon.send(&Request::post("/alerts/ops").key(&key).json(&metadata))];
    let refused = daemon.send(&Request::post("/alerts/ops").key(&key).json(&json!({text: 1})));
    let history = Request::get("/alerts/ops?since=all").key(&key).header("Accept", "application/json");
    let gap = format!("/alerts/ops?last_event_id={}", text.replace(['\r', '\n'], "").replace(' ', "+"));
    let gap = gap
        .bytes()
        .map(|byte| if byte.is_ascii_graphic() { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    let mut stream = daemon.stream(&key, &gap.collect::<String>());
    assert!(stream.until("gap").data.contains("\\u2028"));
    // A label of a key is the only text of others in an answer with a secret.
    let label = "two\u{2028}lines\u{2029}";
    let made = Request::post("/keys").json(&json!({"user": "bob", "label": label})).over(&daemon.control());
    assert_eq!((made.status, made.json()["key"]["label"].as_str()), (201, Some(label)));
    assert!(!made.text().contains(['\u{2028}', '\u{2029}']), "{:?}", made.text());
    let sent = [
        answers[0].text(),
        answers[1].text(),
        refused.text(),
        daemon.send(&history).text(),
        lines(&daemon, &key, "text/event-stream").join("\n"),
        lines(&daemon, &key, "application/x-ndjson").join("\n"),
        String::from_utf8(stream.raw.clone()).unwrap(),
    ];
    for sent in &sent {
        let ends = ['\u{2028}', '\u{2029}', '\u{85}', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\r'];
        assert!(!sent.contains(ends), "{sent:?}");
        assert!(sent.contains("\\u2028") && sent.contains("\\u0085"), "{sent}");
    }
    assert_eq!(daemon.send(&history).json()["alerts"][1]["metadata"][text][0], text);
}
