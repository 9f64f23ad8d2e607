//! Characters beyond ASCII that end a line for some readers, and their escapes in JSON.
//!
//! Called wherever JSON is written for a reader. Clients that split lines as Unicode does would see half an alert.

use std::borrow::Cow;

/// JSON without the characters beyond ASCII that end a line: U+0085, U+2028 and U+2029 are escaped. They can occur only
/// inside strings.
#[must_use]
pub fn escape_line_ends(json: &[u8]) -> Cow<'_, [u8]> {
    if json.is_ascii() || !(0..json.len()).any(|at| escape_at(&json[at..]).is_some()) {
        return Cow::Borrowed(json);
    }
    let mut escaped = Vec::with_capacity(json.len() + 64);
    let mut rest = json;
    while let Some(&byte) = rest.first() {
        match escape_at(rest) {
            Some((length, text)) => {
                escaped.extend_from_slice(text);
                rest = &rest[length..];
            }
            None => {
                escaped.push(byte);
                rest = &rest[1..];
            }
        }
    }
    Cow::Owned(escaped)
}

/// The length and the escape of the character that the text begins with, if that ends a line.
fn escape_at(text: &[u8]) -> Option<(usize, &'static [u8])> {
    match text {
        [0xc2, 0x85, ..] => Some((2, br"\u0085")),
        [0xe2, 0x80, 0xa8, ..] => Some((3, br"\u2028")),
        [0xe2, 0x80, 0xa9, ..] => Some((3, br"\u2029")),
        _ => None,
    }
}
