//! Encoded words of RFC 2047, the form of non-ASCII text in headers: `=?UTF-8?B?w7w=?=`, `=?utf-8?q?=C3=BC?=`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::text;

/// Decodes the encoded words of a text. Broken ones, and those in an unknown character set, stay as they are.
#[must_use]
pub(crate) fn decoded(text: &str) -> String {
    let (mut out, mut rest, mut is_behind_word) = (String::with_capacity(text.len()), text, false);
    while let Some((before, from)) = rest.find("=?").map(|at| rest.split_at(at)) {
        if let Some((word, behind)) = word(from) {
            // Whitespace between two encoded words only separates them; it is not part of the text.
            if !is_behind_word || !before.trim_ascii().is_empty() {
                out.push_str(before);
            }
            out.push_str(&word);
            (rest, is_behind_word) = (behind, true);
        } else {
            let (sign, behind) = from.split_at("=?".len());
            out.extend([before, sign]);
            (rest, is_behind_word) = (behind, false);
        }
    }
    out.push_str(rest);
    out
}

/// Decodes the word at the start of the text; returns it with the rest.
fn word(text: &str) -> Option<(String, &str)> {
    let mut parts = text.strip_prefix("=?")?.splitn(4, '?');
    let (charset, encoding, content) = (parts.next()?, parts.next()?, parts.next()?);
    let behind = parts.next()?.strip_prefix('=')?;
    // RFC 2231 allows a language after it: utf-8*de.
    let charset = charset.split_once('*').map_or(charset, |(charset, _)| charset);
    let bytes = match encoding {
        "B" | "b" => BASE64.decode(content).ok()?,
        "Q" | "q" => quoted(content)?,
        _ => return None,
    };
    Some((text::decoded_exactly(&bytes, charset)?, behind))
}

/// `=C3=BC`, and `_` for a space. A bare space is not allowed, but ntfy accepts it.
fn quoted(content: &str) -> Option<Vec<u8>> {
    let mut bytes = content.bytes();
    let mut out = Vec::with_capacity(content.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'_' => b' ',
            b'=' => {
                let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            b' '..=b'~' => byte,
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_encodings_are_decoded_anywhere_in_a_text() {
        for (sent, text) in [
            ("=?UTF-8?B?w5xiZXJ0ZW1wZXJhdHVy?=", "Übertemperatur"),
            ("=?utf-8?q?=C3=9Cber_90_=c2=b0C=3F?=", "Über 90 °C?"),
            ("db1: =?UTF-8*de?Q?=C3=BC?= (=?UTF-8?b?8J+aqA==?=)", "db1: ü (🚨)"),
            ("=?UTF-8?Q??=", ""),
            ("=?ISO-8859-1?Q?=FCberlauf?= =?windows-1252?B?gA==?=", "überlauf€"),
            ("=?iso-8859-15*de?q?=A4?=", "€"),
            ("=?Shift_JIS?B?k4yLng==?=", "東京"),
            ("=?UTF-8?Q?a b?=", "a b"),
        ] {
            assert_eq!(decoded(sent), text, "{sent}");
        }
    }

    #[test]
    fn adjacent_words_join_and_other_whitespace_stays() {
        assert_eq!(decoded("=?UTF-8?Q?a?= \t =?UTF-8?B?Yg==?=  c =?UTF-8?Q?d?="), "ab  c d");
        assert_eq!(decoded("=?UTF-8?Q?a?==?UTF-8?Q?b?="), "ab");
        assert_eq!(decoded("=?UTF-8?Q?a?= =?x =?UTF-8?Q?b?="), "a =?x b");
    }

    #[test]
    fn broken_words_and_unknown_character_sets_stay_as_they_are() {
        for text in [
            "plain = ? text ü",
            "=?",
            "=?UTF-8?Q?a",
            "=?UTF-8?Q?a?",
            "=?UTF-8?X?a?=",
            "=?UTF-8?Q?=C3?=",
            "=?UTF-8?Q?=G0?=",
            "=?UTF-8?Q?=+1?=",
            "=?UTF-8?Q?ü?=",
            "=?UTF-8?B?w5x?=",
            "=?UTF-8?B?/w==?=",
            "=?Shift_JIS?B?kw==?=",
            "=?x-own?Q?=FC?=",
            "=??Q?a?=",
        ] {
            assert_eq!(decoded(text), text);
        }
    }

    proptest! {
        #[test]
        fn encoded_text_decodes_to_itself(texts in prop::collection::vec("\\PC{0,20}", 1..4)) {
            let words: Vec<_> = texts.iter().map(|text| format!("=?UTF-8?B?{}?=", BASE64.encode(text))).collect();
            prop_assert_eq!(decoded(&words.join(" ")), texts.concat());
        }
    }
}
