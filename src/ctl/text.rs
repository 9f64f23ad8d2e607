//! Text for a terminal: escaping, width in columns, cutting and wrapping.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text on one line, with control characters and changes of the writing direction escaped.
#[must_use]
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let changes_direction = matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        );
        if c.is_control() || changes_direction {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The width of [`local`] in columns.
pub(crate) const LOCAL_WIDTH: usize = "2026-11-23 17:33:10+01:00".len();

/// An RFC 3339 time in local time with its distance from UTC, `2026-11-23 17:33:10+01:00`: a reader of a log must not have
/// to guess the zone of the machine that wrote it. Any other text is only escaped.
#[must_use]
pub(crate) fn local(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string(),
        Err(_) => escaped(time),
    }
}

/// The local day of an RFC 3339 time. Any other text is only escaped.
#[must_use]
pub(crate) fn local_day(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => time.to_zoned_datetime(jiff::tz::TimeZone::system()).date().to_string(),
        Err(_) => escaped(time),
    }
}

/// The width of the text in columns.
#[must_use]
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// The text, padded with spaces to this width in columns.
#[must_use]
pub(crate) fn padded(text: &str, width: usize) -> String {
    format!("{text}{:1$}", "", width.saturating_sub(columns(text)))
}

/// The text, cut to this width in columns. If it was cut, it ends with an ellipsis.
#[must_use]
pub(crate) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += wide(*c);
        used <= width
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// The text as lines of at most this width in columns, broken at spaces if possible.
#[must_use]
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    // The byte after the last space at which the line can be broken; 0 if there is none.
    let mut break_at = 0;
    for c in text.chars() {
        while used + wide(c) > width && !line.is_empty() {
            let rest = if c == ' ' || break_at == 0 { String::new() } else { line.split_off(break_at) };
            lines.push(line.trim_end().to_owned());
            (line, used, break_at) = (rest, 0, 0);
            used += columns(&line);
        }
        let is_break = c == ' ' && !line.trim_start().is_empty();
        if c == ' ' && line.is_empty() && !lines.is_empty() {
            continue;
        }
        line.push(c);
        used += wide(c);
        if is_break {
            break_at = line.len();
        }
    }
    lines.push(line);
    lines
}

fn wide(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// The rows as lines of aligned columns, two spaces apart. If they would be wider than this, the widest columns are narrowed,
/// and their cells wrapped, so that a row may take several lines.
#[must_use]
pub(crate) fn table(rows: &[Vec<String>], width: usize) -> Vec<String> {
    /// A narrower column would be hard to read.
    const LEAST: usize = 10;
    const APART: usize = 2;
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| columns(cell)).max();
    let mut widths: Vec<usize> = (0..count).map(|column| widest(column).unwrap_or(0)).collect();
    while widths.iter().sum::<usize>() + APART * count.saturating_sub(1) > width
        && let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > LEAST)
    {
        *widest -= 1;
    }
    let lines = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| wrapped(cell, (*width).max(1))).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        let line = |number: usize| {
            let cell =
                |(cell, width): (&Vec<String>, &usize)| padded(cell.get(number).map_or("", String::as_str), *width);
            let line: Vec<String> = cells.iter().zip(&widths).map(cell).collect();
            line.join(&" ".repeat(APART)).trim_end().to_owned()
        };
        (0..height).map(line).collect::<Vec<_>>()
    };
    rows.iter().flat_map(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escaped("a\x1b[2Jb\r\nc\u{9b}d\x07\0"), r"a\u{1b}[2Jb\r\nc\u{9b}d\u{7}\u{0}");
        assert_eq!(escaped("evil\u{202e}gpj\u{61c}"), r"evil\u{202e}gpj\u{61c}");
        assert_eq!(escaped("Zürich 東京 🚨 'x' \\"), "Zürich 東京 🚨 'x' \\");
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [["ID", "USER"], ["äöü", "x"], ["東京🚨", "y"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, usize::MAX), ["ID      USER", "äöü     x", "東京🚨  y"]);
    }

    #[test]
    fn a_table_that_is_too_wide_is_narrowed_where_it_is_widest() {
        let rows = [["ID", "TOPICS", "LABEL"], ["k7Qm2x", "ops.*, ci.*, web", "the server that builds"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, 80)[1], "k7Qm2x  ops.*, ci.*, web  the server that builds");
        let narrow = table(&rows, 36);
        assert_eq!(narrow[1..], ["k7Qm2x  ops.*, ci.*,   the server", "        web            that builds"]);
        assert!(table(&rows, 3).iter().all(|line| columns(line) <= 30), "it stays readable");
    }

    #[test]
    fn lines_break_at_spaces_or_otherwise_at_the_width() {
        assert_eq!(wrapped("disk is full again", 9), ["disk is", "full", "again"]);
        assert_eq!(wrapped("disk is full", 7), ["disk is", "full"]);
        assert_eq!(wrapped("東京東京 x", 5), ["東京", "東京", "x"]);
        assert_eq!(wrapped("  indented text", 11), ["  indented", "text"]);
        assert_eq!([wrapped("", 5), wrapped("ab", 1)], [vec![""], vec!["a", "b"]]);
        assert_eq!([cut("abc", 3), cut("abcd", 3), cut("東京", 3)], ["abc", "ab…", "東…"]);
    }

    proptest! {
        #[test]
        fn wrapping_loses_only_spaces_and_respects_the_width(text in "[ab 東é-]{0,60}", width in 2..20_usize) {
            let lines = wrapped(&text, width);
            prop_assert!(lines.iter().all(|line| columns(line) <= width), "{lines:?}");
            let bare = |text: &str| text.replace(' ', "");
            prop_assert_eq!(bare(&lines.concat()), bare(&text));
            prop_assert!(columns(&cut(&text, width)) <= width);
        }
    }
}
