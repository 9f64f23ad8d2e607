//! Parses and formats sizes such as `64KiB`.

/// The units and their bytes, the binary units first, in descending order.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
];
const BINARY_UNITS: usize = 4;

/// The bytes of `64KiB`, `10MB` or a plain number. `None` for any other text, and for 2^64 and more.
pub(super) fn parse(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len()));
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    digits.replace('_', "").parse::<u64>().ok()?.checked_mul(factor)
}

/// The size in the largest binary unit that divides it. [`parse`] reads it back.
pub(super) fn show(bytes: u64) -> String {
    let unit = UNITS[..BINARY_UNITS].iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(name, factor)| format!("{}{name}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_with_and_without_units() {
        for (text, bytes) in
            [("64KiB", 65_536), ("1GiB", 1 << 30), ("1 GiB", 1 << 30), ("10MB", 10_000_000), ("1_000", 1000), ("5B", 5)]
        {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for bad in ["", "KiB", "64kib", "-1", "1.5MiB", "64 kilobytes", "99999999999GiB", "99999999999999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_formatted_size_is_parsed_back() {
        for bytes in [0, 1, 1023, 1024, 65_536, 1 << 30, 16 << 40] {
            assert_eq!(parse(&show(bytes)), Some(bytes));
        }
    }
}
