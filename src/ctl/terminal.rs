//! The terminal: whether there is one, its size, and whether to use colours.
//!
//! Called by [`output`](super::output) and [`progress`](super::progress).

use std::ffi::OsStr;
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use clap::ValueEnum;

/// The size assumed of a terminal that does not report one.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal that supports them, unless NO_COLOR is set and not empty
    #[default]
    Auto,
    /// On every output
    Always,
    /// On no output
    Never,
}

impl Colour {
    /// Whether to use colours; `terminal` says whether the output is one.
    #[must_use]
    pub fn is_on(self, terminal: bool, variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> bool {
        let is_refused = || variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_supported = || variable("TERM").is_some_and(|value| !value.is_empty() && value != "dumb");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && is_supported() && !is_refused(),
        }
    }

    /// The value of `--color` on a command line before it is parsed, because help and usage errors are coloured too.
    #[must_use]
    pub fn from_command_line(line: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut words = line.into_iter().map(|word| word.as_ref().to_string_lossy().into_owned());
        let mut colour = Self::Auto;
        while let Some(word) = words.next() {
            let value = match word.strip_prefix("--color") {
                Some("") => words.next(),
                Some(rest) => rest.strip_prefix('=').map(ToOwned::to_owned),
                None => None,
            };
            colour = value.and_then(|value| Self::from_str(&value, false).ok()).unwrap_or(colour);
        }
        colour
    }
}

impl From<Colour> for clap::ColorChoice {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::Auto => Self::Auto,
            Colour::Always => Self::Always,
            Colour::Never => Self::Never,
        }
    }
}

/// Columns and rows of the terminal. Not cached, because a window may be resized.
#[must_use]
pub(crate) fn size(terminal: impl AsFd) -> (usize, usize) {
    match rustix::termios::tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => DEFAULT_SIZE,
    }
}

/// Whether standard output is a terminal.
#[must_use]
pub(crate) fn shows_output() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether standard output is a pipe to another program, which may show it on a terminal.
#[must_use]
pub(crate) fn pipes_output() -> bool {
    let kind = std::io::stdout().as_fd().try_clone_to_owned().and_then(|own| File::from(own).metadata());
    kind.is_ok_and(|kind| kind.file_type().is_fifo() || kind.file_type().is_socket())
}

/// Whether somebody types what is read from standard input.
#[must_use]
pub(crate) fn is_input() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether standard error is a terminal on which a line can be erased.
#[must_use]
pub(crate) fn shows_notes() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("TERM").is_some_and(|value| !value.is_empty() && value != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    #[test]
    fn the_flag_overrides_no_color_which_overrides_the_terminal() {
        let on = |colour: Colour, terminal, set: &[(&str, &str)]| {
            colour.is_on(terminal, |name| {
                set.iter().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(value))
            })
        };
        let xterm = ("TERM", "xterm");
        assert!(on(Colour::Auto, true, &[xterm]) && on(Colour::Auto, true, &[xterm, ("NO_COLOR", "")]));
        assert!(!on(Colour::Auto, false, &[xterm]) && !on(Colour::Auto, true, &[]));
        assert!(!on(Colour::Auto, true, &[xterm, ("NO_COLOR", "0")]) && !on(Colour::Auto, true, &[("TERM", "dumb")]));
        assert!(on(Colour::Always, false, &[("NO_COLOR", "1")]) && !on(Colour::Never, true, &[xterm]));
    }

    #[test]
    fn the_flag_is_found_before_the_command_line_is_parsed() {
        assert_eq!(Colour::from_command_line(["alertctl", "--color", "never", "--help"]), Colour::Never);
        assert_eq!(Colour::from_command_line(["alertctl", "tail", "--color=always"]), Colour::Always);
        for line in [&["alertctl", "--color"][..], &["--color", "loud"], &["--colors=never"], &[]] {
            assert_eq!(Colour::from_command_line(line), Colour::Auto, "{line:?}");
        }
    }

    #[test]
    fn an_output_that_is_not_a_terminal_has_the_default_size() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(size(reader), DEFAULT_SIZE);
    }
}
