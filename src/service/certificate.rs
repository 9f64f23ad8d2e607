//! The end of the certificate that clients see, for status, metrics and the journal.

use super::Service;
use crate::alert::rfc3339;
use crate::api::CertificateStatus;
use crate::certificate::{Certificate, Remaining};
use crate::log::Event;

impl Service {
    /// Logs how near the end is, whenever that has changed: at the start, after a reload, 30, 7 and 1 days before it, and
    /// daily after it.
    pub(crate) fn note_certificate(&self) {
        let settings = self.settings.load();
        let now_ms = self.now_ms();
        let Some(certificate) = &settings.certificate else { return };
        let news = (certificate.not_after_ms, certificate.remaining(now_ms));
        if self.certificate_told.lock().replace(news) == Some(news) {
            return;
        }
        let Some(warning) = certificate.warning(now_ms) else { return };
        let file = certificate.file.display();
        match news.1 {
            Remaining::Valid | Remaining::Ends { .. } => {
                tracing::warn!(message_id = %Event::CertificateEnds, %file, "{warning}");
            }
            Remaining::Expired { .. } | Remaining::NotYetValid => {
                tracing::error!(message_id = %Event::CertificateNotValid, %file, "{warning}");
            }
        }
    }

    /// What an operator has to know about the certificate.
    #[must_use]
    pub(crate) fn certificate_warning(&self) -> Option<String> {
        self.settings.load().certificate.as_ref().and_then(|certificate| certificate.warning(self.now_ms()))
    }

    pub(super) fn certificate_status(&self) -> Option<CertificateStatus> {
        let settings = self.settings.load();
        let Certificate { file, not_after_ms, .. } = &**settings.certificate.as_ref()?;
        Some(CertificateStatus {
            file: file.display().to_string(),
            expires_at: rfc3339(*not_after_ms),
            warning: self.certificate_warning(),
        })
    }
}
