//! Excerpts of metadata: what is left of an object that is too long for a frame.
//!
//! Called for hooks, whose senders cannot shorten what they send, and for records that an earlier version stored. Long
//! texts are cut first, evenly; members are left out, the last ones first, only where that is not enough. A member
//! [`Metadata::CUT`] says what became of the rest.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Metadata;
use super::line_ends::escape_line_ends;
use crate::text::truncate;

/// Lengths in bytes to which long texts are cut, one after the other until the whole fits.
const LENGTHS: [usize; 5] = [16 << 10, 4 << 10, 1 << 10, 256, 64];
/// Names of members in the mark.
const NAMED: usize = 8;

impl Metadata {
    /// The member that marks metadata as cut, and says how.
    pub const CUT: &'static str = "alertd_cut";

    /// An excerpt of at most `room` bytes; `room` must have place for the mark. Metadata that fits is left as it is.
    #[must_use]
    pub fn cut(&self, room: usize) -> Self {
        if escape_line_ends(self.as_str().as_bytes()).len() <= room {
            return self.clone();
        }
        let Ok(Members(members)) = serde_json::from_str(self.as_str()) else { return Self::default() };
        let mut shortest = Vec::new();
        for length in LENGTHS {
            shortest = members.iter().map(|(name, value)| member(name, value, length)).collect();
            if let Some(fitting) = joined(&shortest, &format!("texts of over {length} bytes"), room) {
                return fitting;
            }
        }
        let least = LENGTHS[LENGTHS.len() - 1];
        let mut left_out: Vec<String> = Vec::new();
        while shortest.pop().is_some() {
            let name = truncate(&members[shortest.len()].0, least).into_owned();
            left_out.push(name);
            let named: Vec<_> = left_out.iter().rev().take(NAMED).map(String::as_str).collect();
            let more = if left_out.len() > NAMED { " and more" } else { "" };
            let mark =
                format!("texts of over {least} bytes, and {} members: {}{more}", left_out.len(), named.join(", "));
            if let Some(fitting) = joined(&shortest, &mark, room) {
                return fitting;
            }
        }
        Self::default()
    }
}

/// A member as it is written, with its texts cut to this length.
fn member(name: &str, value: &RawValue, length: usize) -> String {
    let name = Value::from(name);
    // Left as it was sent where nothing in it can be too long: numbers keep their digits.
    if value.get().len() <= length {
        return format!("{name}:{}", value.get());
    }
    match serde_json::from_str::<Value>(value.get()) {
        Ok(mut value) => {
            shorten(&mut value, length);
            format!("{name}:{value}")
        }
        Err(_) => format!("{name}:null"),
    }
}

fn shorten(value: &mut Value, length: usize) {
    match value {
        Value::String(text) if text.len() > length => *text = truncate(text, length).into_owned(),
        Value::Array(values) => values.iter_mut().for_each(|value| shorten(value, length)),
        Value::Object(members) => members.values_mut().for_each(|value| shorten(value, length)),
        _ => {}
    }
}

/// The members and the mark as one object, if that fits.
fn joined(members: &[String], mark: &str, room: usize) -> Option<Metadata> {
    let mark = format!("{}:{}", Value::from(Metadata::CUT), Value::from(mark));
    let own = format!("{}:", Value::from(Metadata::CUT));
    let kept = members.iter().filter(|member| !member.starts_with(&own));
    let text = format!("{{{}}}", kept.chain([&mark]).map(String::as_str).collect::<Vec<_>>().join(","));
    let fits = escape_line_ends(text.as_bytes()).len() <= room;
    let raw = fits.then(|| RawValue::from_string(text).ok()).flatten()?;
    Metadata::new(&raw).ok()
}

/// The members of an object in their order.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(json: &str) -> Metadata {
        Metadata::new(serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn metadata_that_fits_is_left_as_it_is() {
        let whole = metadata(r#"{"b":1.20,"a":"x"}"#);
        assert_eq!(whole.cut(whole.as_str().len()), whole);
    }

    #[test]
    fn long_texts_are_cut_before_members_are_left_out() {
        let long = "x".repeat(5000);
        let whole = metadata(&format!(r#"{{"b":1.20,"a":"{long}","labels":{{"z":"{long}","y":[2]}}}}"#));
        let cut: Value = serde_json::from_str(whole.cut(3000).as_str()).unwrap();
        assert!(whole.cut(3000).as_str().starts_with(r#"{"b":1.20,"a":"xxx"#));
        assert_eq!(cut["labels"]["y"], serde_json::json!([2]));
        for text in [&cut["a"], &cut["labels"]["z"]] {
            assert!(text.as_str().unwrap().len() <= 1024 && text.as_str().unwrap().ends_with('…'), "{text}");
        }
        assert_eq!(cut[Metadata::CUT], "texts of over 1024 bytes");
    }

    #[test]
    fn the_last_members_are_left_out_and_named() {
        let members: Vec<_> = (0..100).map(|n| format!("\"m{n}\":\"{}\"", "é".repeat(30))).collect();
        let cut = metadata(&format!("{{{}}}", members.join(","))).cut(2000);
        let read: Value = serde_json::from_str(cut.as_str()).unwrap();
        assert!(cut.as_str().len() <= 2000 && read.get("m0").is_some() && read.get("m99").is_none());
        let mark = read[Metadata::CUT].as_str().unwrap();
        assert!(mark.contains(" members: m") && mark.ends_with(" and more"), "{mark}");
    }

    #[test]
    fn what_was_cut_before_is_marked_once() {
        let twice = metadata(&format!(r#"{{"a":"{}"}}"#, "x".repeat(5000))).cut(2000).cut(500);
        assert_eq!(twice.as_str().matches(Metadata::CUT).count(), 1);
        assert!(twice.as_str().len() <= 500);
    }
}
