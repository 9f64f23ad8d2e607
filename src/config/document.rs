//! The keys for people: `config show`, the example file, the man page. All from the one table.

use std::fmt::Write;

use super::keys::{Apply, KEYS, variable};
use super::load::Resolved;
#[cfg(test)]
use super::load::usual;

/// The section of a key, and its name in it.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// Every value with its source, a line each, in the order of the file: `http.listen = "…"   # /etc/alertd.toml:3`. It is
/// TOML, and holds no secret.
#[must_use]
pub(crate) fn show(resolved: &Resolved) -> String {
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

#[cfg(test)]
/// The example file: every key, explained, with its default.
#[must_use]
pub(crate) fn example() -> String {
    let mut text = String::from(
        "# All keys of alertd, with their defaults. Copy what you change into /etc/alertd.toml; each can also be set in the\n\
         # environment, as ALERTD_<SECTION>_<KEY>. Durations are written 500ms, 15s, 10m, 1h30m, 7d; sizes 64KiB, 10MB, 1GiB,\n\
         # or a number of bytes. Check with: alertctl config check. See alertd.toml(5).\n",
    );
    let mut section = "";
    for key in KEYS {
        let (own, name) = split(key.name);
        if own != section {
            section = own;
            let _ = write!(text, "\n[{section}]\n");
        }
        // What depends on the system must not be fixed by a copy of this file.
        let line = match key.default {
            "" => format!("# {name} = {}", usual(key.name)),
            default => format!("{name} = {default}"),
        };
        let _ = write!(text, "\n{}{line}\n", wrapped(key.about));
    }
    text
}

#[cfg(test)]
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
pub(crate) fn man() -> String {
    let mut page = format!(
        ".TH alertd.toml 5 \"\" \"alertd {}\" alertd\n{}",
        env!("CARGO_PKG_VERSION"),
        include_str!("man_head.roff")
    );
    let mut section = None;
    for key in KEYS {
        let (own, name) = split(key.name);
        if section != Some(own) {
            section = Some(own);
            let _ = match own {
                "" => writeln!(page, ".SH KEYS OUTSIDE ANY SECTION"),
                own => writeln!(page, ".SH [{own}]"),
            };
        }
        let default = if key.default.is_empty() { String::new() } else { format!(" = {}", roff(key.default)) };
        let restart = match key.apply {
            Apply::Live | Apply::Switch => "",
            Apply::Restart => " (restart)",
        };
        let (about, variable) = (roff(key.about), variable(key.name));
        let _ = write!(page, ".TP\n\\fB{name}\\fR{default}{restart}\n{about}\n.br\n{variable}\n");
    }
    page.push_str(include_str!("man_tail.roff"));
    page
}

/// Text that roff takes as it is: no escape, no hyphen of its own making, no request at the start of a line.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
