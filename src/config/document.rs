//! Documents that are generated from the table of keys: `config show`, the example file, the man page.

use std::fmt::Write;

use super::keys::{Apply, KEYS, variable};
use super::load::Resolved;
#[cfg(test)]
use super::load::default_for_root;

/// Splits the name of a key into its section and the name within it.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// Every setting with its source, one per line, in the order of the file: `http.listen = "…"   # /etc/alertd.toml:3`. The
/// text is valid TOML and contains no secret.
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

/// The example file: every key with its explanation and default.
#[cfg(test)]
#[must_use]
pub(crate) fn example() -> String {
    let mut text = String::from(
        "# All settings of alertd with their defaults. Copy those that you change to /etc/alertd.toml. Each can also be set by\n\
         # the environment variable ALERTD_<SECTION>_<KEY>. Durations are written as 500ms, 15s, 10m, 1h30m or 7d; sizes as\n\
         # 64KiB, 10MB, 1GiB or a number of bytes. To check, run: alertctl config check. See alertd.toml(5).\n",
    );
    let mut section = "";
    for key in KEYS {
        let (own, name) = split(key.name);
        if own != section {
            section = own;
            let _ = write!(text, "\n[{section}]\n");
        }
        // A default that depends on the system is a comment, so that a copy of the file does not fix it.
        let line = match key.default {
            "" => format!("# {name} = {}", default_for_root(key.name)),
            default => format!("{name} = {default}"),
        };
        let _ = write!(text, "\n{}{line}\n", wrapped(key.about));
    }
    text
}

/// The text as a comment with lines of at most 110 characters.
#[cfg(test)]
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

/// The man page alertd.toml(5), in roff.
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

/// Escapes text for roff: backslashes, hyphens, apostrophes, and a dot at the start of a line.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
