//! Operations on text and bytes that several layers share: cutting, decoding, hexadecimal. Pure, and imports nothing of alertd.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

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

/// The text that `bytes` encode: in the Unicode encoding of their byte order mark if they begin with one, else in `charset`
/// (a label such as `iso-8859-1`), else in UTF-8. The mark is left out, and what cannot be decoded becomes U+FFFD.
#[must_use]
pub(crate) fn decoded<'b>(bytes: &'b [u8], charset: Option<&str>) -> Cow<'b, str> {
    let named = charset.and_then(|label| Encoding::for_label_no_replacement(label.as_bytes()));
    named.unwrap_or(UTF_8).decode(bytes).0
}

/// The same where the charset is known for certain: `None` for an unknown charset and for bytes that are wrong in it.
#[must_use]
pub(crate) fn decoded_exactly(bytes: &[u8], charset: &str) -> Option<String> {
    let named = Encoding::for_label_no_replacement(charset.as_bytes())?;
    named.decode_without_bom_handling_and_without_replacement(bytes).map(Cow::into_owned)
}

/// Whether a text that was decoded has only what people read: no character that stands for a byte that is wrong, and no
/// control character but those of lines and terminals.
#[must_use]
pub(crate) fn is_plain(text: &str) -> bool {
    let is_other = |c: char| c == '\u{fffd}' || c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}');
    !text.contains(is_other)
}

/// The only line of a file, without a byte order mark and the whitespace around it; otherwise what the file contains instead.
pub(crate) fn only_line(file: &[u8]) -> Result<&str, &'static str> {
    if file.starts_with(b"\xff\xfe") || file.starts_with(b"\xfe\xff") {
        return Err("bytes that are not text in UTF-8 but in UTF-16: save it as UTF-8");
    }
    let text = file.strip_prefix("\u{feff}".as_bytes()).unwrap_or(file);
    let is_around = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}');
    match std::str::from_utf8(text).map(|text| text.trim_matches(is_around)) {
        Err(_) => Err("bytes that are not text in UTF-8"),
        Ok("") => Err("nothing"),
        Ok(line) if line.contains(['\n', '\r']) => Err("several lines"),
        Ok(line) => Ok(line),
    }
}

/// The value of a header: UTF-8, or else Latin-1 as its superset windows-1252, as browsers read it.
#[must_use]
pub(crate) fn header(bytes: &[u8]) -> Cow<'_, str> {
    let latin1 = |_| WINDOWS_1252.decode_without_bom_handling(bytes).0;
    std::str::from_utf8(bytes).map_or_else(latin1, Cow::Borrowed)
}

/// Lower-case hexadecimal, two digits for each byte.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes that lower-case or upper-case hexadecimal of exactly their number stands for.
#[must_use]
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(bytes)
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
    fn bytes_are_decoded_by_their_mark_else_by_the_charset_else_as_utf_8() {
        for (bytes, charset, text) in [
            (&b"Ger\xc3\xa4t"[..], None, "Ger\u{e4}t"),
            (b"Ger\xe4t", None, "Ger\u{fffd}t"),
            (b"Ger\xe4t", Some("ISO-8859-1"), "Ger\u{e4}t"),
            (b"Ger\xe4t", Some("latin1"), "Ger\u{e4}t"),
            (b"5 \x80", Some("windows-1252"), "5 \u{20ac}"),
            (b"\xa4", Some("iso-8859-15"), "\u{20ac}"),
            (b"x\xe4", Some("no such set"), "x\u{fffd}"),
            (b"\xef\xbb\xbfx", None, "x"),
            (b"\xef\xbb\xbf\xc3\xa4", Some("iso-8859-1"), "\u{e4}"),
            (b"\xff\xfex\0", None, "x"),
            (b"\xfe\xff\0x", Some("utf-8"), "x"),
            (b"x\xe4\xbdz\xed\xa0\x80", None, "x\u{fffd}z\u{fffd}\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(decoded(bytes, charset), text, "{bytes:?} {charset:?}");
        }
    }

    #[test]
    fn a_header_that_is_not_utf_8_is_latin_1() {
        assert_eq!(header(b"\xfcberlauf"), "\u{fc}berlauf");
        assert_eq!(header("\u{fc}berlauf".as_bytes()), "\u{fc}berlauf");
        assert_eq!(header(b"\xff\xfe"), "\u{ff}\u{fe}");
        assert_eq!(header(b"5 \x80"), "5 \u{20ac}");
    }

    #[test]
    fn the_only_line_of_a_file_is_found_whatever_editor_wrote_it() {
        for file in [
            "key",
            "key\n",
            "key\r\n",
            "\u{feff}key\r\n",
            "\u{feff}key",
            "key \t\n\n",
            "\n key",
            "\u{200b}key\u{feff}\n",
        ] {
            assert_eq!(only_line(file.as_bytes()), Ok("key"), "{file:?}");
        }
        for (file, contents) in [
            (&b""[..], "nothing"),
            (b"\xef\xbb\xbf\r\n", "nothing"),
            (b"key\r\nother\r\n", "several lines"),
            (b"key\rother", "several lines"),
            (b"\xff\xfek\0e\0y\0", "bytes that are not text in UTF-8 but in UTF-16: save it as UTF-8"),
            (b"\xfe\xff\0k\0e\0y", "bytes that are not text in UTF-8 but in UTF-16: save it as UTF-8"),
            (b"k\xe4y", "bytes that are not text in UTF-8"),
        ] {
            assert_eq!(only_line(file), Err(contents), "{file:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_told_from_text() {
        for plain in ["", "a\tb\r\n", "\u{1b}[31mred", "ä€"] {
            assert!(is_plain(plain), "{plain:?}");
        }
        for other in ["\u{fffd}", "PK\u{3}\u{4}", "a\0"] {
            assert!(!is_plain(other), "{other:?}");
        }
    }

    #[test]
    fn hexadecimal_has_two_lower_case_digits_for_each_byte() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa0, 0xff]), "000fa0ff");
        assert_eq!(hex(&[]), "");
        assert_eq!(unhex("000fA0ff"), Some([0x00, 0x0f, 0xa0, 0xff]));
        for wrong in ["000fa0f", "000fa0ff0", "000fa0fg", "+00fa0ff"] {
            assert_eq!(unhex::<4>(wrong), None);
        }
    }
}
