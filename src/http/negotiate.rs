//! Which representation of `/alerts` a reader wants.

use crate::sse::Format;

/// A stream, or a page of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// An endless stream.
    Stream(Format),
    /// One page as JSON.
    History,
}

const OFFERED: [(&str, &str, Representation); 3] = [
    ("text", "event-stream", Representation::Stream(Format::Sse)),
    ("application", "x-ndjson", Representation::Stream(Format::Ndjson)),
    ("application", "json", Representation::History),
];

/// All representations, for the error that none suits.
pub(crate) const NAMES: &str = "text/event-stream, application/x-ndjson and application/json";

/// The best representation for these Accept headers: highest quality first, then the one that is named most exactly
/// (`application/json, */*` means JSON), then the stream. No header means the stream.
#[must_use]
pub(crate) fn choose<'a>(accept: impl IntoIterator<Item = &'a str>) -> Option<Representation> {
    let mut best: [Option<(u32, u8)>; OFFERED.len()] = [None; OFFERED.len()];
    let mut any = false;
    for range in accept.into_iter().flat_map(|header| header.split(',')).map(str::trim).filter(|r| !r.is_empty()) {
        any = true;
        let mut parts = range.split(';').map(str::trim);
        let (kind, subkind) = parts.next().and_then(|name| name.split_once('/')).unwrap_or_default();
        let quality = parts
            .find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")))
            .map_or(1.0, |q| q.trim().parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0));
        for (slot, (offered, offered_sub, _)) in best.iter_mut().zip(OFFERED) {
            let exactness = match (kind, subkind) {
                (k, s) if k.eq_ignore_ascii_case(offered) && s.eq_ignore_ascii_case(offered_sub) => 2,
                (k, "*") if k.eq_ignore_ascii_case(offered) => 1,
                ("*", "*") => 0,
                _ => continue,
            };
            // The most exact range decides about a type, even where a wider one would allow more.
            if slot.is_none_or(|(_, other)| exactness >= other) {
                *slot = Some(((quality * 1000.0) as u32, exactness));
            }
        }
    }
    if !any {
        return Some(OFFERED[0].2);
    }
    let mut chosen: Option<((u32, u8), Representation)> = None;
    for (score, (.., representation)) in best.into_iter().zip(OFFERED) {
        if let Some(score) = score.filter(|(quality, _)| *quality > 0)
            && chosen.is_none_or(|(other, _)| score > other)
        {
            chosen = Some((score, representation));
        }
    }
    chosen.map(|(_, representation)| representation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_get_what_they_mean() {
        let (sse, lines) = (Representation::Stream(Format::Sse), Representation::Stream(Format::Ndjson));
        for (accept, wanted) in [
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
            ("text/html", None),
            ("application/json;q=0", None),
            ("nonsense", None),
        ] {
            assert_eq!(choose([accept]), wanted, "{accept}");
        }
        assert_eq!(choose(["text/html", "application/json"]), Some(Representation::History));
        assert_eq!(choose([]), Some(sse));
    }
}
