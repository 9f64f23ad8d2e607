//! Alerts that are too large for a reader: none of them is a frame of more than 64 KiB, and what was cut says so.

use serde_json::{Value, json};

use crate::harness::{Daemon, Request};

const MAX_FRAME: usize = 64 << 10;

/// The frames of all alerts of a topic, as they are on the wire without the chunked coding.
fn frames(daemon: &Daemon, topic: &str, accept: &str) -> Vec<String> {
    let request = Request::get(&format!("/alerts/{topic}?since=all")).header("Accept", accept);
    let text = request.over(&daemon.control()).text();
    let ends = if accept == "text/event-stream" { "\n\n" } else { "\n" };
    text.split_inclusive(ends).filter(|frame| frame.contains("\"received_at\"")).map(str::to_owned).collect()
}

fn alerts(daemon: &Daemon, topic: &str) -> Vec<Value> {
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let frames = frames(daemon, topic, accept);
        assert!(!frames.is_empty());
        for frame in frames {
            assert!(frame.len() <= MAX_FRAME, "{topic}: {} bytes as {accept}", frame.len());
            // Clients split lines as Unicode does.
            assert!(!frame.contains(['\u{85}', '\u{2028}', '\u{2029}']), "{topic}");
        }
    }
    let request = Request::get(&format!("/alerts/{topic}?since=all")).header("Accept", "application/json");
    request.over(&daemon.control()).json()["alerts"].as_array().unwrap().clone()
}

#[test]
fn what_hooks_send_is_cut_to_a_frame_and_says_so() {
    // Streams that end by themselves.
    let daemon = Daemon::with("[http]\nstream_lifetime = \"1s\"\n[hooks]\nmax_body = \"4MiB\"\n");
    let key = daemon.key("alice");
    let annotations = |number: usize, text: &str| -> Value {
        (0..number).map(|n| (format!("shards_{n:02}"), json!(text))).collect::<serde_json::Map<_, _>>().into()
    };
    let text = "a shard waits for a copy; ".repeat(150);
    let cases = [
        ("annotations", json!({"annotations": annotations(20, &text)})),
        ("labels", json!({"labels": annotations(600, &"x".repeat(500))})),
        ("members", json!({"labels": annotations(20_000, "y")})),
        ("escapes", json!({"annotations": annotations(10, &"\u{2028}\u{1}".repeat(1000))})),
        ("urls", json!({"generatorURL": format!("http://prometheus.example/?q={}", "z".repeat(600_000))})),
        ("values", json!({"values": {"B": "v".repeat(300_000)}})),
    ];
    for (topic, more) in cases {
        let mut alert = json!({
            "status": "firing", "fingerprint": topic, "startsAt": "s", "endsAt": "0001-01-01T00:00:00Z",
            "annotations": {"summary": "20 shards have no copy"}
        });
        alert.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let group = json!({ "alerts": [alert] });
        let answer = daemon.send(&Request::post(&format!("/hooks/grafana/{topic}")).key(&key).json(&group));
        assert_eq!((answer.status, answer.json()["stored"].as_u64()), (200, Some(1)), "{topic}: {answer:?}");
        let alert = alerts(&daemon, topic).remove(0);
        let metadata = &alert["metadata"];
        assert!(metadata["alertd_cut"].is_string(), "{topic}: {}", metadata);
        assert_eq!((&metadata["status"], &metadata["source"]), (&json!("firing"), &json!("grafana")), "{topic}");
    }
    let issue = json!({
        "action": "opened", "issue": {"title": "t".repeat(200_000), "number": 1, "html_url": "u".repeat(200_000)},
        "repository": {"full_name": "octo/hello"}
    });
    let github =
        Request::post("/hooks/github/github").header("X-GitHub-Event", "issues").header("X-GitHub-Delivery", "d");
    assert_eq!(github.json(&issue).over(&daemon.control()).status, 200);
    let alert = alerts(&daemon, "github").remove(0);
    assert!(alert["message"].as_str().unwrap().ends_with("t…") && alert["metadata"]["alertd_cut"].is_string());
}

#[test]
fn texts_forms_and_the_command_line_are_cut_to_a_frame_too() {
    let daemon = Daemon::with("[http]\nstream_lifetime = \"1s\"\nmax_body = \"1MiB\"\n");
    let key = daemon.key("alice");
    let form = format!("message=x&log={}", (0..300).map(|n| format!("&f{n}={}", "y".repeat(1000))).collect::<String>());
    let request = Request::post("/alerts/form").key(&key).header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(daemon.send(&request.body(form)).status, 200);
    let control = "\u{1}".repeat(10_000);
    assert_eq!(daemon.send(&Request::post("/alerts/text").key(&key).body(control)).status, 200);
    let metadata: serde_json::Map<String, Value> =
        (0..30).map(|n| (format!("m{n}"), "z".repeat(9000).into())).collect();
    let json = json!({"message": "x", "metadata": metadata});
    let strict = daemon.send(&Request::post("/alerts/json").key(&key).json(&json));
    assert_eq!((strict.status, strict.problem().as_str()), (422, "invalid"));
    assert_eq!(daemon.send(&Request::post("/alerts/json?cut=1").key(&key).json(&json)).status, 200);
    let output = daemon.ctl(&["publish", "-t", "ctl", "-m", &format!("log={}", "w".repeat(100_000)), "x"]);
    assert!(output.status.success(), "{}", crate::harness::told(&output));
    for topic in ["form", "json", "ctl"] {
        assert!(alerts(&daemon, topic)[0]["metadata"]["alertd_cut"].is_string(), "{topic}");
    }
    assert!(alerts(&daemon, "text")[0]["message"].as_str().unwrap().ends_with('…'));
}
