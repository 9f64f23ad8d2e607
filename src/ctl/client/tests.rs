//! The client against peers that are slow, absent or not alertd.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::address::{Address, Environment};
use super::{Client, ClientError, Credential, KeySource, Request, encoded, target};
use crate::ctl::exit::Failure;
use crate::ctl::testing::{Reply, Server};

/// A peer on TCP that reads a request, answers with these bytes and closes. Its task returns the request.
async fn peer(answer: &'static [u8]) -> (Address, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap());
    let environment = Environment { url: Some(url), socket: None };
    let address = Address::chosen(None, None, None, &environment).unwrap().unwrap();
    let task = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(tcp.read_u8().await.unwrap());
        }
        tcp.write_all(answer).await.unwrap();
        String::from_utf8(seen).unwrap()
    });
    (address, task)
}

fn key(text: &str) -> Option<Credential> {
    Some(Credential { key: Zeroizing::new(text.to_owned()), source: KeySource::File("/keys/own".into()) })
}

#[tokio::test]
async fn a_remote_daemon_gets_the_key_in_a_header_and_the_path_after_its_prefix() {
    let (address, seen) = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let client = Client::new(address, key("secret"));
    client.send(Request::get("/status")).await.unwrap().bytes().await.unwrap();
    let seen = seen.await.unwrap().to_lowercase();
    assert!(seen.starts_with("get /base/status http/1.1") && seen.contains("authorization: bearer secret"), "{seen}");
}

#[tokio::test]
async fn a_key_that_cannot_be_sent_is_refused_without_being_shown() {
    let (address, _seen) = peer(b"").await;
    let error = Client::new(address, key("sec\nret")).send(Request::get("/")).await.err().unwrap();
    assert!(matches!(error, ClientError::Unsendable { .. }) && !error.to_string().contains("sec\n"), "{error}");
}

#[tokio::test]
async fn each_error_has_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = Client::new(Address::Socket(dir.path().join("none")), None);
    let error = nowhere.send(Request::get("/")).await.err().unwrap();
    assert!(error.is_absent() && error.is_transient());
    let failure = Failure::from(error);
    assert!(failure.code() == 69 && failure.to_string().contains("/none"), "{failure}");

    for (status, code, is_transient) in
        [(400, 1, false), (401, 77, false), (429, 69, true), (502, 69, true), (503, 69, true)]
    {
        let reply = Reply::problem(status, "the daemon's detail").header("Retry-After: 7");
        let server = Server::always(reply).await;
        let error = Client::new(server.address(), None).send(Request::get("/")).await.err().unwrap();
        assert_eq!(
            (error.is_transient(), error.retry_after()),
            (is_transient, Some(Duration::from_secs(7))),
            "{status}"
        );
        let failure = Failure::from(error);
        let words = if status == 401 { "requires a key" } else { "the daemon's detail" };
        assert!(failure.code() == code && failure.to_string().contains(words), "{failure}");
    }
    let server = Server::always(Reply::whole(502, "text/html", "<html>Bad Gateway</html>")).await;
    let error = Client::new(server.address(), None).send(Request::get("/")).await.err().unwrap();
    assert!(error.to_string().starts_with("Bad Gateway ("), "{error}");
}

#[tokio::test]
async fn a_refusal_names_the_key_the_address_and_what_to_do() {
    let refused = async |status: u16, about: &str| {
        let body = format!(
            r#"{{"type":"x","title":"x","status":{status},"detail":"since: is odd","request_id":"r",{about}}}"#
        );
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (address, _seen) = peer(answer.leak().as_bytes()).await;
        let url = address.to_string();
        let error = Client::new(address, key("secret")).send(Request::get("/")).await.err().unwrap();
        let said = Failure::from(error).to_string();
        assert!(said.contains(&url) && !said.contains("secret"), "{said}");
        said
    };
    for (status, about, words) in [
        (401, r#""x":1"#, &["/keys/own", "alertctl key add USER"][..]),
        (403, r#""scope":"admin""#, &["/keys/own", "alertctl key add USER --scope admin"]),
        (403, r#""topic":"ops.*","topics":["web","db.*"]"#, &["/keys/own", "only web, db.*", "--topic 'ops.*'"]),
        (422, r#""field":"since""#, &["--since: is odd", "--help"]),
        (422, r#""field":"novelty""#, &["since: is odd"]),
    ] {
        let said = refused(status, about).await;
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[tokio::test]
async fn an_unreachable_address_is_named_with_a_remedy() {
    // Bound, so that no other process gets the port, but not listening.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    silent.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let address = silent.local_addr().unwrap().as_socket().unwrap();
    // The label is too long for a name, so no name server is asked.
    let nowhere = format!("http://{}.invalid", "x".repeat(64));
    for (url, words) in [
        (format!("http://{address}"), &["no process listens on that port", "http.listen", "ALERTCTL_URL"][..]),
        (nowhere, &["correct the host"]),
    ] {
        let address = Address::chosen(Some(&url), None, None, &Environment::default()).unwrap().unwrap();
        let failure = Failure::from(Client::new(address, None).send(Request::get("/")).await.err().unwrap());
        assert!(failure.code() == 69 && words.iter().all(|word| failure.to_string().contains(word)), "{failure}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_answer_in_time_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let address = Address::chosen(Some(&url), None, None, &Environment::default()).unwrap().unwrap();
    let request = Request::get("/").timeout(Duration::from_millis(30));
    let error = Client::new(address, None).send(request.clone()).await.err().unwrap();
    assert!(matches!(&error, ClientError::Broken { reason, .. } if reason.contains("0.03 s")), "{error}");
    // The head arrives, the body does not.
    let server = Server::always(Reply::Held("x".into())).await;
    let answer = Client::new(server.address(), None).send(request).await.unwrap();
    assert!(matches!(answer.bytes().await, Err(ClientError::Broken { .. })));
}

#[tokio::test]
async fn a_peer_that_speaks_another_protocol_is_an_error() {
    let (address, _seen) = peer(b"SSH-2.0-x\r\n").await;
    assert!(matches!(Client::new(address, None).send(Request::get("/")).await, Err(ClientError::Broken { .. })));
    let server = Server::always(Reply::json(200, "[1,")).await;
    let answer = Client::new(server.address(), None).send(Request::get("/")).await.unwrap();
    assert!(matches!(answer.json::<serde_json::Value>().await, Err(ClientError::Foreign { .. })));
}

#[test]
fn values_are_encoded_so_that_they_cannot_change_a_url() {
    assert_eq!(encoded("a b/c?d=e&f#ä"), "a%20b%2Fc%3Fd%3De%26f%23%C3%A4");
    assert_eq!(
        target("/alerts", &[("topic", "ops.*".into()), ("since", "a+b".into())]),
        "/alerts?topic=ops.*&since=a%2Bb"
    );
    assert_eq!(target("/alerts", &[]), "/alerts");
}
