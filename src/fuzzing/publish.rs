//! Bodies of a publish: one alert in any form, several as lines, forms, and the headers of ntfy's publishers.

use serde_json::{Map, Value};

use super::draft::is_sound;
use super::first_line;
use super::request::Request;
use crate::alert::{Draft, Metadata, Topic};
use crate::hooks::form::Form;
use crate::hooks::multipart::{Part, parts};
use crate::hooks::{MAX_ALERTS, encoded_word, ntfy};
use crate::http::publish_body::{self, Options};
use crate::http::{publish_lines, request};
use crate::ntfy::publish as message;

/// A request that publishes one alert.
pub(super) fn body(input: &[u8]) {
    let Some(request) = Request::read(input) else { return };
    let (Some(topic), Ok(options)) = (request.topic(), Options::read(request.parameters(), &request.headers)) else {
        return;
    };
    match publish_body::draft(&request.headers, topic.clone(), options, request.body) {
        Ok(draft) => {
            assert!(topic.is_none_or(|topic| topic == *draft.topic()));
            is_sound(&draft);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(Some(key)) = request::idempotency_key(&request.headers) {
        assert_eq!(request::checked_key(&key).as_ref(), Ok(&key));
    }
}

/// A topic in the first line, and a body of several alerts.
pub(super) fn lines(input: &[u8]) {
    let (first, body) = first_line(input);
    let topic = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok());
    let Ok(lines) = publish_lines::read(topic.as_ref(), None, body) else { return };
    assert!((1..=MAX_ALERTS).contains(&lines.len()));
    let mut again = String::new();
    for line in &lines {
        is_sound(&line.draft);
        let text = line.key.as_ref().map_or_else(|| line.draft.publish_body(), |key| line.draft.publish_line(key));
        again.push_str(&text);
        again.push('\n');
    }
    let again =
        publish_lines::read(topic.as_ref(), None, again.as_bytes()).expect("what was accepted is accepted again");
    assert_eq!(again.len(), lines.len());
    for (again, line) in again.iter().zip(&lines) {
        assert_eq!((&again.draft, &again.key), (&line.draft, &line.key));
    }
}

/// A charset, or a boundary that begins with two dashes, in the first line, and the body of a form.
pub(super) fn form(input: &[u8]) {
    let (first, body) = first_line(input);
    let Ok(first) = std::str::from_utf8(first) else { return };
    let form = match first.strip_prefix("--") {
        Some("") => return,
        Some(boundary) => {
            check_parts(&parts(body, boundary), body, boundary);
            Some(Form::parse_parts(body, boundary, None))
        }
        None => {
            let charset = Some(first).filter(|charset| !charset.is_empty());
            let _ = Form::payload(body, charset);
            Form::parse(body, charset)
        }
    };
    let Some(form) = form else { return };
    if let Ok(draft) = form.draft(None, None, (None, Metadata::default())) {
        is_sound(&draft);
    }
}

fn check_parts(parts: &[Part<'_>], body: &[u8], boundary: &str) {
    let delimiter = format!("--{boundary}");
    let has = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    let length: usize = parts.iter().map(|part| part.content.len()).sum();
    assert!(length <= body.len() && parts.iter().all(|part| !has(part.content, delimiter.as_bytes())));
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // A content cannot begin where the delimiter before it still goes on, and other names would need escapes.
    if boundary.is_empty() || boundary.contains(['\r', '\n']) || !parts.iter().all(|part| is_plain(&part.name)) {
        return;
    }
    let mut again = Vec::new();
    for Part { name, content, is_file } in parts {
        let file = if *is_file { "; filename=\"f\"" } else { "" };
        let head = format!("{delimiter}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        if has(&head.as_bytes()[delimiter.len()..], delimiter.as_bytes()) {
            return;
        }
        again.extend_from_slice(head.as_bytes());
        again.extend_from_slice(content);
        again.extend_from_slice(b"\r\n");
    }
    again.extend_from_slice(format!("{delimiter}--\r\n").as_bytes());
    assert_eq!(super::publish::parts(&again, boundary), parts);
}

/// The headers of a request of ntfy's publishers.
pub(super) fn ntfy(input: &[u8]) {
    let Some(request) = Request::read(input) else { return };
    for value in request.headers.values() {
        let text = crate::text::header(value.as_bytes());
        let decoded = encoded_word::decoded(&text);
        assert!(decoded.len() <= 3 * text.len(), "{} bytes of {}", decoded.len(), text.len());
        assert!(text.contains("=?") || decoded == text);
    }
    let parameter = |names: &[&str]| names.iter().find_map(|name| Some(request.header(name)?.into_owned()));
    let body = crate::text::decoded(request.body, None);
    let messages = [message::text(Topic::fallback(), &body, parameter), message::json(&body, parameter)];
    messages.iter().flatten().for_each(is_sound);
    let (level, metadata) = ntfy::read(|name| request.header(name)).expect("no header costs an alert");
    let members: Map<String, Value> = serde_json::from_str(metadata.as_str()).expect("metadata is an object");
    let texts = members.iter().flat_map(|(name, value)| {
        assert!(["title", "priority", "tags"].contains(&name.as_str()), "{name}");
        value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
    });
    for text in texts.filter_map(Value::as_str) {
        assert!((1..=Draft::MAX_MESSAGE).contains(&text.len()) && text.trim() == text, "{text:?}");
    }
    assert_eq!(level.is_some(), members.contains_key("priority"));
}
