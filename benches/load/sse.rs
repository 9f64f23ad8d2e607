//! A reader of event streams that takes no short cuts: chunks, lines, blocks, ids.

/// What a stream said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A block without a name: its data.
    Alert(&'a [u8]),
    /// A block with a name, such as `cursor`.
    Named(&'a str),
}

/// How the body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// The line with the size of a chunk, as far as it has come.
    Size(usize),
    /// So many bytes of a chunk are to come.
    Data(usize),
    /// So many bytes of the line end behind a chunk are to come.
    End(usize),
    /// No chunks: the body ends with the connection.
    Plain,
}

/// The state between two reads.
pub(crate) struct Decoder {
    frame: Frame,
    line: Vec<u8>,
    data: Vec<u8>,
    name: String,
    id: String,
    /// The id of the last whole block that had one: where to go on.
    pub(crate) last_id: String,
    /// Bytes that are no stream of events.
    pub(crate) broken: u64,
}

impl Decoder {
    pub(crate) fn new(chunked: bool) -> Self {
        Self {
            frame: if chunked { Frame::Size(0) } else { Frame::Plain },
            line: Vec::new(),
            data: Vec::new(),
            name: String::new(),
            id: String::new(),
            last_id: String::new(),
            broken: 0,
        }
    }

    /// A new connection of the same client.
    pub(crate) fn restart(&mut self, chunked: bool) {
        let last_id = std::mem::take(&mut self.last_id);
        *self = Self { last_id, ..Self::new(chunked) };
    }

    /// Takes bytes of the body.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Event<'_>)) {
        while let Some(&byte) = bytes.first() {
            match self.frame {
                Frame::Plain => {
                    self.text(bytes, &mut each);
                    bytes = &[];
                }
                Frame::Data(left) => {
                    let (now, rest) = bytes.split_at(left.min(bytes.len()));
                    self.text(now, &mut each);
                    bytes = rest;
                    self.frame = if now.len() == left { Frame::End(2) } else { Frame::Data(left - now.len()) };
                }
                Frame::End(left) => {
                    self.broken += u64::from(byte != if left == 2 { b'\r' } else { b'\n' });
                    self.frame = if left == 2 { Frame::End(1) } else { Frame::Size(0) };
                    bytes = &bytes[1..];
                }
                Frame::Size(size) => {
                    match (byte as char).to_digit(16) {
                        Some(digit) => self.frame = Frame::Size(size << 4 | digit as usize),
                        None if byte == b'\n' => self.frame = Frame::Data(size),
                        None => self.broken += u64::from(byte != b'\r'),
                    }
                    bytes = &bytes[1..];
                }
            }
        }
    }

    fn text(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Event<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.take(&line, each);
            line.clear();
            self.line = line;
        }
        self.line.extend_from_slice(bytes);
    }

    fn take(&mut self, line: &[u8], each: &mut impl FnMut(Event<'_>)) {
        if line.is_empty() {
            if !self.id.is_empty() {
                self.last_id = std::mem::take(&mut self.id);
            }
            if !self.data.is_empty() {
                each(if self.name.is_empty() { Event::Alert(&self.data) } else { Event::Named(&self.name) });
            }
            self.data.clear();
            self.name.clear();
            return;
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"data" => self.data.extend_from_slice(value),
            b"id" => self.id = String::from_utf8_lossy(value).into_owned(),
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"" | b"retry" => {}
            _ => self.broken += 1,
        }
    }
}
