//! Content negotiation: what the `Accept` headers of a request choose, for `/alerts` and for `/metrics`.

use hyper::header::{ACCEPT, HeaderMap};

use crate::metrics::Exposition;
use crate::sse::Format;

/// What `GET /alerts` answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// An endless stream of events.
    Sse,
    /// An endless stream of lines.
    Ndjson,
    /// One page as JSON.
    History,
}

impl Representation {
    /// That of a stream; none for a page.
    #[must_use]
    pub(crate) fn format(self) -> Option<Format> {
        match self {
            Self::Sse => Some(Format::Sse),
            Self::Ndjson => Some(Format::Ndjson),
            Self::History => None,
        }
    }
}

const ALERTS: [((&str, &str), Representation); 3] = [
    (("text", "event-stream"), Representation::Sse),
    (("application", "x-ndjson"), Representation::Ndjson),
    (("application", "json"), Representation::History),
];

/// All representations of alerts, for the error that none is acceptable.
pub(crate) const ALERTS_OFFERED: &str = "text/event-stream, application/x-ndjson and application/json";

/// The representation with the highest quality; of equals the one that a header names most exactly
/// (`application/json, */*` means JSON), then the stream. No header means the stream.
#[must_use]
pub(crate) fn alerts(headers: &HeaderMap) -> Option<Representation> {
    let accepted: Vec<MediaRange<'_>> = accepted(headers).collect();
    if accepted.is_empty() {
        return Some(ALERTS[0].1);
    }
    let scored = ALERTS.iter().filter_map(|(offered, representation)| {
        let matching = accepted.iter().filter_map(|range| Some((range.exactness(*offered)?, range.quality)));
        // The most exact range decides about a type, even if a wider one would allow more.
        let (exactness, quality) = matching.max_by_key(|(exactness, _)| *exactness)?;
        (quality > 0).then_some(((quality, exactness), *representation))
    });
    // `max_by_key` takes the last of equals, and the stream comes first in the table.
    scored.rev().max_by_key(|(score, _)| *score).map(|(_, representation)| representation)
}

/// OpenMetrics if a header names it with a quality above zero. The classic form is the answer to everything else: no
/// scraper is refused.
#[must_use]
pub(crate) fn exposition(headers: &HeaderMap) -> Exposition {
    let is_named = accepted(headers)
        .any(|range| range.exactness(("application", "openmetrics-text")) == Some(2) && range.quality > 0);
    if is_named { Exposition::OpenMetrics } else { Exposition::Classic }
}

/// A range of media types in `Accept`, such as `text/*;q=0.5`.
struct MediaRange<'h> {
    kind: &'h str,
    subtype: &'h str,
    /// Thousandths.
    quality: u32,
}

fn accepted(headers: &HeaderMap) -> impl Iterator<Item = MediaRange<'_>> {
    let texts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = texts.flat_map(|text| text.split(',')).map(str::trim).filter(|range| !range.is_empty());
    ranges.map(MediaRange::parse)
}

impl<'h> MediaRange<'h> {
    fn parse(text: &'h str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next().and_then(|name| name.split_once('/')).unwrap_or_default();
        let written = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let parsed = written.map_or(Some(1.0), |quality| quality.trim().parse::<f32>().ok());
        // An invalid quality counts as 0, which refuses the type.
        let quality = parsed.filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or_default();
        Self { kind, subtype, quality: (quality * 1000.0) as u32 }
    }

    /// How exactly this range names a type; none if it does not include it.
    fn exactness(&self, (kind, subtype): (&str, &str)) -> Option<u8> {
        match (self.kind.eq_ignore_ascii_case(kind), self.subtype) {
            (true, own) if own.eq_ignore_ascii_case(subtype) => Some(2),
            (true, "*") => Some(1),
            (_, "*") if self.kind == "*" => Some(0),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn accept(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (ACCEPT, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_best_representation_that_is_acceptable_is_chosen() {
        let (sse, lines) = (Representation::Sse, Representation::Ndjson);
        for (text, wanted) in [
            ("", Some(sse)),
            ("*/*", Some(sse)),
            ("text/event-stream", Some(sse)),
            ("text/*", Some(sse)),
            ("application/x-ndjson", Some(lines)),
            ("application/json", Some(Representation::History)),
            ("application/json, text/plain, */*", Some(Representation::History)),
            ("text/event-stream;q=0.5, application/json;q=0.4", Some(sse)),
            ("*/*, text/event-stream;q=0", Some(lines)),
            ("APPLICATION/JSON", Some(Representation::History)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(sse)),
            ("application/*", Some(lines)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("application/json;q=2", None),
            ("nonsense", None),
        ] {
            assert_eq!(alerts(&accept(&[text])), wanted, "{text}");
        }
        assert_eq!(alerts(&accept(&["text/html", "application/json"])), Some(Representation::History));
        assert_eq!(alerts(&accept(&[])), Some(sse));
    }

    #[test]
    fn openmetrics_is_for_scrapers_that_name_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (text, wanted) in [
            (prometheus, Exposition::OpenMetrics),
            ("Application/OpenMetrics-Text", Exposition::OpenMetrics),
            ("application/openmetrics-text; q=0, */*", Exposition::Classic),
            ("application/openmetrics-text; q=0.000", Exposition::Classic),
            ("text/plain;version=0.0.4", Exposition::Classic),
            ("*/*", Exposition::Classic),
            ("text/html", Exposition::Classic),
            ("", Exposition::Classic),
        ] {
            assert_eq!(exposition(&accept(&[text])), wanted, "{text}");
        }
        assert_eq!(exposition(&accept(&[])), Exposition::Classic);
        let two = accept(&["text/plain", "application/openmetrics-text"]);
        assert_eq!(exposition(&two), Exposition::OpenMetrics);
    }
}
