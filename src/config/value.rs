//! Raw values and their parsers.
//!
//! Every parser returns the value, or an error message of the form `error; remedy`. The message repeats at most a short part
//! of the value, without control characters.

use std::path::PathBuf;
use std::time::Duration;

use super::size;
use crate::alert::duration;

const MAX_LIST_ENTRIES: usize = 64;
/// Characters of an invalid value that a message repeats.
const MAX_QUOTED_CHARS: usize = 60;

/// A value as it is written, before it is parsed for its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    Text(String),
    Number(String),
    Flag(bool),
    List(Vec<Self>),
    /// A type that no key has, in words.
    Other(&'static str),
}

/// The parsed value, or an error message with its remedy.
pub(super) type Parsed<T> = Result<T, String>;

impl Raw {
    /// The value in the notation of the file.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            // One that cannot be parsed may be any characters.
            Self::Number(number) => number.escape_debug().to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::show).collect::<Vec<_>>().join(", ")),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }

    /// The value of an environment variable. Its type is that of the key's default.
    pub(super) fn from_variable(text: &str, default: Option<&Self>) -> Self {
        match (default, text) {
            (Some(Self::Flag(_)), "true") => Self::Flag(true),
            (Some(Self::Flag(_)), "false") => Self::Flag(false),
            (Some(Self::Number(_)), number) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
                Self::Number(number.to_owned())
            }
            (Some(Self::List(_)), items) => Self::List(split(items).map(|item| Self::Text(item.to_owned())).collect()),
            _ => Self::Text(text.to_owned()),
        }
    }

    /// Whether the value contains a URL with a user or password.
    pub(super) fn holds_credentials(&self) -> bool {
        match self {
            Self::Text(text) => text.split("://").skip(1).any(|rest| {
                // A password may contain any character, so an @ anywhere in the word counts.
                rest.split(char::is_whitespace).next().is_some_and(|word| word.contains('@'))
            }),
            Self::List(items) => items.iter().any(Self::holds_credentials),
            _ => false,
        }
    }

    /// The value, shortened for a message.
    pub(super) fn brief(&self) -> String {
        let shown = self.show();
        if shown.chars().count() > MAX_QUOTED_CHARS {
            shown.chars().take(MAX_QUOTED_CHARS).chain(['…']).collect()
        } else {
            shown
        }
    }

    pub(super) fn text(&self) -> Parsed<String> {
        match self {
            Self::Text(text) if text.chars().any(char::is_control) => {
                Err(format!("{} contains a control character; remove it", self.brief()))
            }
            Self::Text(text) => Ok(text.clone()),
            other => Err(format!("{} is not text; write it in quotes", other.brief())),
        }
    }

    pub(super) fn flag(&self) -> Parsed<bool> {
        match self {
            Self::Flag(flag) => Ok(*flag),
            other => Err(format!("{} is neither true nor false; write one of them, without quotes", other.brief())),
        }
    }

    /// A list, or a text with entries separated by commas.
    pub(super) fn list(&self) -> Parsed<Vec<String>> {
        let list = match self {
            Self::List(items) => items.iter().map(Self::text).collect::<Parsed<Vec<_>>>()?,
            Self::Text(_) => split(&self.text()?).map(ToOwned::to_owned).collect(),
            other => return Err(format!("{} is neither text nor a list; write [\"…\", \"…\"]", other.brief())),
        };
        if list.len() > MAX_LIST_ENTRIES {
            return Err(format!("the list has {} entries; the maximum is {MAX_LIST_ENTRIES}", list.len()));
        }
        Ok(list)
    }

    /// The entries of a list, each parsed by `parse`.
    pub(super) fn each<T>(&self, parse: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
        let parse_one =
            |item: &String| parse(item).map_err(|wrong| format!("{} {wrong}", Self::Text(item.clone()).brief()));
        self.list()?.iter().map(parse_one).collect()
    }

    /// A whole number from `min` to `max`.
    pub(super) fn number<T: TryFrom<u64>>(&self, min: u64, max: u64) -> Parsed<T> {
        let span = format!("{min} to {max}");
        let none = || format!("{} is not a whole number; the range is {span}", self.brief());
        let (Self::Number(text) | Self::Text(text)) = self else { return Err(none()) };
        let number = whole(&text.replace('_', "")).ok_or_else(none)?;
        self.within(number, i128::from(min), i128::from(max), ["small", "large"], &span)
    }

    /// A size from `min` to `max` bytes.
    pub(super) fn size<T: TryFrom<u64>>(&self, min: u64, max: u64) -> Parsed<T> {
        let span = format!("{} to {}", size::show(min), size::show(max));
        self.bytes(min, max, &span)
    }

    /// A size from `min` to `max` bytes, or 0.
    pub(super) fn size_or_zero<T: TryFrom<u64>>(&self, min: u64, max: u64) -> Parsed<T> {
        let span = format!("{} to {}, or 0", size::show(min), size::show(max));
        let is_zero = matches!(self, Self::Number(text) | Self::Text(text) if size::parse(text) == Some(0));
        self.bytes(if is_zero { 0 } else { min }, max, &span)
    }

    fn bytes<T: TryFrom<u64>>(&self, min: u64, max: u64, span: &str) -> Parsed<T> {
        let bytes = match self {
            Self::Number(text) | Self::Text(text) => size::parse(text),
            _ => None,
        };
        let bytes =
            bytes.ok_or_else(|| format!("{} is not a size such as \"64KiB\"; the range is {span}", self.brief()))?;
        self.within(bytes.into(), min.into(), max.into(), ["small", "large"], span)
    }

    /// A duration from `min` to `max`.
    pub(super) fn duration(&self, min: Duration, max: Duration) -> Parsed<Duration> {
        let span = format!("{} to {}", duration::show(min), duration::show(max));
        self.time(min, max, &span)
    }

    /// A duration from `min` to `max`, or 0.
    pub(super) fn duration_or_zero(&self, min: Duration, max: Duration) -> Parsed<Duration> {
        let span = format!("{} to {}, or 0", duration::show(min), duration::show(max));
        let is_zero = self.as_duration() == Some(Duration::ZERO);
        self.time(if is_zero { Duration::ZERO } else { min }, max, &span)
    }

    fn time(&self, min: Duration, max: Duration, span: &str) -> Parsed<Duration> {
        let none = || format!("{} is not a duration such as \"15s\" or \"1h30m\"; the range is {span}", self.brief());
        let time = self.as_duration().ok_or_else(none)?;
        let ms = |time: Duration| i128::try_from(time.as_millis()).unwrap_or(i128::MAX);
        let ms = self.within(ms(time), ms(min), ms(max), ["short", "long"], span)?;
        Ok(Duration::from_millis(ms))
    }

    fn as_duration(&self) -> Option<Duration> {
        match self {
            Self::Text(text) => duration::parse(text),
            // Zero needs no unit.
            Self::Number(number) if number == "0" => Some(Duration::ZERO),
            _ => None,
        }
    }

    fn within<T: TryFrom<u64>>(&self, value: i128, min: i128, max: i128, words: [&str; 2], span: &str) -> Parsed<T> {
        let [below, above] = words;
        if value < min {
            return Err(format!("{} is too {below}; the range is {span}", self.brief()));
        }
        let fits = u64::try_from(value).ok().filter(|_| value <= max).and_then(|value| T::try_from(value).ok());
        fits.ok_or_else(|| format!("{} is too {above}; the range is {span}", self.brief()))
    }

    /// `1s..5s`, or one duration for both ends.
    pub(super) fn span(&self, min: Duration, max: Duration) -> Parsed<(Duration, Duration)> {
        let limits = format!("from {} to {}", duration::show(min), duration::show(max));
        let none = || format!("{} is not a range such as \"1s..5s\"; write two durations {limits}", self.brief());
        let Self::Text(text) = self else { return Err(none()) };
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let (from, to) = (duration::parse(from).ok_or_else(none)?, duration::parse(to).ok_or_else(none)?);
        match () {
            () if from > to => Err(format!("{} runs backwards; write the shorter duration first", self.brief())),
            () if from < min => Err(format!("{} begins below the minimum; write two durations {limits}", self.brief())),
            () if to > max => Err(format!("{} ends above the maximum; write two durations {limits}", self.brief())),
            () => Ok((from, to)),
        }
    }

    pub(super) fn path(&self) -> Parsed<PathBuf> {
        let path = PathBuf::from(self.text()?);
        if path.is_absolute() {
            Ok(path)
        } else {
            Err(format!("{} is not an absolute path; begin it with /", self.brief()))
        }
    }

    /// An absolute path, or nothing.
    pub(super) fn optional_path(&self) -> Parsed<Option<PathBuf>> {
        if *self == Self::Text(String::new()) { Ok(None) } else { self.path().map(Some) }
    }

    /// One of these words.
    pub(super) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Parsed<T> {
        let found = match self {
            Self::Text(text) => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        found.map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            format!("{} is unknown; write {}", self.brief(), known.join(" or "))
        })
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A whole number of any size, so that `-1` is reported as too small.
fn whole(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_whole.then(|| text.parse().unwrap_or(i128::MAX))
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut shown = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => shown.extend(['\\', c]),
            c if c.is_control() => shown.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_shown_as_valid_toml() {
        for text in ["", "plain", "a \"b\" \\c", "line\nfeed\ttab", "\u{7f}\u{9b}", "ünïcode…"] {
            let line = format!("key = {}", Raw::Text(text.into()).show());
            let table: toml::Table = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(table["key"].as_str(), Some(text));
        }
    }

    #[test]
    fn a_url_with_credentials_is_recognised() {
        let holds = |text: &str| Raw::Text(text.into()).holds_credentials();
        for url in ["redis://:pw@h", "redis://u:p/w@h:1/0", "http://u@h", "a, https://x:y@h"] {
            assert!(holds(url), "{url}");
        }
        for plain in ["", "https://dash.example.org", "me@example.org", "/a/b@c", "http://a, me@b"] {
            assert!(!holds(plain), "{plain}");
        }
        assert!(Raw::List(vec![Raw::Text("x://a:b@c".into())]).holds_credentials());
    }

    #[test]
    fn a_long_invalid_value_is_shortened_in_the_message() {
        let error = Raw::Text("x".repeat(5000)).number::<u64>(0, 1).unwrap_err();
        assert!(error.chars().count() < 120 && error.contains("x…"), "{error}");
    }
}
