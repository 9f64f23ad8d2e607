//! What people and programs see: lines on standard output, notes on standard error.
//!
//! Everything that came from elsewhere is escaped (see [`text`](super::text)) before it gets here. Standard output is written off the
//! runtime's thread, so a reader that stands still does not keep a signal from ending the program.

use std::os::fd::AsFd;

use tokio::io::{AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::unix::pipe::Sender;

use super::exit::Failure;
use super::progress;
use super::terminal::{self, Colour};
use super::text::escaped;

/// Standard output.
pub(crate) struct Output {
    to: Box<dyn AsyncWrite + Unpin + Send>,
    /// Lines that are not written yet.
    buffer: String,
    colours: bool,
    /// Columns and rows, where a person looks at it.
    size: Option<fn() -> (usize, usize)>,
    is_seen: bool,
}

/// How a piece of a line is emphasised where colours are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Less important.
    Dim,
    /// A heading.
    Bold,
    /// All is well.
    Green,
    /// Somebody should look.
    Yellow,
    /// Somebody must act.
    Red,
}

impl Output {
    /// The process's standard output.
    #[must_use]
    pub(crate) fn stdout(colour: Colour) -> Self {
        let terminal = terminal::shows_output();
        Self {
            to: Box::new(tokio::io::stdout()),
            buffer: String::new(),
            colours: colour.is_on(terminal, |name| std::env::var_os(name)),
            size: terminal.then_some(|| terminal::size(std::io::stdout())),
            is_seen: terminal || terminal::pipes_output(),
        }
    }

    #[cfg(test)]
    /// Writes to anything else, without colours.
    #[must_use]
    pub(crate) fn to(writer: impl AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { to: Box::new(writer), buffer: String::new(), colours: false, size: None, is_seen: true }
    }

    /// Columns and rows, where a person looks at it.
    #[must_use]
    pub(crate) fn size(&self) -> Option<(usize, usize)> {
        self.size.map(|size| size())
    }

    /// Whether a person may see it while it is written: on a terminal, or behind a pipe that ends on one.
    #[must_use]
    pub(crate) const fn is_seen(&self) -> bool {
        self.is_seen
    }

    /// The text, emphasised where colours are in use.
    #[must_use]
    pub(crate) fn paint(&self, text: &str, paint: Paint) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Dim => "2",
            Paint::Bold => "1",
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Red => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Takes a line, to be written together with others; see [`flush`](Self::flush).
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub(crate) async fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.text(&format!("{text}\n")).await
    }

    /// Takes text as it is.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub(crate) async fn text(&mut self, text: &str) -> Result<(), Failure> {
        const ENOUGH: usize = 64 << 10;
        self.buffer.push_str(text);
        if self.buffer.len() >= ENOUGH { self.flush().await } else { Ok(()) }
    }

    /// Hands everything to the reader.
    ///
    /// # Errors
    /// [`Failure::ReaderGone`] where the pipe was closed, [`Failure::Failed`] for any other reason, such as a full disk.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        let buffer = std::mem::take(&mut self.buffer);
        let done = async {
            self.to.write_all(buffer.as_bytes()).await?;
            self.to.flush().await
        };
        done.await.map_err(|e| match e.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Failed(format!("cannot write to standard output: {e}; check where it goes")),
        })
    }
}

/// Waits until nobody reads this pipe or terminal any more; for a file, which has no reader, for ever.
pub(crate) async fn closed(pipe: impl AsFd) {
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
pub(crate) fn note(text: &str) {
    let lines: Vec<String> = text.lines().map(escaped).collect();
    progress::erase();
    eprintln!("alertctl: {}", lines.join("\n"));
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A terminal of this size.
    pub(crate) fn shown(captured: Captured, size: fn() -> (usize, usize), colours: bool) -> Output {
        Output { colours, size: Some(size), ..Output::to(captured) }
    }

    /// Keeps what was written.
    #[derive(Clone, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl AsyncWrite for Captured {
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
}
