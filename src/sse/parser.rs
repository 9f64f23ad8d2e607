//! The parser of Server-Sent Events, for `alertctl` and the tests.

/// One event of a stream, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The `event:` line; empty for an alert.
    pub event: String,
    /// The `data:` lines, joined by line breaks.
    pub data: String,
    /// The `id:` line of this event, if it has one.
    pub id: Option<String>,
    /// The `retry:` line, if there is one.
    pub retry: Option<u64>,
}

/// Parses an event stream, in pieces of any size, by the rules of the WHATWG.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    event: Event,
}

/// A line is longer than [`Parser::MAX_LINE`], so the peer does not speak this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server sent a line of more than {} bytes, which cannot be an alert", Parser::MAX_LINE)]
pub struct LineTooLong;

impl Parser {
    /// The longest accepted line, in bytes. Alerts are far shorter; the limit keeps a hostile peer from filling the memory.
    pub const MAX_LINE: usize = 8 << 20;

    /// Parses the next piece and passes each complete event to `take`.
    ///
    /// # Errors
    /// [`LineTooLong`].
    pub fn feed(&mut self, piece: &[u8], mut take: impl FnMut(Event)) -> Result<(), LineTooLong> {
        for &byte in piece {
            let skip = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                _ if skip => {}
                b'\n' | b'\r' => {
                    if let Some(event) = self.end_of_line() {
                        take(event);
                    }
                }
                _ if self.line.len() == Self::MAX_LINE => return Err(LineTooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            event.data.pop(); // the line break after the last data line
            let empty = event.data.is_empty() && event.id.is_none() && event.retry.is_none();
            return (!empty).then_some(event);
        }
        let text = String::from_utf8_lossy(&line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.event),
            "data" => {
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "retry" => self.event.retry = value.parse().ok().or(self.event.retry),
            _ => {}
        }
        None
    }
}
