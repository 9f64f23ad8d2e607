//! Small operations on text and bytes that several layers share. Pure, and imports nothing of alertd.

use std::borrow::Cow;

/// The end of a text that was cut.
pub(crate) const ELLIPSIS: &str = "…";

/// The longest prefix of `text` of at most `max` bytes that does not split a character.
#[must_use]
pub(crate) fn prefix(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    &text[..end]
}

/// `text` if it has at most `max` bytes, else a prefix of it that ends in `…` and has at most `max` bytes together with
/// it. `max` must leave room for the mark.
#[must_use]
pub(crate) fn truncate(text: &str, max: usize) -> Cow<'_, str> {
    debug_assert!(max >= ELLIPSIS.len(), "no room for the mark in {max} bytes");
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}{ELLIPSIS}", prefix(text, max.saturating_sub(ELLIPSIS.len()))))
}

/// Lower-case hexadecimal, two digits for each byte.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_marked() {
        assert_eq!(truncate("äbc", 4), "äbc");
        assert_eq!(truncate("äbcd", 4), "…");
        assert_eq!(truncate("aäbcd", 5), "a…");
        assert_eq!(truncate("aäbcd", 6), "aäbcd");
        for max in 3..20 {
            let text = "äöü€𝄞".repeat(2);
            let cut = truncate(&text, max);
            assert!(cut.len() <= max && text.starts_with(cut.trim_end_matches(ELLIPSIS)), "{max}: {cut}");
        }
        assert_eq!((prefix("äö", 3), prefix("äö", 0), prefix("äö", 99)), ("ä", "", "äö"));
    }

    #[test]
    fn hexadecimal_has_two_lower_case_digits_for_each_byte() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa0, 0xff]), "000fa0ff");
        assert_eq!(hex(&[]), "");
    }
}
