//! Values on the command line that clap has no parser for.

use std::time::Duration;

use crate::alert::{Level, Pattern};
use crate::key::Scope;

/// A duration of one number and one unit of s, m, h, d, w; `0` needs none.
///
/// # Errors
/// The accepted form, for a person.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let form = || "takes a number and one of s, m, h, d, w, such as 90d".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
    let unit: u64 = match &text[digits..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(form()),
    };
    let number: u64 = text[..digits].parse().map_err(|_| form())?;
    // A thousand years: far beyond any use, far below what times can be added to.
    let seconds = number.checked_mul(unit).filter(|seconds| *seconds <= 1000 * 366 * 86_400);
    seconds.map(Duration::from_secs).ok_or_else(|| "is longer than a thousand years".to_owned())
}

/// A duration that is not zero.
///
/// # Errors
/// As [`duration`].
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        some => Ok(some),
    }
}

/// `KEY=VALUE`; the value may be empty and may hold further `=`.
///
/// # Errors
/// The accepted form, for a person.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("takes KEY=VALUE".to_owned()),
    }
}

/// A topic pattern.
///
/// # Errors
/// What is wrong with it, for a person.
pub(crate) fn pattern(text: &str) -> Result<Pattern, String> {
    text.parse::<Pattern>().map_err(|e| format!("{e}; a pattern is a topic, ops.* or *"))
}

/// A priority of syslog, by name or number.
///
/// # Errors
/// The accepted form, for a person.
pub(crate) fn priority(text: &str) -> Result<u8, String> {
    const NAMES: [&[&str]; 8] = [
        &["emerg", "panic"],
        &["alert"],
        &["crit"],
        &["err", "error"],
        &["warning", "warn"],
        &["notice"],
        &["info"],
        &["debug"],
    ];
    let by_name = NAMES.iter().position(|names| names.contains(&text));
    let found = by_name.and_then(|number| u8::try_from(number).ok()).or_else(|| text.parse().ok().filter(|n| *n <= 7));
    found.ok_or_else(|| "takes emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7".to_owned())
}

/// The levels, known to help and completions.
#[must_use]
pub(crate) fn level() -> impl clap::builder::TypedValueParser<Value = Level> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(Level::ALL.map(Level::as_str)).try_map(|text| text.parse::<Level>())
}

/// The scopes, known to help and completions.
#[must_use]
pub(crate) fn scope() -> impl clap::builder::TypedValueParser<Value = Scope> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)).try_map(|text| text.parse::<Scope>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_number_and_one_unit() {
        for (text, seconds) in
            [("90d", 7_776_000), ("24h", 86_400), ("5m", 300), ("0s", 0), ("0", 0), ("2w", 1_209_600)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "m", "-5m", "1.5h", "1h30m", "5 m", "5ms", "99999999999999999999d", "999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(some_time("0s").is_err() && some_time("1s").is_ok());
    }

    #[test]
    fn a_priority_has_a_name_and_a_number() {
        assert_eq!(["emerg", "err", "error", "3", "7"].map(priority), [Ok(0), Ok(3), Ok(3), Ok(3), Ok(7)]);
        for text in ["", "8", "-1", "fatal", "ERR"] {
            assert!(priority(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("=b").is_err() && pair("ab").is_err());
    }
}
