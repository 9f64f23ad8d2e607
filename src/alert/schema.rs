//! JSON Schemas of the values that are text, for the OpenAPI document.
//!
//! Whatever a value prints matches its schema; the parsers remain authoritative for what is accepted.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Id, Pattern, Topic};

/// The regular expression for [`Pattern`], as a literal for `concat!`: the live page checks topics by the same one.
macro_rules! pattern_regex {
    () => {
        r"^(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)$"
    };
}
pub(crate) use pattern_regex;

macro_rules! text {
    ($($kind:ident: $description:literal, $pattern:expr, $max_length:expr;)*) => {$(
        impl JsonSchema for $kind {
            fn schema_name() -> Cow<'static, str> {
                stringify!($kind).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string", "description": $description, "pattern": $pattern, "minLength": 1, "maxLength": $max_length
                })
            }
        }
    )*};
}

text! {
    Id: "`<milliseconds>-<sequence>`: orders all alerts, and is the cursor after this one.", r"^(0|[1-9][0-9]{0,19})-(0|[1-9][0-9]{0,19})$", 41;
    Topic: "Labels of letters, digits, `_` and `-`, joined by dots.",
        r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", Topic::MAX;
    Pattern: "A topic, `ops.*` (all below `ops`) or `*`.", pattern_regex!(), Topic::MAX + 2;
}
