//! TLS. A reload replaces the certificate without touching open connections.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::certificate::Certificate;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("http.tls_cert: {}: {reason}", path.display())]
    Certificate { path: PathBuf, reason: String },
    #[error("http.tls_key: {}: {reason}", path.display())]
    Key { path: PathBuf, reason: String },
    #[error("{0}\n{1}")]
    Both(Box<Self>, Box<Self>),
}

/// The certificate for new connections; open ones keep theirs.
pub(crate) struct Tls {
    config: ArcSwap<rustls::ServerConfig>,
    /// None if its validity cannot be read.
    certificate: ArcSwapOption<Certificate>,
}

impl Tls {
    /// Reads a PEM certificate chain and its key.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let (config, first) = read(cert, key)?;
        let certificate = Certificate::read(&first, cert).map(Arc::new);
        if let Err(error) = &certificate {
            tracing::debug!(%error, "the validity of the certificate in {} cannot be read", cert.display());
        }
        Ok(Self { config: ArcSwap::new(config), certificate: ArcSwapOption::new(certificate.ok()) })
    }

    pub(crate) fn replace(&self, new: &Self) {
        self.config.store(new.config.load_full());
        self.certificate.store(new.certificate.load_full());
    }

    /// The certificate that new connections get.
    #[must_use]
    pub(crate) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.load_full()
    }

    #[must_use]
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

/// A file of PEM, without the byte order mark that some editors write.
fn pem(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut text = Zeroizing::new(std::fs::read(path).map_err(|e| e.to_string())?);
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(text)
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    if chain.is_empty() { Err("contains no certificate in PEM format".into()) } else { Ok(chain) }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let has = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    // PKCS #8, and the format that OpenSSL wrote before it.
    if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err("is encrypted, and a daemon cannot ask for the passphrase; write the key without one with \
                    `openssl pkey -in KEY -out NEW`, readable for alertd only"
            .into());
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|e| match e {
        pem::Error::NoItemsFound => "contains no private key in PEM format".into(),
        e => e.to_string(),
    })
}

/// The configuration with a chain and its key, and the first certificate of the chain.
fn read(cert: &Path, key: &Path) -> Result<(Arc<rustls::ServerConfig>, CertificateDer<'static>), TlsError> {
    let bad_cert = |reason: String| TlsError::Certificate { path: cert.to_owned(), reason };
    let bad_key = |reason: String| TlsError::Key { path: key.to_owned(), reason };
    let chain = pem(cert).and_then(|text| certificates(&text)).map_err(bad_cert);
    let private = pem(key).and_then(|text| private_key(&text)).map_err(bad_key);
    let (chain, private) = match (chain, private) {
        (Ok(chain), Ok(private)) => (chain, private),
        (Err(chain), Err(private)) => return Err(TlsError::Both(Box::new(chain), Box::new(private))),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let first = chain[0].clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad_cert(e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => bad_key(format!(
                "is not the key of the certificate in {}; use the key that the certificate was requested with",
                cert.display()
            )),
            rustls::Error::InvalidCertificate(_) => bad_cert(format!("cannot be used: {error}")),
            error => bad_key(format!("cannot be used: {error}")),
        })?;
    // `curl --http1.0` offers nothing but the last one.
    config.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"].map(<[u8]>::to_vec).to_vec();
    Ok((Arc::new(config), first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_or_key_is_refused() {
        for text in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nMIIF\n-----END CERTIFICATE-----\n"] {
            assert_eq!(private_key(text.as_bytes()).unwrap_err(), "contains no private key in PEM format");
        }
        assert_eq!(certificates(b"").unwrap_err(), "contains no certificate in PEM format");
    }
}
