//! The body of a publish as several alerts, one JSON object in each line.
//!
//! Called by the handler of publishes. Every line is valid, or none is taken and the error names the first that is not.

use super::error::HttpError;
use super::query::Parameters;
use super::request::checked_key;
use crate::alert::{Draft, DraftError, Every, Topic};
use crate::hooks::MAX_ALERTS;
use crate::service::Line;

/// Refuses what belongs to one alert only.
///
/// # Errors
/// [`HttpError::Invalid`] with the name of the parameter or header.
pub(crate) fn refuse_options(mut parameters: Parameters, has_key: bool) -> Result<(), HttpError> {
    if has_key {
        return Err(HttpError::invalid("Idempotency-Key", "is for one alert: give each line its idempotency_key"));
    }
    parameters.no_topic()?;
    parameters.finish("expect_within, since each line says the rest")
}

/// Reads the alerts. Empty lines are passed over. `within` is for those that do not say themselves what they expect.
///
/// # Errors
/// As [`Draft::from_json_line`], with the number of the line, and [`HttpError::Invalid`] for no line or too many.
pub(crate) fn read(topic: Option<&Topic>, within: Option<Every>, body: &[u8]) -> Result<Vec<Line>, HttpError> {
    let mut lines = Vec::new();
    for (at, text) in body.split(|byte| *byte == b'\n').enumerate() {
        if text.trim_ascii().is_empty() {
            continue;
        }
        if lines.len() == MAX_ALERTS {
            return Err(HttpError::invalid(
                "body",
                format_args!("has more than {MAX_ALERTS} lines: send several bodies"),
            ));
        }
        let line = line(topic, text).map_err(|error| numbered(error, at + 1))?;
        let within = line.draft.expect_within().or(within);
        lines.push(Line { draft: line.draft.expecting(within), ..line });
    }
    if lines.is_empty() {
        Err(HttpError::invalid("body", "has no line: each is a JSON object with a message"))
    } else {
        Ok(lines)
    }
}

fn line(topic: Option<&Topic>, text: &[u8]) -> Result<Line, DraftError> {
    let (draft, key) = Draft::from_json_line(topic.cloned(), text)?;
    let invalid = |reason: &str| DraftError::Field { field: "idempotency_key".into(), reason: reason.into() };
    let key = key.map(|key| checked_key(&key).map_err(invalid)).transpose()?;
    Ok(Line { draft, key })
}

fn numbered(error: DraftError, line: usize) -> DraftError {
    match error {
        DraftError::Malformed(reason) => DraftError::Malformed(format!("line {line}: {reason}")),
        DraftError::Field { field, reason } => DraftError::Field { field: format!("line {line}: {field}"), reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8]) -> String {
        read(None, None, body).unwrap_err().to_string()
    }

    #[test]
    fn each_line_is_an_alert_and_a_refusal_names_the_line() {
        let topic: Topic = "ops".parse().unwrap();
        let lines = read(Some(&topic), None, b"{\"message\":\"a\"}\r\n\n{\"message\":\"b\",\"idempotency_key\":\"k\"}")
            .unwrap();
        let read: Vec<_> = lines.iter().map(|line| (line.draft.message(), line.key.as_deref())).collect();
        assert_eq!(read, [("a", None), ("b", Some("k"))]);
        assert_eq!(lines[1].draft.topic(), &topic);
        for (second, words) in [
            ("{\"message\":\"\"}", "line 2: message: must not be empty"),
            ("{\"message\":", "line 2: the body is not JSON"),
            ("{\"message\":\"x\",\"idempotency_key\":\"\"}", "line 2: idempotency_key: must have 1 to 255"),
            ("{\"message\":\"x\",\"idempotency_key\":\"\\u0000a\"}", "line 2: idempotency_key: must be printable"),
        ] {
            let said = refused(format!("{{\"message\":\"a\"}}\n{second}").as_bytes());
            assert!(said.starts_with(words), "{said}");
        }
        assert!(refused(b" \n\r\n").starts_with("body: has no line"));
        let many = "{\"message\":\"a\"}\n".repeat(MAX_ALERTS);
        assert_eq!(super::read(None, None, many.as_bytes()).unwrap().len(), MAX_ALERTS);
        assert!(refused(format!("{many}{{}}").as_bytes()).contains("more than 2048 lines"));
    }
}
