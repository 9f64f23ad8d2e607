//! Any JSON object or form as an alert: what tools send that can only "send a webhook".
//!
//! The message, title, level and link are found by the names that such tools use, in the object and in the parts of it
//! that usually have them ([`place`]); everything else stays in the metadata. Nothing but a body without any content is
//! refused.

mod color;
mod level;
mod place;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::{Entry, Identity, MAX_ALERTS, Sender, field, metadata_of};
use crate::alert::{Draft, DraftError, Topic};
use place::{Place, text};

type Object = Map<String, Value>;

const MESSAGE: &[&str] =
    &["message", "msg", "text", "body", "content", "description", "summary", "details", "detail", "fallback"];
const TITLE: &[&str] = &["title", "subject", "heading", "headline", "event_name", "alert_name", "alertname"];
/// A page for people before an address of an API.
const LINK: &[&str] = &[
    "web_url",
    "html_url",
    "permalink",
    "full_url",
    "title_link",
    "incident_url",
    "dashboard_url",
    "url",
    "link",
    "issue_url",
];
/// What an alert without a text is about.
const SUBJECT: &[&str] = &[
    "path_with_namespace",
    "full_name",
    "display_name",
    "project_name",
    "name",
    "host",
    "hostname",
    "host_name",
    "service",
    "check",
    "job",
];

/// One alert for an object, one for each object of a list.
pub(super) fn read(topic: &Topic, body: &str) -> Result<Vec<Entry>, DraftError> {
    let parsed = serde_json::from_str(body);
    let value =
        parsed.map_err(|error| DraftError::Malformed(format!("the body is neither JSON nor a form: {error}")))?;
    match value {
        Value::Object(object) => Ok(vec![entry(topic, object)?]),
        Value::Array(list) if list.len() > MAX_ALERTS => {
            Err(field("body", format!("has {} alerts, {MAX_ALERTS} are allowed", list.len())))
        }
        Value::Array(list) => {
            let entries = list.into_iter().enumerate().map(|(at, value)| {
                let Value::Object(object) = value else { return Err(field(format!("[{at}]"), "must be an object")) };
                entry(topic, object).map_err(|error| named(&format!("[{at}]."), error))
            });
            entries.collect()
        }
        _ => Err(field("body", "must be a JSON object or a list of objects")),
    }
}

/// The error with the place of the object before the name of its field.
fn named(before: &str, error: DraftError) -> DraftError {
    match error {
        DraftError::Field { field, reason } => DraftError::Field { field: format!("{before}{field}"), reason },
        other => other,
    }
}

fn entry(topic: &Topic, mut object: Object) -> Result<Entry, DraftError> {
    if object.is_empty() {
        return Err(field("message", "is missing"));
    }
    let places = place::all(&object);
    let level = level::of(&places);
    let link = places.iter().find_map(|place| link_of(place));
    let Words { message, title, used } = words(&object, &places);
    let identity = identity(topic, &object);
    if let Some(name) = used {
        object.remove(&name);
    }
    if let Some(title) = title {
        object.entry("title").or_insert(title.into());
    }
    if let Some(link) = link {
        let is_link = text(&object, &["url"]).is_some_and(|url| is_link(&url));
        if !is_link {
            object.insert("url".to_owned(), link.into());
        }
    }
    let draft = Draft::cut(topic.clone(), &message, level, metadata_of(&object)?)?;
    Ok(Entry { draft, identity })
}

/// CloudEvents are identified by their source and id. Other payloads have nothing in common that identifies them.
fn identity(topic: &Topic, object: &Object) -> Option<Identity> {
    object.get("specversion")?;
    let (source, id) = (object.get("source")?.as_str()?, object.get("id")?.as_str()?);
    Some(Identity::new(Sender::Json, topic, &format!("{source}\0{id}"), String::new()))
}

/// What people read.
struct Words {
    message: String,
    title: Option<String>,
    /// The field of the object itself that is the message, and need not be repeated.
    used: Option<String>,
}

fn words(object: &Object, places: &[Place<'_>]) -> Words {
    let events = || places.iter().filter(|place| place.is_event);
    for place in events() {
        let Some((name, message)) = place::named_text(place.object, MESSAGE) else { continue };
        let title = text(place.object, TITLE);
        return match title {
            // A part of the object is read without what is around it.
            Some(title) if place.depth > 0 && title != message => {
                Words { message: format!("{title}: {message}"), title: Some(title), used: None }
            }
            title => Words { message, title, used: (place.depth == 0).then_some(name) },
        };
    }
    let title = events().find_map(|place| text(place.object, TITLE));
    let message = title.or_else(|| composed(places)).unwrap_or_else(|| Value::Object(object.clone()).to_string());
    Words { message, title: None, used: None }
}

/// A line from what the alert is about and its state: `shop/api pipeline main: failed`.
fn composed(places: &[Place<'_>]) -> Option<String> {
    let find = |names: &[&str]| places.iter().find_map(|place| text(place.object, names));
    let subject = SUBJECT.iter().find_map(|name| find(&[name]))?;
    let kind = find(&["object_kind", "event_type", "event"]);
    let branch = find(&["ref", "branch"]);
    let number = find(&["number"]).map(|number| format!("#{number}"));
    let about: Vec<_> = [Some(subject), kind, branch, number].into_iter().flatten().collect();
    let state = level::state(places).or_else(|| find(level::STATE));
    Some(state.map_or_else(|| about.join(" "), |state| format!("{}: {state}", about.join(" "))))
}

fn link_of(place: &Place<'_>) -> Option<String> {
    LINK.iter().filter_map(|name| text(place.object, &[name])).find(|link| is_link(link))
}

fn is_link(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}
