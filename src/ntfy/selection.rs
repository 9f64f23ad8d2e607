//! Which messages of its topics a client wants.

use serde::{Deserialize, Serialize};

use super::message::Content;
use crate::alert::Id;
use crate::hooks::severity;

/// The most tags, and the longest text, that a client may ask for.
const MAX_TAGS: usize = 64;
const MAX_TEXT: usize = 4096;

/// Everything that is named has to hold. The default is all messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Selection {
    /// One of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    priorities: Vec<u8>,
    /// Each of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// The whole title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// The whole message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// The name of a parameter that is wrong, and why.
pub(crate) type Wrong = (&'static str, &'static str);

impl Selection {
    /// Reads the parameters of a request, by name.
    pub(crate) fn read<E>(
        mut parameter: impl FnMut(&'static [&'static str]) -> Result<Option<String>, E>,
    ) -> Result<Result<Self, Wrong>, E> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let priorities = given(parameter(&["priority", "x-priority", "prio", "p"])?);
        let tags = given(parameter(&["tags", "x-tags", "tag", "ta"])?);
        let title = given(parameter(&["title", "x-title", "t"])?);
        let message = given(parameter(&["message", "x-message", "m"])?);
        let id = given(parameter(&["id", "x-id"])?);
        Ok(Self::of(priorities.as_deref(), tags.as_deref(), title, message, id))
    }

    fn of(
        priorities: Option<&str>,
        tags: Option<&str>,
        title: Option<String>,
        message: Option<String>,
        id: Option<String>,
    ) -> Result<Self, Wrong> {
        let number =
            |text: &str| severity::ntfy_priority(text.trim()).ok_or(("priority", "takes 1 to 5, or their names"));
        let mut priorities =
            priorities.iter().flat_map(|text| text.split(',')).map(number).collect::<Result<Vec<_>, _>>()?;
        let tags = tags.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|tag| !tag.is_empty());
        let mut tags: Vec<_> = tags.map(str::to_owned).collect();
        if tags.len() > MAX_TAGS {
            return Err(("tags", "takes at most 64 tags"));
        }
        if [&title, &message].into_iter().flatten().any(|text| text.len() > MAX_TEXT) {
            return Err(("message", "takes a text of at most 4096 bytes, as does title"));
        }
        // Equal selections share one ring.
        priorities.sort_unstable();
        priorities.dedup();
        tags.sort();
        tags.dedup();
        // What is no id of ours selects nothing, and need not be kept.
        let id = id.map(|id| if id.parse::<Id>().is_ok() { id } else { String::new() });
        Ok(Self { priorities, tags, title, message, id })
    }

    pub(crate) fn passes(&self, id: Id, content: &Content) -> bool {
        (self.priorities.is_empty() || self.priorities.contains(&content.priority()))
            && self.tags.iter().all(|tag| content.tags.contains(tag))
            && self.title.as_ref().is_none_or(|title| content.title.as_ref() == Some(title))
            && self.message.as_ref().is_none_or(|message| content.message == *message)
            && self.id.as_ref().is_none_or(|own| *own == id.to_string())
    }
}
