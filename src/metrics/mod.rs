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
    /// OpenMetrics 1.0, for who asks for it.
    OpenMetrics,
}

impl Exposition {
    /// The form for these `Accept` headers: OpenMetrics where it is named, with whatever weight. Nobody is turned away.
    #[must_use]
    pub(crate) fn choose<'a>(accept: impl IntoIterator<Item = &'a str>) -> Self {
        let mut ranges = accept.into_iter().flat_map(|header| header.split(',')).map(str::trim);
        let named = ranges.any(|range| {
            let mut parts = range.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"))
                && parts.all(|part| !["q=0", "q=0.0", "q=0.00", "q=0.000"].contains(&part))
        });
        if named { Self::OpenMetrics } else { Self::Classic }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_who_names_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, wanted) in [
            (prometheus, Exposition::OpenMetrics),
            ("Application/OpenMetrics-Text", Exposition::OpenMetrics),
            ("application/openmetrics-text; q=0, */*", Exposition::Classic),
            ("text/plain;version=0.0.4", Exposition::Classic),
            ("*/*", Exposition::Classic),
            ("text/html", Exposition::Classic),
            ("", Exposition::Classic),
        ] {
            assert_eq!(Exposition::choose([accept]), wanted, "{accept}");
        }
        assert_eq!(Exposition::choose([]), Exposition::Classic);
        assert_eq!(Exposition::choose(["text/plain", "application/openmetrics-text"]), Exposition::OpenMetrics);
    }
}
