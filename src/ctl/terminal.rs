//! The terminal that a person looks at: whether there is one, how wide it is, and whether it gets colours.
//!
//! Asked by [`output`](super::output) and [`progress`](super::progress). Who pipes the output away gets plain lines,
//! whatever is said here of the terminal.

use std::ffi::OsStr;
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use clap::ValueEnum;

/// What a terminal that does not say its size is taken for.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal that shows them, unless NO_COLOR is set and not empty
    #[default]
    Auto,
    /// Wherever the output goes
    Always,
    /// Nowhere
    Never,
}

impl Colour {
    /// Whether there are, for an output that goes to a terminal or not.
    #[must_use]
    pub fn is_on(self, terminal: bool, variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> bool {
        let refused = || variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let shown = || variable("TERM").is_some_and(|value| !value.is_empty() && value != "dumb");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && shown() && !refused(),
        }
    }

    /// What a command line asks for that is not parsed yet, or cannot be: help and usage errors are coloured too.
    #[must_use]
    pub fn asked(line: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut words = line.into_iter().map(|word| word.as_ref().to_string_lossy().into_owned());
        let mut asked = Self::Auto;
        while let Some(word) = words.next() {
            let value = match word.strip_prefix("--color") {
                Some("") => words.next(),
                Some(rest) => rest.strip_prefix('=').map(ToOwned::to_owned),
                None => None,
            };
            asked = value.and_then(|value| Self::from_str(&value, false).ok()).unwrap_or(asked);
        }
        asked
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

/// Columns and rows of the terminal behind this descriptor; asked anew each time, because windows change.
#[must_use]
pub(crate) fn size(terminal: impl AsFd) -> (usize, usize) {
    match rustix::termios::tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => DEFAULT_SIZE,
    }
}

/// Whether a person looks at standard output.
#[must_use]
pub(crate) fn shows_output() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether another program takes standard output, and may show what it makes of it.
#[must_use]
pub(crate) fn pipes_output() -> bool {
    let kind = std::io::stdout().as_fd().try_clone_to_owned().and_then(|own| File::from(own).metadata());
    kind.is_ok_and(|kind| kind.file_type().is_fifo() || kind.file_type().is_socket())
}

/// Whether a person looks at standard error, on a terminal where a line can be replaced.
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
    fn the_flag_wins_over_no_color_and_no_color_over_the_terminal() {
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
    fn the_line_is_understood_before_it_is_parsed() {
        assert_eq!(Colour::asked(["alertctl", "--color", "never", "--help"]), Colour::Never);
        assert_eq!(Colour::asked(["alertctl", "tail", "--color=always"]), Colour::Always);
        for line in [&["alertctl", "--color"][..], &["--color", "loud"], &["--colors=never"], &[]] {
            assert_eq!(Colour::asked(line), Colour::Auto, "{line:?}");
        }
    }

    #[test]
    fn what_is_no_terminal_has_the_usual_size() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(size(reader), DEFAULT_SIZE);
    }
}
