//! What people see: escaped, coloured on a terminal only; the one place of `alertctl` that prints.

use std::io::{self, IsTerminal, Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::exit::{Code, Failure};
use crate::alert::{Id, Level};

/// An alert as it comes from the daemon.
#[derive(Debug, Deserialize)]
pub(super) struct Alert<'a> {
    pub(super) id: Id,
    pub(super) topic: String,
    pub(super) message: String,
    pub(super) level: Level,
    #[serde(borrow)]
    pub(super) metadata: &'a RawValue,
    pub(super) received_at: String,
}

/// Text to standard output. A reader that went away has had enough: that is no failure, and ends the program.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Failure::new(Code::Failed, format!("standard output: {error}"))),
    }
}

/// A word to standard error.
pub(super) fn note(text: &str) {
    let _ = io::stderr().lock().write_all(format!("alertctl: {}\n", escaped(text)).as_bytes());
}

/// Control characters cannot end the line or drive the terminal; other line breaks stay what they are in a message.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // The bidirectional controls turn what follows around.
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// One alert as a line.
pub(super) fn line(alert: &Alert<'_>, colours: bool) -> String {
    let time: Option<jiff::Timestamp> = alert.received_at.parse().ok();
    let zone = jiff::tz::TimeZone::system();
    let time =
        time.map_or_else(|| escaped(&alert.received_at), |time| zone.to_datetime(time).strftime("%F %T").to_string());
    let (on, off) = match (colours, alert.level) {
        (true, Level::Warn) => ("\u{1b}[33m", "\u{1b}[0m"),
        (true, Level::Error) => ("\u{1b}[31m", "\u{1b}[0m"),
        _ => ("", ""),
    };
    let metadata =
        if alert.metadata.get() == "{}" { String::new() } else { format!("  {}", escaped(alert.metadata.get())) };
    format!(
        "{time}  {on}{:<5}{off}  {}  {}{metadata}\n",
        alert.level.as_str(),
        escaped(&alert.topic),
        escaped(&alert.message)
    )
}

/// Colours only for people, and not for those who do not want them.
pub(super) fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Rows in columns.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter().fold(String::new(), |mut text, row| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        let json = r#"{"id":"1-0","topic":"a","message":"x\u001b[2J\n\u202ey","level":"warn","metadata":{"k":1},"received_at":"?"}"#;
        let alert: Alert<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(line(&alert, false), "?  warn   a  x\\u{1b}[2J\\n\\u{202e}y  {\"k\":1}\n");
    }

    #[test]
    fn a_table_is_aligned() {
        let rows = [vec!["id".into(), "user".into()], vec!["abcdef".into(), "x".into()]];
        assert_eq!(table(&rows), "id      user\nabcdef  x\n");
    }
}
