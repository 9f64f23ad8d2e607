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
    let ntfys = header("priority").is_none_or(|text| !is_http_priority(&text));
    let names = ["priority", "x-priority", "prio", "p"];
    let priority = match first(if ntfys { &names } else { &names[1..] }).as_deref() {
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

/// Whether this is the header that HTTP itself has by the name of `Priority` (RFC 9218), which browsers and proxies send:
/// a dictionary with the members `u` and `i`, such as `u=1, i`.
fn is_http_priority(text: &str) -> bool {
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
    fn the_priority_header_of_http_is_not_taken_for_ntfys() {
        for http in ["u=1, i", "i, u=1", "u=7", "i", " i ", "i=?0", "i;x", "u=3;x=1,i", "incremental, i", "a=1"] {
            assert_eq!(parsed(&[("priority", http)]), Ok((None, "{}".into())), "{http}");
            let both = parsed(&[("priority", http), ("x-priority", "max")]);
            assert_eq!(both, Ok((Some(Level::Error), r#"{"priority":5}"#.into())), "{http}");
        }
        assert!(parsed(&[("priority", "6")]).unwrap_err().starts_with("Priority: is 1 to 5"));
    }
}
