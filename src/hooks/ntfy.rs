//! The headers of ntfy's publishers: title, priority and tags.

use std::borrow::Cow;

use serde::Serialize;

use super::{encoded_word, field, metadata_of, non_empty, severity, short};
use crate::alert::{DraftError, Level, Metadata};

#[derive(Serialize)]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

/// The level of an alert, if the headers name a priority, and its metadata. Fails for a priority that ntfy does not know.
pub(crate) fn read<'h>(header: impl Fn(&str) -> Option<Cow<'h, str>>) -> Result<(Option<Level>, Metadata), DraftError> {
    let first = |names: &[&str]| names.iter().find_map(|name| non_empty(&header(name)?).map(encoded_word::decoded));
    let title = first(&["title", "x-title", "ti", "t"]).and_then(|title| non_empty(&title).map(short));
    let priority = match first(&["priority", "x-priority", "prio", "p"]).as_deref() {
        // HTTP itself has a header of this name (RFC 9218), which browsers and proxies send: u=1, i.
        Some(text) if text.starts_with("u=") || text == "i" => None,
        Some(text) => Some(
            severity::ntfy_priority(text)
                .ok_or_else(|| field("Priority", "is 1 to 5, or min, low, default, high, max or urgent"))?,
        ),
        None => None,
    };
    let tags = first(&["tags", "x-tags", "tag", "ta"]).unwrap_or_default();
    let tags: Vec<_> = tags.split(',').filter_map(non_empty).map(short).collect();
    if title.is_none() && priority.is_none() && tags.is_empty() {
        return Ok((None, Metadata::default()));
    }
    let level = priority.map(severity::of_ntfy_priority);
    Ok((level, metadata_of(&Details { title, priority, tags })?))
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
    fn the_priority_header_of_http_is_not_taken_for_ntfys() {
        assert_eq!(parsed(&[("priority", "u=1, i")]), Ok((None, "{}".into())));
        assert!(parsed(&[("priority", "6")]).unwrap_err().starts_with("Priority: is 1 to 5"));
    }
}
