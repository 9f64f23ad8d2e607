//! Values as they are written, and what they mean.
//!
//! Every reader takes what stands there and gives the value, or `what is wrong; remedy` for a person. What it repeats of
//! the value is short and without control characters.

use std::path::PathBuf;
use std::time::Duration;

use super::size;
use crate::alert::duration;

/// More entries than any list needs.
const LIST: usize = 64;
/// Characters of a wrong value that a message repeats.
const QUOTED: usize = 60;

/// A value before anybody knows what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    Text(String),
    Number(String),
    Flag(bool),
    List(Vec<Self>),
    /// Of a kind that no key has.
    Other(&'static str),
}

/// What it means, or what is wrong and how to mend it.
pub(super) type Parsed<T> = Result<T, String>;

impl Raw {
    /// As it would stand in the file.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Number(number) => number.clone(),
            Self::Flag(flag) => flag.to_string(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::show).collect::<Vec<_>>().join(", ")),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }

    /// As a variable of the environment gives it, for a key whose default is `default`.
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

    /// Whether it holds a URL with a user or a password.
    pub(super) fn holds_credentials(&self) -> bool {
        match self {
            Self::Text(text) => text.split("://").skip(1).any(|rest| {
                // A password may hold any character; what follows the last @ of the word is the host.
                rest.split(char::is_whitespace).next().is_some_and(|word| word.contains('@'))
            }),
            Self::List(items) => items.iter().any(Self::holds_credentials),
            _ => false,
        }
    }

    /// For a message.
    pub(super) fn brief(&self) -> String {
        let shown = self.show();
        if shown.chars().count() > QUOTED { shown.chars().take(QUOTED).chain(['…']).collect() } else { shown }
    }

    pub(super) fn text(&self) -> Parsed<String> {
        match self {
            Self::Text(text) if text.chars().any(char::is_control) => {
                Err(format!("{} holds a control character; leave it out", self.brief()))
            }
            Self::Text(text) => Ok(text.clone()),
            other => Err(format!("{} is no text; write one in quotes", other.brief())),
        }
    }

    pub(super) fn flag(&self) -> Parsed<bool> {
        match self {
            Self::Flag(flag) => Ok(*flag),
            other => Err(format!("{} is neither true nor false; write one of them, without quotes", other.brief())),
        }
    }

    /// A list, or one thing; a text may hold several, separated by commas.
    pub(super) fn list(&self) -> Parsed<Vec<String>> {
        let list = match self {
            Self::List(items) => items.iter().map(Self::text).collect::<Parsed<Vec<_>>>()?,
            Self::Text(_) => split(&self.text()?).map(ToOwned::to_owned).collect(),
            other => return Err(format!("{} is neither text nor list; write [\"…\", \"…\"]", other.brief())),
        };
        if list.len() > LIST {
            return Err(format!("the list has {} entries; write {LIST} at most", list.len()));
        }
        Ok(list)
    }

    /// The entries of a list, each read by itself.
    pub(super) fn each<T>(&self, read: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
        let read_one =
            |item: &String| read(item).map_err(|wrong| format!("{} {wrong}", Self::Text(item.clone()).brief()));
        self.list()?.iter().map(read_one).collect()
    }

    /// A whole number within both bounds.
    pub(super) fn number<T: TryFrom<u64>>(&self, least: u64, most: u64) -> Parsed<T> {
        let span = format!("{least} to {most}");
        let none = || format!("{} is no whole number; write {span}", self.brief());
        let (Self::Number(text) | Self::Text(text)) = self else { return Err(none()) };
        let number = whole(&text.replace('_', "")).ok_or_else(none)?;
        self.within(number, i128::from(least), i128::from(most), ["small", "large"], &span)
    }

    /// Bytes within both bounds.
    pub(super) fn size<T: TryFrom<u64>>(&self, least: u64, most: u64) -> Parsed<T> {
        let span = format!("{} to {}", size::show(least), size::show(most));
        self.bytes(least, most, &span)
    }

    /// Bytes within both bounds, or 0.
    pub(super) fn size_or_zero<T: TryFrom<u64>>(&self, least: u64, most: u64) -> Parsed<T> {
        let span = format!("{} to {}, or 0", size::show(least), size::show(most));
        let is_zero = matches!(self, Self::Number(text) | Self::Text(text) if size::parse(text) == Some(0));
        self.bytes(if is_zero { 0 } else { least }, most, &span)
    }

    fn bytes<T: TryFrom<u64>>(&self, least: u64, most: u64, span: &str) -> Parsed<T> {
        let bytes = match self {
            Self::Number(text) | Self::Text(text) => size::parse(text),
            _ => None,
        };
        let bytes = bytes.ok_or_else(|| format!("{} is no size such as \"64KiB\"; write {span}", self.brief()))?;
        self.within(bytes.into(), least.into(), most.into(), ["small", "large"], span)
    }

    /// A duration within both bounds.
    pub(super) fn duration(&self, least: Duration, most: Duration) -> Parsed<Duration> {
        let span = format!("{} to {}", duration::show(least), duration::show(most));
        self.time(least, most, &span)
    }

    /// A duration within both bounds, or 0.
    pub(super) fn duration_or_zero(&self, least: Duration, most: Duration) -> Parsed<Duration> {
        let span = format!("{} to {}, or 0", duration::show(least), duration::show(most));
        let is_zero = self.as_duration() == Some(Duration::ZERO);
        self.time(if is_zero { Duration::ZERO } else { least }, most, &span)
    }

    fn time(&self, least: Duration, most: Duration, span: &str) -> Parsed<Duration> {
        let none = || format!("{} is no duration such as \"15s\" or \"1h30m\"; write {span}", self.brief());
        let time = self.as_duration().ok_or_else(none)?;
        let ms = |time: Duration| i128::try_from(time.as_millis()).unwrap_or(i128::MAX);
        let ms = self.within(ms(time), ms(least), ms(most), ["short", "long"], span)?;
        Ok(Duration::from_millis(ms))
    }

    fn as_duration(&self) -> Option<Duration> {
        match self {
            Self::Text(text) => duration::parse(text),
            // Zero is zero in every unit.
            Self::Number(number) if number == "0" => Some(Duration::ZERO),
            _ => None,
        }
    }

    fn within<T: TryFrom<u64>>(&self, value: i128, least: i128, most: i128, off: [&str; 2], span: &str) -> Parsed<T> {
        let [below, above] = off;
        if value < least {
            return Err(format!("{} is too {below}; write {span}", self.brief()));
        }
        let fits = u64::try_from(value).ok().filter(|_| value <= most).and_then(|value| T::try_from(value).ok());
        fits.ok_or_else(|| format!("{} is too {above}; write {span}", self.brief()))
    }

    /// `1s..5s`, or one duration for both ends.
    pub(super) fn span(&self, least: Duration, most: Duration) -> Parsed<(Duration, Duration)> {
        let limits = format!("from {} to {}", duration::show(least), duration::show(most));
        let none = || format!("{} is no span such as \"1s..5s\"; write two durations {limits}", self.brief());
        let Self::Text(text) = self else { return Err(none()) };
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let (from, to) = (duration::parse(from).ok_or_else(none)?, duration::parse(to).ok_or_else(none)?);
        match () {
            () if from > to => Err(format!("{} runs backwards; write the shorter duration first", self.brief())),
            () if from < least => Err(format!("{} begins too early; write two durations {limits}", self.brief())),
            () if to > most => Err(format!("{} ends too late; write two durations {limits}", self.brief())),
            () => Ok((from, to)),
        }
    }

    pub(super) fn path(&self) -> Parsed<PathBuf> {
        let path = PathBuf::from(self.text()?);
        if path.is_absolute() {
            Ok(path)
        } else {
            Err(format!("{} is no absolute path; begin it with /", self.brief()))
        }
    }

    /// A path, or nothing.
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

/// Also beyond the bounds, so that `-1` is told to be too small.
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
    fn what_is_shown_is_toml_whatever_it_holds() {
        for text in ["", "plain", "a \"b\" \\c", "line\nfeed\ttab", "\u{7f}\u{9b}", "ünïcode…"] {
            let line = format!("key = {}", Raw::Text(text.into()).show());
            let table: toml::Table = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(table["key"].as_str(), Some(text));
        }
    }

    #[test]
    fn a_url_with_credentials_is_recognised() {
        let held = |text: &str| Raw::Text(text.into()).holds_credentials();
        for url in ["redis://:pw@h", "redis://u:p/w@h:1/0", "http://u@h", "a, https://x:y@h"] {
            assert!(held(url), "{url}");
        }
        for plain in ["", "https://dash.example.org", "me@example.org", "/a/b@c", "http://a, me@b"] {
            assert!(!held(plain), "{plain}");
        }
        assert!(Raw::List(vec![Raw::Text("x://a:b@c".into())]).holds_credentials());
    }

    #[test]
    fn a_long_wrong_value_is_repeated_in_part() {
        let error = Raw::Text("x".repeat(5000)).number::<u64>(0, 1).unwrap_err();
        assert!(error.chars().count() < 120 && error.contains("x…"), "{error}");
    }
}
