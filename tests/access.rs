//! Access to routes: exactly what the OpenAPI document says about each route is checked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Answer, Daemon, Key, Request};

const SCOPES: [&str; 4] = ["publish", "subscribe", "metrics", "admin"];

/// A path and method of the document, with what its description says about access.
struct Operation {
    method: String,
    path: String,
    needs: String,
}

impl Operation {
    /// A request that would store an alert, if anything lets it.
    fn send(&self, daemon: &Daemon, key: &Key) -> Answer {
        // No parameter names anything that exists, so that no key is revoked on the way.
        let path = self.path.replace("{topic}", "ops.db").replace("{id}", "nobody").replace("{file}", "x");
        let is_stream =
            ["/json", "/sse", "/raw"].iter().any(|end| self.path.starts_with("/ntfy/") && path.ends_with(end));
        let path = if is_stream { format!("{path}?poll=1") } else { path };
        let alerts = json!({
            "message": "must not be stored",
            "alerts": [{ "status": "firing", "labels": { "alertname": "x" }, "annotations": {} }],
        });
        let body = if self.path.starts_with("/hooks") { alerts } else { json!({ "message": "must not be stored" }) };
        let request = Request::new(&self.method.to_ascii_uppercase(), &path).key(key);
        // As history, because a stream has no end.
        let request = request.header("Accept", "application/json").header("X-GitHub-Event", "ping");
        daemon.send(&if ["put", "post"].contains(&self.method.as_str()) { request.json(&body) } else { request })
    }

    fn is_permitted(&self, scopes: &BTreeSet<&str>) -> bool {
        let mut named = SCOPES.iter().filter(|scope| self.needs.contains(&format!("scope `{scope}`"))).peekable();
        match named.peek() {
            None => !self.needs.contains("control socket"),
            Some(_) => named.any(|scope| scopes.contains(scope)),
        }
    }
}

fn operations(daemon: &Daemon) -> Vec<Operation> {
    let document = daemon.send(&Request::get("/openapi.json")).json();
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| Operation {
            method: method.clone(),
            path: path.clone(),
            needs: operation["description"].as_str().unwrap().to_owned(),
        })
    });
    all.collect()
}

fn stored(daemon: &Daemon) -> Value {
    let status = daemon.status();
    json!([status["engine"]["alerts"], status["engine"]["head"], status["hub"]["head"]])
}

#[test]
fn a_key_reaches_exactly_the_routes_of_its_scopes_and_stores_nothing_without_publish() {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("github"), "a secret of some length").unwrap();
    let hook = format!("[hooks]\ngithub_secret_file = \"{}/github\"\n", secrets.path().display());
    let daemon = Daemon::with(&format!("stage = \"dev\"\n{hook}[limits]\nfailed_auth_rate = 0\npublish_rate = 0\n"));
    let operations = operations(&daemon);
    assert!(operations.len() > 30, "{}", operations.len());
    let before = stored(&daemon);
    // Combinations with `publish` come last, so that the log stays empty until then.
    for bits in (1..16_u8).filter(|bits| bits & 1 == 0).chain((1..16).filter(|bits| bits & 1 == 1)) {
        let scopes: BTreeSet<_> = (0..4).filter(|bit| bits & (1 << bit) != 0).map(|bit| SCOPES[bit]).collect();
        let key = daemon.key_with(&json!({ "user": "tester", "scopes": scopes }));
        for operation in &operations {
            let Operation { method, path, needs } = operation;
            let answer = operation.send(&daemon, &key);
            let shown = format!("{method} {path} with {scopes:?} ({needs}): {answer:?}");
            if needs.contains("signature") {
                assert_eq!(answer.status, 401, "{shown}");
            } else if operation.is_permitted(&scopes) {
                assert!(![401, 403].contains(&answer.status), "{shown}");
            } else {
                let is_ntfys = path.starts_with("/ntfy") || path == "/";
                let kind = if is_ntfys { answer.json()["code"].to_string() } else { answer.problem() };
                let wanted = if is_ntfys { "40301" } else { "not-permitted" };
                assert_eq!((answer.status, kind.as_str()), (403, wanted), "{shown}");
            }
        }
        if !scopes.contains("publish") {
            assert_eq!(stored(&daemon), before, "{scopes:?}");
        }
    }
    assert_ne!(stored(&daemon), before, "no request of this test stores anything, whatever the scopes");
}

#[test]
fn without_a_key_only_open_routes_answer() {
    let daemon = Daemon::with("stage = \"dev\"\n[limits]\nfailed_auth_rate = 0\n");
    let nobody = Key { id: String::new(), secret: "nonsense".into() };
    let before = stored(&daemon);
    for operation in operations(&daemon) {
        let answer = operation.send(&daemon, &nobody);
        let Operation { method, path, needs } = operation;
        let is_open = needs.contains("Needs no key");
        // The GitHub hook is off here.
        let is_refused = answer.status == if needs.contains("signature") { 404 } else { 401 };
        assert_eq!(is_refused, !is_open, "{method} {path} ({needs}): {answer:?}");
    }
    assert_eq!(stored(&daemon), before);
}
