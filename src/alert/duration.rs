//! Durations as people write them: the one grammar of the configuration, the query and the command line.

/// The milliseconds of one or more numbers with a unit of ms, s, m, h, d or w: `15s`, `1h30m`. `None` for anything else and
/// on overflow.
#[must_use]
pub fn milliseconds(text: &str) -> Option<u64> {
    let (mut rest, mut all) = (text, 0_u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (digits, unit_on) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = unit_on.split_at(unit_on.find(|c: char| c.is_ascii_digit()).unwrap_or(unit_on.len()));
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        all = all.checked_add(digits.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = after;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, ms) in [("15s", 15_000), ("500ms", 500), ("1h30m", 5_400_000), ("7d", 604_800_000), ("0s", 0)] {
            assert_eq!(milliseconds(text), Some(ms), "{text}");
        }
        for bad in ["", "15", "s", "1x", "-1s", "1.5s", "10 m", "99999999999999999999s", "99999999999999999w"] {
            assert_eq!(milliseconds(bad), None, "{bad}");
        }
    }
}
