//! Writes the metrics for Prometheus, in one of two text formats.
//!
//! Called by the HTTP layer with the measurements of the service; it measures nothing itself. [`catalogue`] lists all metrics,
//! and `packaging/doc/metrics.md` documents them. The number of series is bounded, whatever publishers and subscribers do.

mod catalogue;
mod classic;
mod process;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::service::Measurements;
use catalogue::Catalogue;
use process::ProcessMetrics;

/// The text format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposition {
    /// The text format that every version of Prometheus reads.
    Classic,
    /// OpenMetrics 1.0, for scrapers that ask for it.
    OpenMetrics,
}

impl Exposition {
    #[must_use]
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    #[must_use]
    pub(crate) fn write(self, measurements: Measurements) -> String {
        let mut registry = Registry::default();
        if let Some(process) = measurements.process {
            let started = measurements.started.as_secs_f64();
            registry.register_collector(Box::new(ProcessMetrics { process, started }));
        }
        registry.sub_registry_with_prefix("alertd").register_collector(Box::new(Catalogue(measurements)));
        let mut text = String::with_capacity(16 << 10);
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &registry);
        match self {
            Self::Classic => classic::from_openmetrics(&text),
            Self::OpenMetrics => text,
        }
    }
}
