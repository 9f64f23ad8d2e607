//! The output of commands: lines on standard output, notes on standard error.
//!
//! Callers escape text that comes from elsewhere (see [`text`](super::text)). Standard output is written outside the
//! runtime's thread, so that a signal ends the program even if the reader has stopped reading.

use std::os::fd::AsFd;

use tokio::io::{AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::unix::pipe::Sender;

use super::exit::Failure;
use super::progress;
use super::terminal::{self, Colour};
use super::text::escaped;

pub(crate) struct Output {
    to: Box<dyn AsyncWrite + Unpin + Send>,
    /// Text that is not written yet.
    buffer: String,
    colours: bool,
    /// Columns and rows, if the output is a terminal.
    size: Option<fn() -> (usize, usize)>,
    is_visible: bool,
}

/// How a part of a line is emphasised if colours are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Less important.
    Dim,
    /// A heading.
    Bold,
    Green,
    /// A warning.
    Yellow,
    /// An error.
    Red,
}

impl Output {
    #[must_use]
    pub(crate) fn stdout(colour: Colour) -> Self {
        let terminal = terminal::shows_output();
        Self {
            to: Box::new(tokio::io::stdout()),
            buffer: String::new(),
            colours: colour.is_on(terminal, |name| std::env::var_os(name)),
            size: terminal.then_some(|| terminal::size(std::io::stdout())),
            is_visible: terminal || terminal::pipes_output(),
        }
    }

    /// An output to any writer, without colours.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn to(writer: impl AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { to: Box::new(writer), buffer: String::new(), colours: false, size: None, is_visible: true }
    }

    /// Columns and rows, if the output is a terminal.
    #[must_use]
    pub(crate) fn size(&self) -> Option<(usize, usize)> {
        self.size.map(|size| size())
    }

    /// Whether the user may see the output as it is written: it is a terminal, or a pipe that may end in one.
    #[must_use]
    pub(crate) const fn is_visible(&self) -> bool {
        self.is_visible
    }

    /// The text, emphasised if colours are on.
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

    /// Adds a line to the buffer, which is written when it is large enough.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush).
    pub(crate) async fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.text(&format!("{text}\n")).await
    }

    /// Adds text to the buffer, which is written when it is large enough.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush).
    pub(crate) async fn text(&mut self, text: &str) -> Result<(), Failure> {
        const MAX_BUFFER: usize = 64 << 10;
        self.buffer.push_str(text);
        if self.buffer.len() >= MAX_BUFFER { self.flush().await } else { Ok(()) }
    }

    /// Writes the buffer.
    ///
    /// # Errors
    /// [`Failure::ReaderGone`] if the pipe was closed, [`Failure::Failed`] for any other reason, such as a full disk.
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

/// Waits until the reader of a pipe or terminal has closed it. Never returns for a file, which has no reader.
pub(crate) async fn closed(pipe: impl AsFd) {
    let copy = pipe.as_fd().try_clone_to_owned().ok();
    // Nothing is written through the copy, so it need not be in non-blocking mode.
    let watched = copy.and_then(|copy| Sender::from_owned_fd_unchecked(copy).ok());
    match watched {
        Some(watched) if watched.ready(Interest::ERROR).await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// Writes a note for the user on standard error.
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

    /// An output that is a terminal of this size.
    pub(crate) fn shown(captured: Captured, size: fn() -> (usize, usize), colours: bool) -> Output {
        Output { colours, size: Some(size), ..Output::to(captured) }
    }

    /// Records everything written to it.
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
    async fn a_closed_pipe_is_noticed_without_writing() {
        let (reader, writer) = std::io::pipe().unwrap();
        let watching = tokio::spawn(closed(writer));
        drop(reader);
        watching.await.unwrap();
    }

    #[tokio::test]
    async fn a_closed_pipe_exits_with_success() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut output = Output::to(tokio::fs::File::from_std(std::os::fd::OwnedFd::from(writer).into()));
        output.line("x").await.unwrap();
        assert_eq!(output.flush().await, Err(Failure::ReaderGone));
        assert_eq!(Failure::ReaderGone.code(), 0);
    }
}
