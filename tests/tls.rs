//! TLS as alertd ends it: protocols, what it refuses, and what it tells browsers.

use std::process::{Command, Stdio};

use crate::harness::{Daemon, Request, Transport, told};

/// What `openssl s_client` says about a connection with these options.
fn connected(daemon: &Daemon, options: &[&str]) -> String {
    let address = format!("localhost:{}", daemon.address.port());
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &address, "-CAfile"]).arg(daemon.trusted().unwrap()).args(options);
    told(&client.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn only_tls_1_2_and_1_3_with_forward_secrecy_are_spoken() {
    let daemon = Daemon::on(Transport::Tls, "");
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = connected(&daemon, &[version]);
        assert!(said.contains(&format!("New, {name}, Cipher is")) && said.contains("Verification: OK"), "{said}");
        assert!(said.contains("Compression: NONE"), "{said}");
        assert!(said.contains("Secure Renegotiation IS supported") == (version == "-tls1_2"), "{said}");
    }
    // With security level 0, so that it is not the client who refuses.
    for version in ["-tls1", "-tls1_1"] {
        let said = connected(&daemon, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(said.contains("Cipher is (NONE)"), "{version}: {said}");
    }
    for cipher in
        ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "NULL", "aNULL", "DHE", "3DES", "CAMELLIA"]
    {
        let said = connected(&daemon, &["-tls1_2", "-cipher", &format!("{cipher}:@SECLEVEL=0")]);
        assert!(said.contains("Cipher is (NONE)") || said.contains("no cipher match"), "{cipher}: {said}");
    }
    let said = connected(&daemon, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    assert!(said.contains("Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"), "{said}");
}

#[test]
fn clients_choose_between_http_1_1_and_http_2_by_alpn() {
    let daemon = Daemon::on(Transport::Tls, "");
    for (offered, chosen) in
        [("h2,http/1.1", "h2"), ("http/1.1,h2", "h2"), ("http/1.1", "http/1.1"), ("http/1.0", "http/1.0")]
    {
        let said = connected(&daemon, &["-alpn", offered]);
        assert!(said.contains(&format!("ALPN protocol: {chosen}\n")), "{offered}: {said}");
    }
    let said = connected(&daemon, &["-alpn", "imap"]);
    assert!(said.contains("no application protocol"), "{said}");
    let url = format!("https://localhost:{}/livez", daemon.address.port());
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", option, "-o", "/dev/null", "-w", "%{http_version} %{response_code}", "--cacert"]);
        let said = curl.arg(daemon.trusted().unwrap()).arg(&url).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), format!("{version} 200"));
    }
}

#[test]
fn browsers_are_asked_to_stay_with_tls_only_over_tls_and_where_it_is_set() {
    let strict = |daemon: &Daemon, path: &str| {
        daemon.send(&Request::get(path)).header("strict-transport-security").map(str::to_owned)
    };
    let plain = Daemon::with("[http]\nhsts = \"365d\"\n");
    assert_eq!(strict(&plain, "/"), None);
    let daemon = Daemon::on(Transport::Tls, "");
    assert_eq!(strict(&daemon, "/"), None);
    daemon.configure("[http]\nhsts = \"365d\"\n");
    assert_eq!(Request::post("/reload").over(&daemon.control()).status, 200);
    for path in ["/", "/livez", "/alerts", "/no-such-path"] {
        assert_eq!(strict(&daemon, path).as_deref(), Some("max-age=31536000"), "{path}");
    }
    assert_eq!(Request::get("/livez").over(&daemon.control()).header("strict-transport-security"), None);
    let url = format!("https://localhost:{}/livez", daemon.address.port());
    let mut curl = Command::new("curl");
    let said = curl.args(["-sSi", "--http2", "--cacert"]).arg(daemon.trusted().unwrap()).arg(url).output().unwrap();
    assert!(told(&said).contains("strict-transport-security: max-age=31536000"), "{}", told(&said));
}
