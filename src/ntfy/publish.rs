//! A message that a client publishes, as an alert. It comes as parameters beside a text, or as JSON beside parameters.
//!
//! A message is never refused for its form: what is too long is cut, and an unknown priority is a warning. Refused by name is
//! what alertd does not do at all: a sender that asks for a call must not believe that somebody was called.

use serde::Serialize;
use serde_json::Value;

use super::message::{Attachment, Content};
use crate::alert::{Draft, DraftError, Level, Metadata, Record, Topic, escape_line_ends};
use crate::hooks::{encoded_word, severity};
use crate::text::truncate;

/// The names of each parameter, as headers and in the query.
const MESSAGE: &[&str] = &["x-message", "message", "m"];
const TITLE: &[&str] = &["x-title", "title", "ti", "t"];
/// The header `Priority` comes last, because HTTP has one of its own.
const PRIORITY: &[&str] = &["x-priority", "prio", "p", "priority"];
const TAGS: &[&str] = &["x-tags", "tags", "tag", "ta"];
const CLICK: &[&str] = &["x-click", "click"];
const ICON: &[&str] = &["x-icon", "icon"];
const ATTACH: &[&str] = &["x-attach", "attach", "a"];
const FILENAME: &[&str] = &["x-filename", "filename", "file", "f"];
const MARKDOWN: &[&str] = &["x-markdown", "markdown", "md"];

/// What alertd does not do, and what to do instead.
const REFUSED: [(&[&str], &str); 4] = [
    (&["x-delay", "delay", "x-at", "at", "x-in", "in"], "messages are not delayed: send it when it is due"),
    (&["x-email", "x-e-mail", "email", "e-mail", "mail", "e"], "alertd sends no e-mail: see \"alertctl tail --exec\""),
    (&["x-call", "call"], "alertd calls nobody"),
    (&["x-template", "template", "tpl"], "there are no templates: POST /hooks/json/TOPIC takes any JSON"),
];

/// The longest text of a metadata member.
const MAX_MEMBER: usize = 4096;

/// What a message may say, from parameters or from JSON.
#[derive(Default)]
struct Said {
    message: Option<String>,
    title: Option<String>,
    priority: Option<String>,
    tags: Option<Vec<String>>,
    click: Option<String>,
    icon: Option<String>,
    attach: Option<String>,
    filename: Option<String>,
    is_markdown: bool,
}

#[derive(Serialize)]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    click: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    markdown: bool,
}

/// A text for a topic, with parameters; `parameter` finds the first that is given of several names.
///
/// # Errors
/// Names what is refused.
pub(crate) fn text(
    topic: Topic,
    body: &str,
    parameter: impl Fn(&[&str]) -> Option<String>,
) -> Result<Draft, DraftError> {
    let said = Said::parameters(&parameter)?;
    let is_file = said.attach.is_none() && !body.is_empty() && (said.filename.is_some() || said.message.is_some());
    if is_file {
        return Err(refused("filename", "files are not taken: send a text, or the URL of the file as attach"));
    }
    let body = Some(body).filter(|body| !body.trim().is_empty()).map(str::to_owned);
    Said { message: said.message.or(body), ..said }.draft(topic)
}

/// A JSON object that names its topic.
///
/// # Errors
/// Names what is refused, or cannot be read.
pub(crate) fn json(body: &str, parameter: impl Fn(&[&str]) -> Option<String>) -> Result<Draft, DraftError> {
    let members = match serde_json::from_str(body.trim_start_matches('\u{feff}')) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return Err(refused("body", "must be a JSON object with a topic")),
        Err(error) => return Err(DraftError::Malformed(format!("the body is not JSON: {error}"))),
    };
    let member = |name: &str| members.get(name).filter(|value| !value.is_null());
    let topic = match member("topic") {
        Some(Value::String(text)) => text.parse::<Topic>().map_err(|error| refused("topic", error))?,
        Some(_) => return Err(refused("topic", "must be a string")),
        None => return Err(refused("topic", "is missing")),
    };
    let (own, beside) = (Said::members(member)?, Said::parameters(&parameter)?);
    let said = Said {
        message: own.message.or(beside.message),
        title: own.title.or(beside.title),
        priority: own.priority.or(beside.priority),
        tags: own.tags.or(beside.tags),
        click: own.click.or(beside.click),
        icon: own.icon.or(beside.icon),
        attach: own.attach.or(beside.attach),
        filename: own.filename.or(beside.filename),
        is_markdown: own.is_markdown || beside.is_markdown,
    };
    said.draft(topic)
}

/// The message of an alert, as an answer to its publisher.
pub(crate) fn answer(record: &Record, retained_s: Option<u64>) -> Vec<u8> {
    let content = Content::of(record);
    // Our own plain types always serialise.
    let json = serde_json::to_vec(&content.line(record, record.topic.as_str(), retained_s)).unwrap_or_default();
    [&escape_line_ends(&json)[..], b"\n"].concat()
}

fn refused(field: &str, reason: impl ToString) -> DraftError {
    DraftError::Field { field: field.to_owned(), reason: reason.to_string() }
}

impl Said {
    fn parameters(parameter: &impl Fn(&[&str]) -> Option<String>) -> Result<Self, DraftError> {
        let text = |names: &[&str]| {
            let text = parameter(names).map(|text| encoded_word::decoded(&text))?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        for (names, reason) in REFUSED {
            if text(names).is_some_and(|text| !is_off(&text)) {
                return Err(refused(names[0].trim_start_matches("x-"), reason));
            }
        }
        Ok(Self {
            // A header cannot have line breaks.
            message: text(MESSAGE).map(|text| text.replace("\\n", "\n")),
            title: text(TITLE),
            priority: text(PRIORITY),
            tags: text(TAGS).map(|text| text.split(',').map(|tag| tag.trim().to_owned()).collect()),
            click: text(CLICK),
            icon: text(ICON),
            attach: text(ATTACH),
            filename: text(FILENAME),
            is_markdown: text(MARKDOWN).is_some_and(|text| !is_off(&text)),
        })
    }

    fn members<'v>(member: impl Fn(&str) -> Option<&'v Value>) -> Result<Self, DraftError> {
        let text = |name: &str| match member(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(refused(name, "must be a string")),
        };
        for (names, reason) in REFUSED {
            let given = names.iter().find(|name| member(name).is_some_and(|value| !is_nothing(value)));
            if let Some(name) = given {
                return Err(refused(name, reason));
            }
        }
        let tags = match member("tags") {
            None => None,
            Some(Value::Array(tags)) => Some(tags.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            Some(Value::String(tags)) => Some(tags.split(',').map(|tag| tag.trim().to_owned()).collect()),
            Some(_) => return Err(refused("tags", "must be a list of strings")),
        };
        let is_set =
            |value: &Value| value.as_bool().unwrap_or_else(|| value.as_str().is_some_and(|text| !is_off(text)));
        Ok(Self {
            message: text("message")?,
            title: text("title")?,
            priority: text("priority")?.filter(|text| text != "0"),
            tags: tags.filter(|tags: &Vec<String>| !tags.is_empty()),
            click: text("click")?,
            icon: text("icon")?,
            attach: text("attach")?,
            filename: text("filename")?,
            is_markdown: member("markdown").is_some_and(is_set),
        })
    }

    fn draft(self, topic: Topic) -> Result<Draft, DraftError> {
        let message = self.message.unwrap_or_else(|| "triggered".to_owned());
        let (level, priority) = match &self.priority {
            None => (Level::Info, None),
            Some(text) => {
                let (level, number) = severity::of_ntfy_text(text);
                (level, Some(number.map_or_else(|| text.as_str().into(), Value::from)))
            }
        };
        let attachment = self
            .attach
            .map(|url| Attachment { name: self.filename.unwrap_or_else(|| file_name(&url).to_owned()), url });
        let cut = |text: String| truncate(&text, MAX_MEMBER).into_owned();
        let details = Details {
            title: self.title.map(cut),
            priority,
            tags: self.tags.unwrap_or_default().into_iter().filter(|tag| !tag.is_empty()).map(cut).collect(),
            click: self.click,
            icon: self.icon,
            attachment,
            markdown: self.is_markdown,
        };
        let metadata = Metadata::from_members(&details).map_err(|reason| refused("metadata", reason))?;
        Draft::cut(topic, &message, level, metadata)
    }
}

/// The last part of the path of a URL, as the name of a file.
fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("attachment")
}

fn is_off(text: &str) -> bool {
    ["", "0", "no", "false", "off"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_on) => !is_on,
        Value::String(text) => is_off(text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::Id;

    fn told(draft: Result<Draft, DraftError>) -> Result<Value, String> {
        let record = draft.map_err(|error| error.to_string())?.record(Id::at(5), 5);
        let mut alert: Value = serde_json::from_slice(&record.json).unwrap();
        ["id", "received_at"].iter().for_each(|name| drop(alert.as_object_mut().unwrap().remove(*name)));
        Ok(alert)
    }

    fn with(body: &str, given: &[(&str, &str)]) -> Result<Value, String> {
        let find = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| given.iter().find(|(own, _)| own == name).map(|(_, value)| (*value).to_owned()))
        };
        told(text("ops".parse().unwrap(), body, find))
    }

    fn of_json(body: &Value) -> Result<Value, String> {
        told(json(&body.to_string(), |_| None))
    }

    #[test]
    fn a_text_with_parameters_is_an_alert() {
        let all = [
            ("title", "=?UTF-8?B?w6Q=?="),
            ("p", "4"),
            ("tags", "warning, disk,"),
            ("click", "https://a.test/x"),
            ("attach", "https://a.test/b/log.txt?x=1"),
            ("markdown", "yes"),
        ];
        let metadata = json!({
            "title": "ä", "priority": 4, "tags": ["warning", "disk"], "click": "https://a.test/x",
            "attachment": {"name": "log.txt", "url": "https://a.test/b/log.txt?x=1"}, "markdown": true,
        });
        let alert = json!({"topic": "ops", "message": "full", "level": "warn", "metadata": metadata});
        assert_eq!(with("full", &all), Ok(alert));
        let plain = |message: &str| Ok(json!({"topic": "ops", "message": message, "level": "info", "metadata": {}}));
        assert_eq!(with("full", &[]), plain("full"));
        assert_eq!(with(" ", &[("delay", "0"), ("email", "")]), plain("triggered"));
        assert_eq!(with("", &[("message", "a\\nb")]), plain("a\nb"));
    }

    #[test]
    fn what_alertd_does_not_do_is_refused_by_name() {
        for (name, value) in
            [("x-delay", "30min"), ("at", "tomorrow"), ("e", "a@b.test"), ("call", "yes"), ("tpl", "x")]
        {
            assert!(with("x", &[(name, value)]).unwrap_err().split_once(": ").is_some(), "{name}");
        }
        assert!(with("x", &[("delay", "1h")]).unwrap_err().starts_with("delay: "));
        assert!(with("bytes", &[("filename", "a.txt")]).unwrap_err().starts_with("filename: "));
        assert!(with("bytes", &[("message", "see file")]).unwrap_err().starts_with("filename: "));
        assert!(of_json(&json!({"topic": "a", "call": "+49"})).unwrap_err().starts_with("call: "));
        assert!(of_json(&json!({"topic": "a", "call": null, "email": "", "delay": false})).is_ok());
    }

    #[test]
    fn json_names_its_topic_and_null_is_absent() {
        let full = json!({"topic": "ops", "message": "m", "title": null, "tags": ["x"], "priority": 5, "actions": []});
        let metadata = json!({"priority": 5, "tags": ["x"]});
        assert_eq!(of_json(&full), Ok(json!({"topic": "ops", "message": "m", "level": "error", "metadata": metadata})));
        for (body, words) in [
            (json!({}), "topic: is missing"),
            (json!([]), "body: must be"),
            (json!({"topic": "a b"}), "topic: "),
            (json!({"topic": "a", "title": {}}), "title: must be a string"),
        ] {
            assert!(of_json(&body).unwrap_err().starts_with(words), "{body}");
        }
        assert!(told(json("{", |_| None)).unwrap_err().contains("not JSON"));
        let beside = told(json(r#"{"topic":"a"}"#, |names| names.contains(&"title").then(|| "T".to_owned()))).unwrap();
        assert_eq!((&beside["message"], &beside["metadata"]), (&json!("triggered"), &json!({"title": "T"})));
    }

    #[test]
    fn an_unknown_priority_is_a_warning_that_keeps_what_was_said() {
        for (said, level) in
            [("6", "warn"), ("someday", "warn"), ("critical", "error"), ("max", "error"), ("1", "info")]
        {
            let alert = with("x", &[("priority", said)]).unwrap();
            assert_eq!(alert["level"], level, "{said}");
            assert!(!alert["metadata"]["priority"].is_null());
        }
        assert_eq!(of_json(&json!({"topic": "a", "priority": 9})).unwrap()["metadata"]["priority"], "9");
    }
}
