//! Errors of serde_json, reworded for the people who wrote the JSON.
//!
//! Called wherever a body or a part of it is parsed: drafts, metadata, hooks and the service's own bodies. Always: the
//! text names JSON's types, not Rust's, and holds nothing of the value beyond what serde quotes.

use serde::de::DeserializeOwned;

/// Why a text is not JSON of a certain type.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not JSON.
    Malformed(String),
    /// It is JSON of another type.
    Field {
        /// The path to the field that is wrong, such as `alerts[2].labels`; none for the value as a whole.
        field: Option<String>,
        reason: String,
    },
}

/// Reads a JSON object of a certain type, such as a body of the API. An error names the field by its path.
///
/// # Errors
/// [`Unreadable`].
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Unreadable> {
    // serde would also accept a list and take the fields by their order.
    if text.trim_ascii_start().starts_with(b"[") {
        return Err(Unreadable::Field { field: None, reason: "must be a JSON object".into() });
    }
    read_any(text)
}

/// Reads a list of JSON objects of a certain type.
///
/// # Errors
/// [`Unreadable`].
pub fn read_list<T: DeserializeOwned>(text: &[u8]) -> Result<Vec<T>, Unreadable> {
    read_any(text)
}

fn read_any<T: DeserializeOwned>(text: &[u8]) -> Result<T, Unreadable> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let malformed = |error: &serde_json::Error| Unreadable::Malformed(format!("the body is not JSON: {error}"));
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = Some(error.path().to_string()).filter(|path| path != ".");
        let error = error.into_inner();
        if !error.is_data() {
            return malformed(&error);
        }
        let (name, reason) = fault(&error);
        let field = match (path, name) {
            // The path may or may not end with the field that serde names.
            (Some(path), Some(name)) if path != name && !path.ends_with(&format!(".{name}")) => {
                Some(format!("{path}.{name}"))
            }
            (path, name) => path.or(name),
        };
        Unreadable::Field { field, reason }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(read)
}

/// Rewords an error of serde about readable JSON for people: the field, if serde names one, and the reason. Line and column
/// are dropped: they count from the start of the value, not of the body.
#[must_use]
pub fn fault(error: &serde_json::Error) -> (Option<String>, String) {
    let text = error.to_string();
    let words = text.rsplit_once(" at line ").map_or(&*text, |(words, _)| words);
    // unknown field `mesage`, expected one of `topic`, `message`
    for (kind, reason) in [
        ("missing field `", "is missing"),
        ("duplicate field `", "is given twice"),
        ("unknown field `", "is no field here"),
    ] {
        if let Some((name, rest)) = words.strip_prefix(kind).and_then(|rest| rest.split_once('`')) {
            return (Some(name.to_owned()), format!("{reason}{}", rest.replace('`', "")));
        }
    }
    // unknown variant `root`, expected one of `publish`, `subscribe`; or, of two words: expected `a` or `b`
    if let Some((found, wanted)) =
        words.strip_prefix("unknown variant `").and_then(|rest| rest.split_once("`, expected "))
    {
        return (None, format!("must be {}, not \"{found}\"", wanted.replace('`', "\"")));
    }
    // invalid type: integer `5`, expected a string
    let mismatch = words.strip_prefix("invalid type: ").or_else(|| words.strip_prefix("invalid value: "));
    let reason = match mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, wanted)) => format!("must be {}, not {}", in_json(wanted), in_json(found)).replace('`', ""),
        None => words.to_owned(),
    };
    (None, reason)
}

/// The JSON word for a type that serde calls by its own name.
fn in_json(kind: &str) -> &str {
    match kind {
        "map" | "a map" => "an object",
        "sequence" | "a sequence" => "a list",
        _ if kind.starts_with("struct ") => "an object",
        _ => kind,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Green,
        Blue,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        #[expect(dead_code, reason = "only read")]
        colours: Vec<Colour>,
    }

    #[derive(Debug, Deserialize)]
    struct Whole {
        #[expect(dead_code, reason = "only read")]
        parts: Vec<Part>,
    }

    #[test]
    fn the_field_is_named_by_its_path_and_the_words_are_those_of_json() {
        for (text, wanted, words) in [
            (
                r#"{"parts":[{"colours":["red","brown"]}]}"#,
                Some("parts[0].colours[1]"),
                r#"must be one of "red", "green", "blue", not "brown""#,
            ),
            (r#"{"parts":[{"colours":[]},{}]}"#, Some("parts[1].colours"), "is missing"),
            (r#"{"parts":[{"colours":[],"size":5}]}"#, Some("parts[0].size"), "is no field here"),
            (r#"{"parts":[{"colours":5}]}"#, Some("parts[0].colours"), "must be a list, not integer 5"),
            ("{}", Some("parts"), "is missing"),
            ("[[]]", None, "must be a JSON object"),
        ] {
            let Unreadable::Field { field, reason } = read::<Whole>(text.as_bytes()).unwrap_err() else {
                panic!("{text}")
            };
            assert_eq!((field.as_deref(), reason.contains(words)), (wanted, true), "{text}: {reason}");
        }
        for text in ["", "{", r#"{"parts":[]}x"#] {
            assert!(matches!(read::<Whole>(text.as_bytes()), Err(Unreadable::Malformed(_))), "{text}");
        }
    }
}
