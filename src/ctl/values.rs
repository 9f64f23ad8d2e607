//! Parsers of values on the command line.

use std::time::Duration;

use crate::alert::{Level, Pattern};
use crate::key::Scope;

/// A duration in the same format as in the configuration and in queries, at most a thousand years.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    // Adding a longer one to a time could overflow.
    const MAX: Duration = Duration::from_secs(1000 * 366 * 86_400);
    match crate::alert::duration::parse(text) {
        Some(time) if time <= MAX => Ok(time),
        Some(_) => Err("is longer than a thousand years".to_owned()),
        None => {
            Err("is not a duration; use numbers with the units ms, s, m, h, d or w, such as 90d or 1h30m".to_owned())
        }
    }
}

/// A duration that is not zero.
pub(crate) fn nonzero_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than 0".to_owned()),
        time => Ok(time),
    }
}

/// Any text; bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub(crate) fn lossy() -> impl clap::builder::TypedValueParser<Value = String> {
    use clap::builder::TypedValueParser;
    clap::builder::OsStringValueParser::new().map(|text| text.to_string_lossy().into_owned())
}

/// `KEY=VALUE`. The value may be empty and may contain further `=`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must have the form KEY=VALUE".to_owned()),
    }
}

/// The same of any bytes.
#[must_use]
pub(crate) fn lossy_pair() -> impl clap::builder::TypedValueParser<Value = (String, String)> {
    use clap::builder::TypedValueParser;
    lossy().try_map(|text| pair(&text))
}

pub(crate) fn pattern(text: &str) -> Result<Pattern, String> {
    text.parse::<Pattern>().map_err(|e| format!("{e}; a pattern is a topic, ops.* or *"))
}

/// A syslog priority, by name or number.
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
    found.ok_or_else(|| "must be emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7".to_owned())
}

/// The same; completions list the names.
#[must_use]
pub(crate) fn priorities() -> impl clap::builder::TypedValueParser<Value = u8> {
    use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
    const SHOWN: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    const OTHERS: [&str; 11] = ["panic", "error", "warn", "0", "1", "2", "3", "4", "5", "6", "7"];
    let others = OTHERS.map(|word| PossibleValue::new(word).hide(true));
    PossibleValuesParser::new(SHOWN.map(PossibleValue::new).into_iter().chain(others)).try_map(|text| priority(&text))
}

/// A level. Help and completions list the values.
#[must_use]
pub(crate) fn level() -> impl clap::builder::TypedValueParser<Value = Level> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(Level::ALL.map(Level::as_str)).try_map(|text| text.parse::<Level>())
}

/// A scope. Help and completions list the values.
#[must_use]
pub(crate) fn scope() -> impl clap::builder::TypedValueParser<Value = Scope> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)).try_map(|text| text.parse::<Scope>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_format_of_the_configuration() {
        for (text, seconds) in
            [("90d", 7_776_000), ("1h30m", 5400), ("5m", 300), ("0s", 0), ("0", 0), ("2w", 1_209_600)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "m", "-5m", "1.5h", "5 m", "5ms3", "99999999999999999999d", "999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert!(nonzero_duration("0s").is_err() && nonzero_duration("1s").is_ok());
    }

    #[test]
    fn a_priority_is_a_name_or_a_number() {
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
