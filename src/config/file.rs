//! The configuration file: from text to raw values with their places, all errors gathered.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, find, nearest};
use super::value::Raw;

/// A value, and where it stands.
pub(super) struct Found {
    pub(super) name: &'static str,
    pub(super) raw: Raw,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What is wrong at which place.
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) reason: String,
}

/// Reads the text of a file. What can be read is, also where other parts are wrong.
pub(super) fn read(text: &str) -> (Vec<Found>, Vec<Wrong>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, found: Vec::new(), wrong: Vec::new() };
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        reader.refuse(offset, format!("{}: the file is not TOML there", error.message().trim()));
    }
    // After a syntax error the recovered values may stand in the wrong section.
    if errors.is_empty() {
        reader.table("", table.get_ref());
    }
    (reader.found, reader.wrong)
}

struct Reader<'a> {
    text: &'a str,
    found: Vec<Found>,
    wrong: Vec<Wrong>,
}

impl Reader<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name =
                if section.is_empty() { key.get_ref().to_string() } else { format!("{section}.{}", key.get_ref()) };
            let is_section = KEYS.iter().any(|key| key.name.starts_with(&format!("{name}.")));
            match (find(&name), value.get_ref()) {
                (Some(key), _) => {
                    let (line, column) = self.place(value.span().start);
                    self.found.push(Found { name: key.name, raw: raw(value), line, column });
                }
                (None, DeValue::Table(inner)) if is_section => self.table(&name, inner),
                (None, _) if is_section => {
                    self.refuse(key.span().start, format!("{name}: is a section: write [{name}]"))
                }
                (None, DeValue::Table(inner)) if !inner.is_empty() && section.is_empty() => self.table(&name, inner),
                (None, _) => {
                    let hint = nearest(&name, KEYS.iter().map(|key| key.name));
                    let hint =
                        hint.map_or_else(|| "alertd.toml(5) lists all".into(), |near| format!("did you mean {near}?"));
                    self.refuse(key.span().start, format!("{name}: there is no such setting; {hint}"));
                }
            }
        }
    }

    fn refuse(&mut self, offset: usize, reason: String) {
        let (line, column) = self.place(offset);
        self.wrong.push(Wrong { line, column, reason });
    }

    /// Line and column of a byte, both from 1.
    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

fn raw(value: &Spanned<DeValue<'_>>) -> Raw {
    match value.get_ref() {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Raw::Number(number.as_str().to_owned()),
        DeValue::Integer(_) => Raw::Other("a number that is not decimal"),
        DeValue::Float(number) => Raw::Number(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(items) => Raw::List(items.iter().map(raw).collect()),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}
