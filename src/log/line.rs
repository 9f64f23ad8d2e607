//! A record as one line of text, for syslog and standard error.

use super::record::Record;

/// Formats a record as `<message> <key>=<value>…`.
pub(super) fn line(record: &Record) -> String {
    let mut line = String::with_capacity(64 + record.message.len());
    escape(&mut line, &record.message, false);
    for (name, value) in &record.fields {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(name);
        line.push('=');
        // Without quotes, a value with a space could pass for another field.
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
        if is_harmful(c) || (quoted && matches!(c, '"' | '\\')) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

/// Whether a character ends a line, controls a terminal, or changes the writing direction.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    fn line_of(message: &str, user: &str) -> String {
        let mut record = Record::new(Level::INFO, "alertd");
        record.put("message", message);
        record.put("user", user);
        line(&record)
    }

    #[test]
    fn a_value_can_neither_end_the_line_nor_control_a_terminal() {
        assert_eq!(line_of("a\n\u{1b}[2Jb", "x\r"), "a\\n\\u{1b}[2Jb user=x\\r");
        assert_eq!(line_of("\u{9b}\u{202e}grün\u{2028}", "x"), "\\u{9b}\\u{202e}grün\\u{2028} user=x");
    }

    #[test]
    fn a_value_cannot_pass_for_another_field() {
        assert_eq!(line_of("in", "x topic=ops"), "in user=\"x topic=ops\"");
        assert_eq!(line_of("in", "a\"b\\"), "in user=\"a\\\"b\\\\\"");
        assert_eq!(line_of("", ""), "user=\"\"");
    }
}
