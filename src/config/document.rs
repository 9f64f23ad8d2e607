//! The settings for people: `config show`, the example file, the man page. All from the one table.

use std::fmt::Write;

use super::Resolved;
use super::keys::{KEYS, Key, variable};

/// The section of a setting, and its name in it.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// A setting with its default, as a file of its own.
pub(super) fn assignment(key: &Key) -> String {
    format!("{} = {}\n", key.name, key.default)
}

/// Every value with its source, in the order and form of the file.
#[must_use]
pub fn show(resolved: &Resolved) -> String {
    let lines: Vec<_> = KEYS
        .iter()
        .filter_map(|key| {
            let (raw, source) = resolved.values.get(key.name)?;
            Some((format!("{} = {}", key.name, raw.show()), source.to_string()))
        })
        .collect();
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    lines.iter().fold(String::new(), |mut text, (line, source)| {
        let _ = writeln!(text, "{line:width$}  # {source}");
        text
    })
}

/// The example file: every setting, explained, with its default.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# All settings of alertd, with their defaults. Copy what you change into /etc/alertd.toml; each can also be set in\n\
         # the environment, as ALERTD_<SECTION>_<KEY>. Check with: alertctl config check. See alertd.toml(5).\n",
    );
    let mut section = "";
    for key in KEYS {
        let (own, name) = split(key.name);
        if own != section {
            section = own;
            let _ = write!(text, "\n[{section}]\n");
        }
        let value = if key.default.is_empty() { "\"\"" } else { key.default };
        let comment = if key.default.is_empty() { "# " } else { "" };
        let _ = write!(text, "\n{}{comment}{name} = {value}\n", wrapped(key.about));
    }
    text
}

/// A comment of at most 110 characters a line.
fn wrapped(about: &str) -> String {
    let mut text = String::new();
    let mut line = String::from("#");
    for word in about.split(' ') {
        if line.len() + word.len() > 110 {
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(text, "{line}");
    text
}

/// The page alertd.toml(5), in roff.
#[must_use]
pub fn man() -> String {
    let mut page = String::from(
        ".TH alertd.toml 5\n.SH NAME\nalertd.toml \\- configuration of alertd\n.SH SYNOPSIS\n/etc/alertd.toml\n\
         .SH DESCRIPTION\nA TOML file. What it does not set has its default. Every setting can also be given in the environment, where it\n\
         wins over the file: the variable is named beside it. The variables STAGE, AUTH_STORE_DIR, REDIS_HOST and REDIS_PORT\n\
         work too. A setting that does not exist is an error. \\fBalertctl config check\\fR finds all errors at once,\n\
         \\fBalertctl config show\\fR shows every value with its source, \\fBsystemctl reload alertd\\fR puts changes into force;\n\
         those marked with (restart) wait for a restart.\n",
    );
    let mut section = None;
    for key in KEYS {
        let (own, name) = split(key.name);
        if section != Some(own) {
            section = Some(own);
            let title = if own.is_empty() { "THE PROCESS".to_owned() } else { format!("[{own}]") };
            let _ = writeln!(page, ".SH {title}");
        }
        let restart = if key.live { "" } else { " (restart)" };
        let default = if key.default.is_empty() { String::new() } else { format!(" = {}", key.default) };
        let about = key.about.replace('\\', "\\\\").replace('-', "\\-");
        let _ = write!(page, ".TP\n\\fB{name}\\fR{default}{restart}\n{about}\n{}\n", variable(key.name));
    }
    page.push_str(".SH SEE ALSO\nalertd(8), alertctl(1)\n");
    page
}
