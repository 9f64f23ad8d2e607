//! Durations as people write them: in the configuration, in a query and on a command line.

// From core, which has no clock.
use core::time::Duration;

/// Milliseconds of each unit; each is a multiple of the next.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The sum of numbers with the units w, d, h, m, s and ms, such as `15s` or `1h30m`; `0` needs no unit.
///
/// None for any other text, and for more than 2^64 milliseconds.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let (digits, unit_on) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = unit_on.split_at(unit_on.find(|c: char| c.is_ascii_digit()).unwrap_or(unit_on.len()));
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(digits.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = after;
    }
    Some(Duration::from_millis(sum))
}

/// A text that [`parse`] reads back: one number with the largest unit that divides it, but days rather than weeks.
/// Fractions of a millisecond are cut off.
#[must_use]
pub fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    let unit = UNITS[1..].iter().find(|(_, factor)| ms > 0 && ms.is_multiple_of(u128::from(*factor)));
    unit.map_or_else(|| "0s".into(), |(name, factor)| format!("{}{name}", ms / u128::from(*factor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, ms) in [
            ("15s", 15_000),
            ("10m", 600_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
            ("0s", 0),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in [
            "",
            "15",
            "00",
            "s",
            "1x",
            "-1s",
            "1.5s",
            "1s ",
            "10 m",
            "1S",
            "1h30",
            "99999999999999999999s",
            "99999999999999999w",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for (ms, shown) in
            [(0, "0s"), (1, "1ms"), (1000, "1s"), (90_000, "90s"), (3_600_000, "1h"), (1_209_600_000, "14d")]
        {
            let duration = Duration::from_millis(ms);
            assert_eq!((show(duration).as_str(), parse(shown)), (shown, Some(duration)));
        }
    }
}
