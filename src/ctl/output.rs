//! What people and programs see: lines on standard output, notes on standard error.
//!
//! Everything that came from elsewhere is escaped before it reaches a terminal. Standard output is written off the
//! runtime's thread, so a reader that stands still does not keep a signal from ending the program.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use tokio::io::{AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::unix::pipe::Sender;

use super::exit::Failure;

/// Standard output.
pub struct Output {
    to: Box<dyn AsyncWrite + Unpin + Send>,
    /// Lines that are not written yet.
    held: String,
    colours: bool,
}

/// How a piece of a line is emphasised where colours are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Less important.
    Dim,
    /// A heading.
    Bold,
    /// Somebody should look.
    Yellow,
    /// Somebody must act.
    Red,
}

impl Output {
    /// The process's standard output; colours only on a terminal that shows them and whose owner wants them.
    #[must_use]
    pub fn stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|value| value == "dumb");
        Self {
            to: Box::new(tokio::io::stdout()),
            held: String::new(),
            colours: std::io::stdout().is_terminal() && !refused && !dumb,
        }
    }

    /// Writes to anything else, without colours.
    #[must_use]
    pub fn to(writer: impl AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { to: Box::new(writer), held: String::new(), colours: false }
    }

    /// The text, emphasised where colours are in use.
    #[must_use]
    pub fn paint(&self, text: &str, paint: Paint) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Dim => "2",
            Paint::Bold => "1",
            Paint::Yellow => "33",
            Paint::Red => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Takes a line, to be written together with others; see [`flush`](Self::flush).
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.text(&format!("{text}\n")).await
    }

    /// Takes text as it is.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn text(&mut self, text: &str) -> Result<(), Failure> {
        const ENOUGH: usize = 64 << 10;
        self.held.push_str(text);
        if self.held.len() >= ENOUGH { self.flush().await } else { Ok(()) }
    }

    /// Hands everything to the reader.
    ///
    /// # Errors
    /// [`Failure::ReaderGone`] where the pipe was closed, [`Failure::Failed`] for any other reason, such as a full disk.
    pub async fn flush(&mut self) -> Result<(), Failure> {
        let held = std::mem::take(&mut self.held);
        let done = async {
            self.to.write_all(held.as_bytes()).await?;
            self.to.flush().await
        };
        done.await.map_err(|e| match e.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Failed(format!("cannot write to standard output: {e}; check where it goes")),
        })
    }
}

/// Waits until nobody reads this pipe or terminal any more; for a file, which has no reader, for ever.
pub async fn closed(pipe: impl AsFd) {
    let copy = pipe.as_fd().try_clone_to_owned().ok();
    // Nothing is written through it, so it does not matter whether it would block.
    let watched = copy.and_then(|copy| Sender::from_owned_fd_unchecked(copy).ok());
    match watched {
        Some(watched) if watched.ready(Interest::ERROR).await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// A note for the person at the terminal, on standard error.
#[expect(clippy::print_stderr, reason = "the one place where notes are written")]
pub fn note(text: &str) {
    let lines: Vec<String> = text.lines().map(escaped).collect();
    eprintln!("alertctl: {}", lines.join("\n"));
}

/// The text on one line, without anything that drives a terminal or turns the direction of writing.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || turns {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// An RFC 3339 time in local time, `2026-11-23 17:33:10`; what is no time stays as it is, escaped.
#[must_use]
pub fn local(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => escaped(time),
    }
}

/// Columns wide enough for their longest cell, two spaces apart. The first row is the heading.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Keeps what was written.
    #[derive(Clone, Default)]
    pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl AsyncWrite for Kept {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            std::task::Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn poll_shutdown(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn no_text_drives_the_terminal() {
        assert_eq!(escaped("a\x1b[2Jb\r\nc\u{9b}d\x07\0"), r"a\u{1b}[2Jb\r\nc\u{9b}d\u{7}\u{0}");
        assert_eq!(escaped("evil\u{202e}gpj"), r"evil\u{202e}gpj");
        assert_eq!(escaped("Zürich 東京 🚨 'x' \\"), "Zürich 東京 🚨 'x' \\");
    }

    #[tokio::test]
    async fn a_pipe_without_a_reader_is_noticed_without_writing() {
        let (reader, writer) = std::io::pipe().unwrap();
        let watching = tokio::spawn(closed(writer));
        drop(reader);
        watching.await.unwrap();
    }

    #[tokio::test]
    async fn a_closed_pipe_is_no_failure() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut output = Output::to(tokio::fs::File::from_std(std::os::fd::OwnedFd::from(writer).into()));
        output.line("x").await.unwrap();
        assert_eq!(output.flush().await, Err(Failure::ReaderGone));
        assert_eq!(Failure::ReaderGone.code(), 0);
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = vec![vec!["ID".to_owned(), "USER".to_owned()], vec!["äöü".to_owned(), "x".to_owned()]];
        assert_eq!(table(&rows), ["ID   USER", "äöü  x"]);
    }
}
