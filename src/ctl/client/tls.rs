//! TLS to a remote daemon, with the system's trust store.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::Cause;

/// The certificates that this machine trusts, or those in `SSL_CERT_FILE` and `SSL_CERT_DIR`.
///
/// # Errors
/// A message for the user, if there are none.
pub(super) fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Unreadable files are ignored as long as others can be read. If one was needed, the handshake fails.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    Err(format!(
        "no trusted certificate authority found ({}); install ca-certificates or set SSL_CERT_FILE",
        if reasons.is_empty() { "the trust store is empty".to_owned() } else { reasons.join(", ") }
    ))
}

/// Why a handshake failed, if the message of rustls says so.
#[must_use]
pub(super) fn cause(message: &str) -> Cause {
    if message.contains("InvalidContentType") {
        Cause::NoTls
    } else if message.contains("CaUsedAsEndEntity") {
        Cause::IsAuthority
    } else {
        Cause::Tls
    }
}

/// Performs the TLS handshake on a connection.
///
/// # Errors
/// A message for the user, if the handshake fails or the peer's certificate is not valid.
pub(super) async fn handshake(
    roots: RootCertStore,
    host: &str,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.map_err(|e| e.to_string())?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("{host}: {e}"))?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    /// A self-signed certificate for localhost and 127.0.0.1.
    const CERTIFICATE: &[u8] = b"\
-----BEGIN CERTIFICATE-----
MIIBjTCCATSgAwIBAgIUC76x9AYKsAXUC/SB0r6pz4rnoycwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjQxMTA4MzRaGA8yMTI2MTAzMTExMDgz
NFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDtE
+8NOfC9v8Wj3ut2A8oHG72MUSzd2F+zcq2BgTcf5IMkb7oWo/TudpevvdA8E0W/t
k5Q3GBCNTPz/cBKxskCjbDBqMB0GA1UdDgQWBBQW/Tpq5v2BmLbbGswS1sBjHBPU
EDAfBgNVHSMEGDAWgBQW/Tpq5v2BmLbbGswS1sBjHBPUEDAaBgNVHREEEzARggls
b2NhbGhvc3SHBH8AAAEwDAYDVR0TAQH/BAIwADAKBggqhkjOPQQDAgNHADBEAiAY
Rb3QxZV5fPquT2NL+JuoY3fcRX1GJ/lf2KukszXCVAIgW0GVYHnOvv2CRVViVNVg
CyOQ04ZAo7JbfLAA+Qi4Nu0=
-----END CERTIFICATE-----
";
    const KEY: &[u8] = b"\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgynW19ouXumXfAJPg
UXuFX4hlY+XKu8cVHUeFx+U0mJ+hRANCAAQ7RPvDTnwvb/Fo97rdgPKBxu9jFEs3
dhfs3KtgYE3H+SDJG+6FqP07naXr73QPBNFv7ZOUNxgQjUz8/3ASsbJA
-----END PRIVATE KEY-----
";

    async fn connect(host: &str, trusted: bool) -> Result<(), String> {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], PrivateKeyDer::from_pem_slice(KEY).unwrap())
            .unwrap();
        let server = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            // Fails if the client does not trust the certificate, which the test expects.
            drop(tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(tcp).await);
        });
        let mut roots = RootCertStore::empty();
        if trusted {
            roots.add(certificate).unwrap();
        }
        let done = handshake(roots, host, TcpStream::connect(address).await.unwrap()).await;
        server.await.unwrap();
        done.map(drop)
    }

    #[tokio::test]
    async fn only_a_trusted_certificate_for_the_host_name_is_accepted() {
        assert_eq!(connect("localhost", true).await, Ok(()));
        assert_eq!(connect("127.0.0.1", true).await, Ok(()));
        assert!(connect("example.org", true).await.unwrap_err().contains("not valid for name"));
        assert!(connect("localhost", false).await.unwrap_err().contains("UnknownIssuer"));
    }
}
