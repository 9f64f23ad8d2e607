//! What Prometheus reads: all measurements with their names, types and meaning, in one of the two text forms.
//!
//! Called by the HTTP layer with what the service measured; it measures and keeps nothing itself. [`catalogue`] is the
//! list of all metrics, and `packaging/doc/metrics.md` is it for people. Always true: whatever publishers and readers do,
//! the number of series is bounded.

mod catalogue;
mod classic;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::service::Measurements;
use catalogue::Catalogue;

/// How the metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposition {
    /// The text format that every version of Prometheus reads.
    Classic,
    /// OpenMetrics 1.0, for scrapers that ask for it.
    OpenMetrics,
}

impl Exposition {
    /// The media type of the answer.
    #[must_use]
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes what was measured.
    #[must_use]
    pub(crate) fn write(self, measured: Measurements) -> String {
        let mut registry = Registry::with_prefix("alertd");
        registry.register_collector(Box::new(Catalogue(measured)));
        let mut text = String::with_capacity(16 << 10);
        // A String takes all that is written.
        let _ = encode(&mut text, &registry);
        match self {
            Self::Classic => classic::from_openmetrics(&text),
            Self::OpenMetrics => text,
        }
    }
}
