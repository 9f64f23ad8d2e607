//! Durations and sizes as people write them.

use std::time::Duration;

use crate::alert::duration::milliseconds;

/// Each unit is a multiple of the next.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

const SIZES: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
];

/// As [`milliseconds`], and `0` alone needs no unit.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" { Some(Duration::ZERO) } else { milliseconds(text).map(Duration::from_millis) }
}

/// `64KiB`, `1GiB`, `10MB`, or a plain number of bytes. None for any other text, and beyond 2^64.
pub(super) fn size(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len()));
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        unit => SIZES.iter().find(|(name, _)| *name == unit)?.1,
    };
    digits.replace('_', "").parse::<u64>().ok()?.checked_mul(factor)
}

/// In the largest unit that fits without a rest; weeks are days.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let fits = TIMES.iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(u128::from(*unit)));
    fits.map_or_else(|| "0s".into(), |(name, unit)| format!("{}{name}", ms / u128::from(*unit)))
}

/// In the largest binary unit that fits without a rest.
pub(super) fn show_size(bytes: u64) -> String {
    let fits = SIZES[..4].iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
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
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in
            ["", "15", "s", "1x", "-1s", "1.5s", "1s ", "1S", "1h30", "99999999999999999999s", "9999999999999999d"]
        {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in
            [("64KiB", 65_536), ("1GiB", 1 << 30), ("1 GiB", 1 << 30), ("10MB", 10_000_000), ("1_000", 1000), ("5B", 5)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "KiB", "64kib", "-1", "1.5MiB", "64 kilobytes", "99999999999GiB", "99999999999999999999"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for ms in [0, 1, 500, 1000, 90_000, 3_600_000, 604_800_000] {
            let time = Duration::from_millis(ms);
            assert_eq!(duration(&show_duration(time)), Some(time));
        }
        for bytes in [0, 1, 1023, 1024, 65_536, 1 << 30, 16 << 40] {
            assert_eq!(size(&show_size(bytes)), Some(bytes));
        }
    }
}
