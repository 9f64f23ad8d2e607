//! Malformed requests, each with the exact status and kind of problem.

use crate::harness::{Daemon, Key, Request, raw};

/// A request without an `Authorization` of its own gets the good key.
fn cases(key: &Key) -> Vec<(Request, u16, &'static str)> {
    let put = |body: &str| Request::new("PUT", "/alerts").header("Content-Type", "application/json").body(body);
    let typed = |kind: &str, body: &str| Request::post("/alerts").header("Content-Type", kind).body(body);
    let accept = |accept: &str| Request::get("/alerts").header("Accept", accept);
    let history = |query: &str| Request::get(&format!("/alerts?{query}")).header("Accept", "application/json");
    let with = |authorization: &str| Request::get("/health").header("Authorization", authorization);
    let long = "x".repeat(4097);
    let m = "malformed";
    let i = "invalid";
    vec![
        // Bodies that are not JSON.
        (put(""), 400, m),
        (put("{"), 400, m),
        (put("}"), 400, m),
        (put("{\"message\":\"x\""), 400, m),
        (put("{\"message\":\"x\"} x"), 400, m),
        (put("{\"message\":\"x\",}"), 400, m),
        (put("{'message':'x'}"), 400, m),
        (put("{message:\"x\"}"), 400, m),
        (put("{\"message\":\"a\nb\"}"), 400, m),
        (put("{\"message\":\"\\x\"}"), 400, m),
        (put("{\"message\":NaN}"), 400, m),
        (put(&"[".repeat(20_000)), 400, m),
        (put("").body(b"{\"message\":\"\xff\xfe\"}".to_vec()), 400, m),
        (put("").body(b"{\"message\":\"\xc3\"}".to_vec()), 400, m),
        (put("").body(b"{\"message\":\"\xed\xa0\x80\"}".to_vec()), 400, m),
        // JSON that is not an alert.
        (put("[]"), 422, i),
        (put("null"), 422, i),
        (put("5"), 422, i),
        (put("\"text\""), 422, i),
        (put("{}"), 422, i),
        (put("{\"mesage\":\"x\"}"), 422, i),
        (put("{\"message\":\"x\",\"id\":\"1-0\"}"), 422, i),
        (put("{\"message\":\"x\",\"received_at\":\"now\"}"), 422, i),
        (put("{\"message\":\"x\",\"message\":\"y\"}"), 422, i),
        (put("{\"message\":\"\"}"), 422, i),
        (put("{\"message\":null}"), 422, i),
        (put("{\"message\":5}"), 422, i),
        (put("{\"message\":[\"x\"]}"), 422, i),
        (put(&format!("{{\"message\":\"{long}\"}}")), 422, i),
        (put("{\"message\":\"\\ud800\"}"), 422, i),
        (put("{\"message\":\"x\",\"level\":\"fatal\"}"), 422, i),
        (put("{\"message\":\"x\",\"level\":\"INFO\"}"), 422, i),
        (put("{\"message\":\"x\",\"level\":\"\"}"), 422, i),
        (put("{\"message\":\"x\",\"level\":1}"), 422, i),
        (put("{\"message\":\"x\",\"metadata\":[]}"), 422, i),
        (put("{\"message\":\"x\",\"metadata\":\"k=v\"}"), 422, i),
        (put("{\"message\":\"x\",\"metadata\":1}"), 422, i),
        (put("{\"message\":\"x\",\"topic\":\"\"}"), 422, i),
        (put("{\"message\":\"x\",\"topic\":\"a b\"}"), 422, i),
        (put("{\"message\":\"x\",\"topic\":\"a..b\"}"), 422, i),
        (put("{\"message\":\"x\",\"topic\":\"ops.*\"}"), 422, i),
        (put("{\"message\":\"x\",\"topic\":7}"), 422, i),
        (typed("text/plain", ""), 422, i),
        (typed("application/x-www-form-urlencoded", "message="), 422, i),
        (typed("application/x-www-form-urlencoded", "message=x&topic=a+b"), 422, i),
        (Request::post("/alerts"), 422, i),
        // Topics in the path.
        (Request::post("/alerts/a%20b").body("x"), 422, i),
        (Request::post("/alerts/.a").body("x"), 422, i),
        (Request::post("/alerts/a.").body("x"), 422, i),
        (Request::post("/alerts/*").body("x"), 422, i),
        (Request::post("/alerts/%C3%A4").body("x"), 422, i),
        (Request::post(&format!("/alerts/{}", "a".repeat(129))).body("x"), 422, i),
        (Request::post("/alerts/%FF").body("x"), 400, m),
        (Request::post("/alerts/%zz").body("x"), 400, m),
        (Request::post("/alerts/a/b/c").body("x"), 404, "not-found"),
        (
            Request::post("/alerts/a")
                .header("Content-Type", "application/json")
                .body("{\"message\":\"x\",\"topic\":\"b\"}"),
            422,
            i,
        ),
        // Headers.
        (typed("image/png", "x"), 415, "unsupported-media-type"),
        (typed("application/zip", "").body(b"PK\x03\x04\x00\xff".to_vec()), 415, "unsupported-media-type"),
        (typed("multipart/mixed; boundary=x", "x"), 415, "unsupported-media-type"),
        (typed("multipart/form-data; boundary=x", "x"), 422, i),
        (accept("image/png"), 406, "not-acceptable"),
        (accept("text/html"), 406, "not-acceptable"),
        (accept("application/json;q=0"), 406, "not-acceptable"),
        (put("{\"message\":\"x\"}").header("Idempotency-Key", ""), 422, i),
        (put("{\"message\":\"x\"}").header("Idempotency-Key", &"k".repeat(256)), 422, i),
        (put("{\"message\":\"x\"}").header("Idempotency-Key", "a").header("Idempotency-Key", "b"), 422, i),
        (put("{\"message\":\"x\"}").header("Idempotency-Key", "ä"), 422, i),
        // Queries.
        (
            Request::post("/alerts?level=warn").header("Content-Type", "application/json").body("{\"message\":\"x\"}"),
            422,
            i,
        ),
        (Request::post("/alerts?level=loud").body("x"), 422, i),
        (Request::post("/alerts?lvel=warn").body("x"), 422, i),
        (Request::post("/alerts?topic=ops").body("x"), 422, i),
        (Request::post("/alerts?cut=perhaps").body("x"), 422, i),
        (Request::get("/alerts?level=loud"), 422, i),
        (Request::get("/alerts?level=warn&level=info"), 422, i),
        (history("levl=warn"), 422, i),
        (Request::get("/alerts?since=yesterday"), 422, i),
        (Request::get("/alerts?since=-5m"), 422, i),
        (Request::get("/alerts?since=all&since=none"), 422, i),
        (Request::get("/alerts?topic="), 422, i),
        (Request::get("/alerts?topic=a*"), 422, i),
        (Request::get("/alerts?topic=*.a"), 422, i),
        (Request::get("/alerts/a?topic=b"), 422, i),
        (Request::get(&format!("/alerts?topic=a{}", "&topic=b".repeat(64))), 422, i),
        (Request::get("/alerts?topic=%"), 400, m),
        (Request::get("/alerts?topic=%ff"), 400, m),
        (Request::get("/alerts?limit=5"), 422, i),
        (Request::get("/alerts?before=5-0"), 422, i),
        (history("limit=0"), 422, i),
        (history("limit=1001"), 422, i),
        (history("limit=many"), 422, i),
        (history("before=now"), 422, i),
        (history("before=5"), 422, i),
        (Request::get("/health?x=1"), 422, i),
        // Paths and methods.
        (Request::get("/page/nothing.js"), 404, "not-found"),
        (Request::new("DELETE", "/"), 405, "method-not-allowed"),
        (Request::get("/alert"), 404, "not-found"),
        (Request::get("/alerts/"), 404, "not-found"),
        (Request::get("/docs"), 404, "not-found"),
        (Request::get("/../etc/passwd"), 404, "not-found"),
        (Request::new("DELETE", "/alerts"), 405, "method-not-allowed"),
        (Request::new("PATCH", "/alerts/a"), 405, "method-not-allowed"),
        (Request::post("/health"), 405, "method-not-allowed"),
        (Request::new("PUT", "/keys"), 405, "method-not-allowed"),
        (Request::get("/reload"), 405, "method-not-allowed"),
        (Request::new("BREW", "/alerts"), 405, "method-not-allowed"),
        // Keys.
        (with("Bearer"), 401, "unauthorized"),
        (with("Bearer "), 401, "unauthorized"),
        (with("Basic YTpi"), 401, "unauthorized"),
        (with(&format!("Token {}", key.secret)), 401, "unauthorized"),
        (with(&format!("Bearer {}x", key.secret)), 401, "unauthorized"),
        (with(&format!("Bearer {}", "x".repeat(4000))), 401, "unauthorized"),
        (with("Bearer alertd_alice~aaaaaaaaaa~AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA______"), 401, "unauthorized"),
        (Request::get("/alerts").header("Authorization", "Bearer é"), 401, "unauthorized"),
        (Request::get("/keys"), 403, "not-permitted"),
        (Request::post("/keys").body("{}"), 403, "not-permitted"),
        (Request::new("DELETE", "/keys/x"), 403, "not-permitted"),
        (Request::post("/reload"), 403, "not-permitted"),
        // Oversized.
        (put(&"x".repeat(65_537)), 413, "too-large"),
        (put(&format!("{{\"message\":\"x\",\"metadata\":{{\"k\":\"{}\"}}}}", "y".repeat(70_000))), 413, "too-large"),
    ]
}

#[test]
fn each_malformed_request_has_its_status_and_problem() {
    let daemon = Daemon::with("[limits]\nfailed_auth_rate = 0\n");
    let key = daemon.key("alice");
    let cases = cases(&key);
    assert!(cases.len() >= 80);
    let mut wrong = Vec::new();
    for (request, status, problem) in cases {
        let authorised =
            if format!("{request:?}").contains("Authorization") { request.clone() } else { request.clone().key(&key) };
        let answer = daemon.send(&authorised);
        let is_problem = answer.header("content-type") == Some("application/problem+json");
        let found = if is_problem { answer.problem() } else { answer.text() };
        if (answer.status, found.as_str()) != (status, problem) {
            let shown: String = format!("{request:?}").chars().take(160).collect();
            wrong.push(format!("{shown}\n  wants {status} {problem}, got {} {found}", answer.status));
        }
        if is_problem {
            assert!(answer.json()["detail"].as_str().unwrap().len() > 10, "{answer:?}");
            assert_eq!(answer.header("allow").is_some(), status == 405, "{answer:?}");
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // Nothing was stored, and the daemon still works.
    assert_eq!(daemon.status()["engine"]["alerts"], 0);
    daemon.publish(&key, "default", "well");
}

#[test]
fn broken_frames_end_their_connection_alone() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let bearer = format!("Authorization: Bearer {}\r\n", key.secret);
    let frames: Vec<(Vec<u8>, u16)> = vec![
        (b"\x00\x01\x02\x03\r\n\r\n".to_vec(), 400),
        (b"GET\r\n\r\n".to_vec(), 400),
        (b"GET /health\r\n\r\n".to_vec(), 400),
        (b"GET /health HTTP/9.9\r\n\r\n".to_vec(), 400),
        (b"GET /health HTTP/1.1\r\nBad Header: x\r\n\r\n".to_vec(), 400),
        (b"GET /health HTTP/1.1\r\n: x\r\n\r\n".to_vec(), 400),
        (format!("POST /alerts HTTP/1.1\r\n{bearer}Content-Length: -1\r\n\r\n").into_bytes(), 400),
        (format!("POST /alerts HTTP/1.1\r\n{bearer}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx").into_bytes(), 400),
        (format!("POST /alerts HTTP/1.1\r\n{bearer}Transfer-Encoding: gzip\r\n\r\n").into_bytes(), 400),
        (format!("POST /alerts HTTP/1.1\r\n{bearer}Transfer-Encoding: chunked\r\n\r\nzz\r\n").into_bytes(), 400),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000)).into_bytes(), 414),
        (format!("GET /health HTTP/1.1\r\n{}\r\n", "X-A: b\r\n".repeat(200)).into_bytes(), 431),
        (format!("GET /health HTTP/1.1\r\nX-A: {}\r\n\r\n", "b".repeat(1 << 20)).into_bytes(), 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), 0),
    ];
    for (bytes, status) in frames {
        let answer = raw(daemon.address, &bytes);
        let shown: String = String::from_utf8_lossy(&bytes).chars().take(80).collect();
        assert_eq!(answer.status, status, "{shown:?}: {}", answer.text());
    }
    daemon.publish(&key, "default", "well");
}
