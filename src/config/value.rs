//! Values as they are written, and what they mean.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::alert::duration::milliseconds;

/// A value before anybody knows what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    Text(String),
    Number(String),
    Flag(bool),
    List(Vec<Self>),
    /// Of a kind that no setting has.
    Other(&'static str),
}

/// What it means, or what would be right.
pub(super) type Parsed<T> = Result<T, String>;

impl Raw {
    /// As it would stand in the file.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Number(number) => number.clone(),
            Self::Flag(flag) => flag.to_string(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::show).collect::<Vec<_>>().join(", ")),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }

    pub(super) fn text(&self) -> Parsed<String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            other => Err(format!("is {}, must be a text in quotes", other.show())),
        }
    }

    pub(super) fn flag(&self) -> Parsed<bool> {
        match self {
            Self::Flag(flag) => Ok(*flag),
            Self::Text(text) if text == "true" => Ok(true),
            Self::Text(text) if text == "false" => Ok(false),
            other => Err(format!("is {}, must be true or false", other.show())),
        }
    }

    /// A list, or one thing; in the environment separated by commas.
    pub(super) fn list(&self) -> Parsed<Vec<String>> {
        match self {
            Self::List(items) => items.iter().map(Self::text).collect(),
            Self::Text(text) => {
                Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(ToOwned::to_owned).collect())
            }
            other => Err(format!("is {}, must be a text or a list of texts", other.show())),
        }
    }

    pub(super) fn number(&self, least: u64, most: u64) -> Parsed<u64> {
        let text = match self {
            Self::Number(text) | Self::Text(text) => text.replace('_', ""),
            _ => String::new(),
        };
        let within = text.parse().ok().filter(|number| (least..=most).contains(number));
        within.ok_or_else(|| format!("is {}, must be a whole number from {least} to {most}", self.show()))
    }

    /// `64KiB`, `1GiB`, `10MB`, or a number of bytes.
    pub(super) fn size(&self, least: u64, most: u64) -> Parsed<u64> {
        let wrong = || {
            format!(
                "is {}, must be a size from {} to {} such as \"64KiB\"",
                self.show(),
                show_size(least),
                show_size(most)
            )
        };
        let (Self::Number(text) | Self::Text(text)) = self else { return Err(wrong()) };
        let text = text.replace('_', "");
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        bytes.filter(|bytes| *bytes == 0 && least == 0 || (least..=most).contains(bytes)).ok_or_else(wrong)
    }

    /// `15s`, `10m`, `1h30m`, `7d`, `500ms`; 0 where `least` is zero.
    pub(super) fn duration(&self, least: Duration, most: Duration) -> Parsed<Duration> {
        let text =
            self.text().map_err(|_| format!("is {}, must be a duration such as \"15s\" or \"1h30m\"", self.show()))?;
        let duration =
            duration(&text).ok_or_else(|| format!("is {text:?}, must be a duration such as \"15s\" or \"1h30m\""))?;
        if duration < least || duration > most {
            return Err(format!("is {text:?}, must be from {} to {}", show_duration(least), show_duration(most)));
        }
        Ok(duration)
    }

    /// `1s..5s`.
    pub(super) fn span(&self, least: Duration, most: Duration) -> Parsed<(Duration, Duration)> {
        let wrong = || {
            format!(
                "is {}, must be a span such as \"1s..5s\" from {} to {}",
                self.show(),
                show_duration(least),
                show_duration(most)
            )
        };
        let text = self.text().map_err(|_| wrong())?;
        let (from, to) = text.split_once("..").unwrap_or((&text, &text));
        let (from, to) = (duration(from).ok_or_else(wrong)?, duration(to).ok_or_else(wrong)?);
        if from < least || to > most || from > to { Err(wrong()) } else { Ok((from, to)) }
    }

    pub(super) fn addresses(&self) -> Parsed<Vec<SocketAddr>> {
        let list = self.list()?;
        if list.is_empty() {
            return Err("is empty, must be an address and port such as \"127.0.0.1:8080\"".into());
        }
        list.iter()
            .map(|item| {
                item.parse().map_err(|_| {
                    format!("{item:?} is no address and port such as \"127.0.0.1:8080\" or \"[::1]:8080\"")
                })
            })
            .collect()
    }

    pub(super) fn networks(&self) -> Parsed<Vec<Network>> {
        self.list()?.iter().map(|item| Network::parse(item)).collect()
    }

    /// An absolute path.
    pub(super) fn path(&self) -> Parsed<PathBuf> {
        let path = PathBuf::from(self.text()?);
        if path.is_absolute() { Ok(path) } else { Err(format!("is {}, must be an absolute path", self.show())) }
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
            format!("is {}, must be {}", self.show(), known.join(" or "))
        })
    }
}

/// A duration as people write it; a bare 0 is one too.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" { Some(Duration::ZERO) } else { milliseconds(text).map(Duration::from_millis) }
}

fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let fits = units.iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit));
    fits.map_or_else(|| "0s".into(), |(name, unit)| format!("{}{name}", ms / unit))
}

fn show_size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fits = units.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// An address, or a network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Parsed<Self> {
        let wrong = || format!("{text:?} is no address or network such as \"10.0.0.0/8\"");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > all { Err(wrong()) } else { Ok(Self { address, bits }) }
    }

    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |own: u128, other: u128, width: u32| {
            let shift = width - u32::from(self.bits);
            shift >= width || own >> shift == other >> shift
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(own.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_they_should() {
        let network = |text: &str| Network::parse(text).unwrap();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(network("10.0.0.0/8").contains(address("10.255.0.1")));
        assert!(network("10.0.0.0/8").contains(address("::ffff:10.1.2.3")));
        assert!(!network("10.0.0.0/8").contains(address("11.0.0.1")));
        assert!(network("0.0.0.0/0").contains(address("1.2.3.4")) && !network("0.0.0.0/0").contains(address("::1")));
        assert!(network("::1").contains(address("::1")) && !network("::1").contains(address("::2")));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "x", "::1/129", "10.0.0.0/-1"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        let size = |text: &str| Raw::Text(text.into()).size(0, u64::MAX);
        assert_eq!((size("64KiB"), size("1 GiB"), size("10MB")), (Ok(65_536), Ok(1 << 30), Ok(10_000_000)));
        assert!(size("64kib").is_err() && size("").is_err() && size("99999999999GiB").is_err());
    }
}
