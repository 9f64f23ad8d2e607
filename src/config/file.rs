//! The configuration file: parses it into raw values with their positions, and collects all errors.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, find};
use super::nearest::remedy_for_key;
use super::source::{Remarks, Source};
use super::value::Raw;

/// Far more than all settings take. A larger file is not a configuration.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A value and its position.
pub(super) struct Found {
    pub(super) name: &'static str,
    pub(super) raw: Raw,
    pub(super) source: Source,
}

/// Reads the text of a file. Returns `None` if it is missing and may be missing, or after adding an error.
pub(super) fn open(path: &Path, must_exist: bool, errors: &mut Remarks) -> Option<String> {
    let mut refuse = |line: usize, reason: String| {
        errors.add(Source::File(path.to_owned(), line, line.min(1)), reason);
        None
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => None,
        Err(error) => refuse(0, format!("cannot be read: {error}; correct that, or select another file with --config")),
        Ok(_) if bytes.len() as u64 > MAX_FILE_BYTES => {
            refuse(0, format!("is larger than {MAX_FILE_BYTES} bytes; select the right file with --config"))
        }
        Ok(_) => String::from_utf8(bytes).map_or_else(
            |error| {
                let valid = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
                refuse(line, "the line is not UTF-8; save the file as UTF-8".into())
            },
            Some,
        ),
    }
}

/// Parses the text of a file. Errors in one part do not keep other parts from being parsed.
pub(super) fn read(path: &Path, text: &str, errors: &mut Remarks) -> Vec<Found> {
    let (table, syntax) = DeTable::parse_recoverable(text);
    let mut reader = Reader { path, text, found: Vec::new(), errors };
    for error in &syntax {
        let message = error.message().trim().replace('\n', ", ");
        let offset = error.span().map_or(0, |span| span.start);
        reader.refuse(offset, format!("{message}: invalid TOML; correct the line"));
    }
    // After a syntax error, recovered values may be in the wrong section.
    if syntax.is_empty() {
        reader.table("", table.get_ref());
    }
    reader.found
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    found: Vec<Found>,
    errors: &'a mut Remarks,
}

impl Reader<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let key_name = key.get_ref();
            let name = if section.is_empty() { key_name.to_string() } else { format!("{section}.{key_name}") };
            let at = key.span().start;
            let is_section = KEYS.iter().any(|key| key.name.starts_with(&format!("{name}.")));
            match (find(&name), value.get_ref()) {
                (Some(key), _) => {
                    let source = self.position(value.span().start);
                    self.found.push(Found { name: key.name, raw: raw(value), source });
                }
                (None, DeValue::Table(inner)) if is_section => self.table(&name, inner),
                (None, _) if is_section => self.refuse(at, format!("{name}: is a section; write [{name}]")),
                (None, DeValue::Table(inner)) if !inner.is_empty() && section.is_empty() => self.table(&name, inner),
                (None, _) => {
                    let remedy = remedy_for_key(&name);
                    let shown: String = name.escape_debug().take(100).collect();
                    self.refuse(at, format!("{shown}: unknown setting; {remedy}"));
                }
            }
        }
    }

    fn refuse(&mut self, offset: usize, reason: String) {
        let position = self.position(offset);
        self.errors.add(position, reason);
    }

    /// Line and column of a byte, both counted from 1; columns count characters.
    fn position(&self, offset: usize) -> Source {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].chars().count() + 1;
        Source::File(self.path.to_owned(), before.matches('\n').count() + 1, column)
    }
}

fn raw(value: &Spanned<DeValue<'_>>) -> Raw {
    match value.get_ref() {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Raw::Number(number.as_str().to_owned()),
        DeValue::Integer(number) => i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
            .map_or(Raw::Other("a number beyond 64 bits"), |number| Raw::Number(number.to_string())),
        DeValue::Float(number) => Raw::Number(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(items) => Raw::List(items.iter().map(raw).collect()),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}
