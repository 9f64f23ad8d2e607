//! The text form of a record, for syslog and standard error.

use super::record::Record;

/// `<message> <key>=<value>…`: one line, whatever the values are.
pub(super) fn line(record: &Record) -> String {
    let mut line = String::with_capacity(64 + record.message.len());
    escape(&mut line, &record.message, false);
    for (name, value) in &record.fields {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(name);
        line.push('=');
        // A value with a space could otherwise pretend to be the next field.
        if value.is_empty() || value.contains([' ', '"', '=']) {
            line.push('"');
            escape(&mut line, value, true);
            line.push('"');
        } else {
            escape(&mut line, value, false);
        }
    }
    line
}

fn escape(line: &mut String, text: &str, quoted: bool) {
    for c in text.chars() {
        if misleads(c) || (quoted && matches!(c, '"' | '\\')) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

/// Ends a line, drives a terminal, or turns the order of what follows.
fn misleads(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    fn of(message: &str, user: &str) -> String {
        let mut record = Record::new(Level::INFO, "alertd");
        record.put("message", message);
        record.put("user", user);
        line(&record)
    }

    #[test]
    fn a_value_can_neither_end_the_line_nor_drive_a_terminal() {
        assert_eq!(of("a\n\u{1b}[2Jb", "x\r"), "a\\n\\u{1b}[2Jb user=x\\r");
        assert_eq!(of("\u{9b}\u{202e}grün\u{2028}", "x"), "\\u{9b}\\u{202e}grün\\u{2028} user=x");
    }

    #[test]
    fn a_value_cannot_pretend_to_be_another_field() {
        assert_eq!(of("in", "x topic=ops"), "in user=\"x topic=ops\"");
        assert_eq!(of("in", "a\"b\\"), "in user=\"a\\\"b\\\\\"");
        assert_eq!(of("", ""), "user=\"\"");
    }
}
