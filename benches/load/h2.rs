//! Just enough of HTTP/2, with prior knowledge, to hold one stream on a connection.

/// Settings with a window that never closes, and the request for the stream.
pub(crate) fn request(path: &str, key: &str) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let window = 0x7fff_ffffu32.to_be_bytes();
    frame(&mut bytes, 4, 0, 0, &[&[0, 4], &window[..]].concat());
    frame(&mut bytes, 8, 0, 0, &(0x7fff_ffffu32 - 65_535).to_be_bytes());
    // :method GET and :scheme http are entries 2 and 6 of the static table; the rest is literal.
    let mut head = vec![0x82, 0x86];
    for (name, value) in [
        (":path", path),
        (":authority", "bench"),
        ("accept", "text/event-stream"),
        ("authorization", &format!("Bearer {key}")),
    ] {
        head.push(0);
        string(&mut head, name);
        string(&mut head, value);
    }
    // END_STREAM and END_HEADERS.
    frame(&mut bytes, 1, 5, 1, &head);
    bytes
}

/// What the frames of one read ask for.
#[derive(Default)]
pub(crate) struct Frames {
    /// The answer has come, and whether it is a 200.
    pub(crate) answered: Option<bool>,
    /// To be sent back.
    pub(crate) reply: Vec<u8>,
    /// The server ends the stream or the connection.
    pub(crate) over: bool,
    /// Bytes that were whole frames.
    pub(crate) used: usize,
}

/// Reads the whole frames at the start of the bytes.
pub(crate) fn read(bytes: &[u8]) -> Frames {
    let mut frames = Frames::default();
    while let Some(head) = bytes.get(frames.used..frames.used + 9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some(body) = bytes.get(frames.used + 9..frames.used + 9 + length) else { break };
        match (head[3], head[4]) {
            // :status 200 is entry 8 of the static table.
            (1, flags) => {
                frames.answered = Some(body.first() == Some(&0x88));
                frames.over |= flags & 1 != 0;
            }
            (4, flags) if flags & 1 == 0 => frame(&mut frames.reply, 4, 1, 0, &[]),
            (6, flags) if flags & 1 == 0 => frame(&mut frames.reply, 6, 1, 0, body),
            (3 | 7, _) => frames.over = true,
            _ => {}
        }
        frames.used += 9 + length;
    }
    frames
}

fn frame(into: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, body: &[u8]) {
    into.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    into.extend_from_slice(&[kind, flags]);
    into.extend_from_slice(&stream.to_be_bytes());
    into.extend_from_slice(body);
}

/// A literal of HPACK, without Huffman coding.
fn string(into: &mut Vec<u8>, text: &str) {
    if text.len() < 127 {
        into.push(text.len() as u8);
    } else {
        into.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            into.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        into.push(rest as u8);
    }
    into.extend_from_slice(text.as_bytes());
}
