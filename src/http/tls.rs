//! TLS. A reload replaces the certificate without touching open connections.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("http.tls_cert: {}: {reason}", path.display())]
    Certificate { path: PathBuf, reason: String },
    #[error("http.tls_key: {}: {reason}", path.display())]
    Key { path: PathBuf, reason: String },
}

/// The certificate for new connections; open ones keep theirs.
pub(crate) struct Tls(ArcSwap<rustls::ServerConfig>);

impl Tls {
    /// Reads a PEM certificate chain and its key.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::new(read(cert, key)?)))
    }

    /// Replaces certificate and key.
    pub(crate) fn replace(&self, new: &Self) {
        self.0.store(new.0.load_full());
    }

    #[must_use]
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

fn read(cert: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let bad_cert = |reason: String| TlsError::Certificate { path: cert.to_owned(), reason };
    let bad_key = |reason: String| TlsError::Key { path: key.to_owned(), reason };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| bad_cert(e.to_string()))?;
    if chain.is_empty() {
        return Err(bad_cert("holds no certificate in PEM form".into()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| bad_key(e.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad_cert(e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|e| bad_key(format!("does not match the certificate: {e}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
