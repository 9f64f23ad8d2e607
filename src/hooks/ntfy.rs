//! The headers of ntfy's publishers: title, priority and tags.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::{encoded_word, metadata_of, non_empty, severity, short};
use crate::alert::{DraftError, Level, Metadata};

#[derive(Serialize)]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

/// The level of an alert, if the headers name a priority, and its metadata. A priority that ntfy does not know is kept
/// in the metadata, and its level is that of the word, so that it costs nobody an alert.
pub(crate) fn read<'h>(header: impl Fn(&str) -> Option<Cow<'h, str>>) -> Result<(Option<Level>, Metadata), DraftError> {
    let first = |names: &[&str]| {
        names.iter().find_map(|name| non_empty(&encoded_word::decoded(&header(name)?)).map(str::to_owned))
    };
    let title = first(&["title", "x-title", "ti", "t"]).map(|title| short(&title));
    let ntfys = header("priority").is_none_or(|text| !is_http_priority(&text));
    let names = ["priority", "x-priority", "prio", "p"];
    let (level, priority) = match first(if ntfys { &names } else { &names[1..] }).as_deref() {
        Some(text) => {
            let (level, number) = severity::of_ntfy_text(text);
            (Some(level), Some(number.map_or_else(|| short(text).into(), Value::from)))
        }
        None => (None, None),
    };
    let tags = first(&["tags", "x-tags", "tag", "ta"]).unwrap_or_default();
    let tags: Vec<_> = tags.split(',').filter_map(non_empty).map(short).collect();
    if title.is_none() && priority.is_none() && tags.is_empty() {
        return Ok((None, Metadata::default()));
    }
    Ok((level, metadata_of(&Details { title, priority, tags })?))
}

/// Whether this is HTTP's own header `Priority` (RFC 9218), which browsers and proxies send: a dictionary with the
/// members `u` and `i`, such as `u=1, i`.
pub(crate) fn is_http_priority(text: &str) -> bool {
    let mut members = text.split(',').map(|member| member.split(['=', ';']).next().unwrap_or_default().trim());
    text.contains('=') || members.any(|name| name == "u" || name == "i")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(headers: &[(&str, &str)]) -> Result<(Option<Level>, String), String> {
        let find =
            |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value));
        read(find).map(|(level, metadata)| (level, metadata.as_str().to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_headers_become_level_and_metadata() {
        assert_eq!(parsed(&[]), Ok((None, "{}".into())));
        let all = [("title", "Backup"), ("priority", "high"), ("tags", "warning, skull,,disk")];
        let metadata = r#"{"title":"Backup","priority":4,"tags":["warning","skull","disk"]}"#;
        assert_eq!(parsed(&all), Ok((Some(Level::Warn), metadata.into())));
        for (word, level) in [
            ("urgent", Level::Error),
            ("5", Level::Error),
            ("MAX", Level::Error),
            ("4", Level::Warn),
            ("min", Level::Info),
        ] {
            assert_eq!(parsed(&[("p", word)]).unwrap().0, Some(level), "{word}");
        }
        assert_eq!(parsed(&[("x-title", "ä"), ("title", " ")]).unwrap().1, r#"{"title":"ä"}"#);
        let encoded = [("title", "=?UTF-8?B?w6Q=?= =?UTF-8?Q?_b?="), ("tags", "=?UTF-8?Q?=C3=A4=2Cb?=, c")];
        assert_eq!(parsed(&encoded).unwrap().1, r#"{"title":"ä b","tags":["ä","b","c"]}"#);
    }

    #[test]
    fn a_header_whose_encoded_words_are_empty_is_none() {
        for empty in ["=?utf-8?q??=", "=?utf-8?q?_?= =?utf-8?b??=", " "] {
            assert_eq!(parsed(&[("priority", empty), ("title", empty), ("tags", empty)]), Ok((None, "{}".into())));
            let metadata = r#"{"title":"x","priority":5}"#;
            let both = [("priority", empty), ("p", "=?utf-8?q?_5_?="), ("title", empty), ("t", "x")];
            assert_eq!(parsed(&both), Ok((Some(Level::Error), metadata.into())), "{empty}");
        }
    }

    #[test]
    fn the_priority_header_of_http_is_not_taken_for_ntfys() {
        for http in ["u=1, i", "i, u=1", "u=7", "i", " i ", "i=?0", "i;x", "u=3;x=1,i", "incremental, i", "a=1"] {
            assert_eq!(parsed(&[("priority", http)]), Ok((None, "{}".into())), "{http}");
            let both = parsed(&[("priority", http), ("x-priority", "max")]);
            assert_eq!(both, Ok((Some(Level::Error), r#"{"priority":5}"#.into())), "{http}");
        }
    }

    #[test]
    fn a_priority_that_ntfy_does_not_know_is_kept_and_never_calmer_than_meant() {
        for (word, level) in [
            ("6", Level::Warn),
            ("0", Level::Warn),
            ("1 (Highest)", Level::Error),
            ("someday", Level::Warn),
            ("critical", Level::Error),
            ("P1", Level::Error),
            ("notice", Level::Info),
        ] {
            assert_eq!(parsed(&[("priority", word)]), Ok((Some(level), format!(r#"{{"priority":"{word}"}}"#))));
        }
    }
}
