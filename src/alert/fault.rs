//! Errors of serde_json, reworded for the people who wrote the JSON.
//!
//! Called wherever a body or a part of it is parsed: drafts, metadata, hooks and the service's own bodies. Always: the
//! text names JSON's types, not Rust's, and holds nothing of the value beyond what serde quotes.

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
