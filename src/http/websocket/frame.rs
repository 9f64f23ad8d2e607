//! Frames of RFC 6455 as bytes: those that a server writes, and the boundaries of those that a client sends.
//!
//! Pure. Always: of a client's frames only the payload of a Ping is kept, which has at most 125 bytes.

use bytes::{BufMut, BytesMut};

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// The longest message of a client, which has nothing to say.
const MAX_MESSAGE: u64 = 4096;
/// The longest payload of a Ping, Pong or Close.
const MAX_CONTROL: usize = 125;

/// Why the server ends a connection for what its client sent; the number is that of the Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Fault {
    /// The bytes are no frames of a client.
    Protocol = 1002,
    /// There are too many frames.
    Flood = 1008,
    /// A message is too long.
    TooLong = 1009,
}

/// Appends a message.
pub(super) fn text(out: &mut BytesMut, payload: &[u8]) {
    frame(out, TEXT, payload);
}

pub(super) fn ping(out: &mut BytesMut) {
    frame(out, PING, b"");
}

/// Appends the answer to a Ping.
pub(super) fn pong(out: &mut BytesMut, payload: &[u8]) {
    frame(out, PONG, payload);
}

/// Appends the end: without a reason it answers that of the client.
pub(super) fn close(out: &mut BytesMut, fault: Option<Fault>) {
    match fault {
        Some(fault) => frame(out, CLOSE, &(fault as u16).to_be_bytes()),
        None => frame(out, CLOSE, b""),
    }
}

fn frame(out: &mut BytesMut, opcode: u8, payload: &[u8]) {
    out.reserve(payload.len() + 10);
    out.put_u8(FINAL | opcode);
    match payload.len() {
        length @ 0..=125 => out.put_u8(length as u8),
        length @ 126..=0xffff => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        length => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out.put_slice(payload);
}

/// A frame of a client that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Ping(Vec<u8>),
    Close,
    /// A Pong, or a part of a message.
    Other,
}

/// What has arrived of the frames of a client.
#[derive(Default)]
pub(super) struct Incoming {
    head: Vec<u8>,
    frame: Option<Frame>,
    payload: Vec<u8>,
    /// The length so far of a message whose last part has not arrived.
    message: Option<u64>,
}

struct Frame {
    opcode: u8,
    is_final: bool,
    mask: [u8; 4],
    length: u64,
    arrived: u64,
}

impl Incoming {
    /// Takes the next bytes, and passes on the frames that end in them.
    pub(super) fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(Received)) -> Result<(), Fault> {
        for byte in bytes {
            let is_whole = match &mut self.frame {
                Some(frame) => {
                    if frame.opcode >= CLOSE {
                        self.payload.push(byte ^ frame.mask[(frame.arrived & 3) as usize]);
                    }
                    frame.arrived += 1;
                    frame.arrived == frame.length
                }
                None => {
                    self.head.push(*byte);
                    self.frame = self.begin()?;
                    self.frame.as_ref().is_some_and(|frame| frame.length == 0)
                }
            };
            if is_whole && let Some(frame) = self.frame.take() {
                self.head.clear();
                take(self.end(&frame));
            }
        }
        Ok(())
    }

    /// The frame whose head has arrived, if it has.
    fn begin(&self) -> Result<Option<Frame>, Fault> {
        let [first, second, rest @ ..] = &self.head[..] else { return Ok(None) };
        let (opcode, is_final, short) = (first & 0x0f, first & FINAL != 0, second & !MASKED);
        let is_known = match opcode {
            0x0 => self.message.is_some(),
            0x1 | 0x2 => self.message.is_none(),
            CLOSE | PING | PONG => is_final && usize::from(short) <= MAX_CONTROL,
            _ => false,
        };
        if first & 0x70 != 0 || second & MASKED == 0 || !is_known {
            return Err(Fault::Protocol);
        }
        let long = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() < long + 4 {
            return Ok(None);
        }
        let (digits, mask) = rest.split_at(long);
        let length =
            if long == 0 { u64::from(short) } else { digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit)) };
        let is_shortest = match short {
            126 => length > 125,
            127 => length > 0xffff,
            _ => true,
        };
        if !is_shortest {
            return Err(Fault::Protocol);
        }
        if opcode < CLOSE && self.message.unwrap_or_default().saturating_add(length) > MAX_MESSAGE {
            return Err(Fault::TooLong);
        }
        let mask = mask.try_into().map_err(|_| Fault::Protocol)?;
        Ok(Some(Frame { opcode, is_final, mask, length, arrived: 0 }))
    }

    fn end(&mut self, frame: &Frame) -> Received {
        let payload = std::mem::take(&mut self.payload);
        match frame.opcode {
            PING => Received::Ping(payload),
            CLOSE => Received::Close,
            PONG => Received::Other,
            _ => {
                let length = self.message.unwrap_or_default() + frame.length;
                self.message = (!frame.is_final).then_some(length);
                Received::Other
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            length @ 0..=125 => out.push(MASKED | length as u8),
            length => {
                out.push(MASKED | 126);
                out.extend((length as u16).to_be_bytes());
            }
        }
        out.extend([1, 2, 3, 4]);
        out.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    fn fed(bytes: &[u8]) -> (Vec<Received>, Result<(), Fault>) {
        let mut received = Vec::new();
        let fed = Incoming::default().feed(bytes, |frame| received.push(frame));
        (received, fed)
    }

    #[test]
    fn frames_have_the_form_of_the_standard() {
        let mut out = BytesMut::new();
        text(&mut out, b"Hello");
        ping(&mut out);
        pong(&mut out, b"x");
        close(&mut out, None);
        close(&mut out, Some(Fault::TooLong));
        assert_eq!(&out[..], b"\x81\x05Hello\x89\x00\x8a\x01x\x88\x00\x88\x02\x03\xf1");
        for (length, head) in [(126, &b"\x81\x7e\x00\x7e"[..]), (65_536, b"\x81\x7f\0\0\0\0\0\x01\0\0")] {
            let mut out = BytesMut::new();
            text(&mut out, &vec![b'x'; length]);
            assert!(out.starts_with(head) && out.len() == head.len() + length);
        }
    }

    #[test]
    fn pings_are_answered_and_all_else_is_dropped() {
        let all = [
            masked(0x89, b"are you there"),
            masked(0x81, &[b'x'; 300]),
            masked(0x01, b"in "),
            masked(0x8a, b""),
            masked(0x80, b"parts"),
            masked(0x88, b"\x03\xe8"),
        ]
        .concat();
        let other = Received::Other;
        let ping = Received::Ping(b"are you there".to_vec());
        let wanted = vec![ping, other.clone(), other.clone(), other.clone(), other, Received::Close];
        assert_eq!(fed(&all), (wanted, Ok(())));
    }

    #[test]
    fn what_no_client_may_send_is_a_fault() {
        let part = masked(0x01, b"x");
        for (bytes, fault) in [
            (b"\x81\x01x".to_vec(), Fault::Protocol),
            (masked(0xc1, b"x"), Fault::Protocol),
            (masked(0x83, b"x"), Fault::Protocol),
            (masked(0x80, b"x"), Fault::Protocol),
            (masked(0x09, b"x"), Fault::Protocol),
            (masked(0x89, &[0; 126]), Fault::Protocol),
            ([&part[..], &part[..]].concat(), Fault::Protocol),
            (b"\x81\xfe\x00\x05....".to_vec(), Fault::Protocol),
            (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff....".to_vec(), Fault::TooLong),
            (masked(0x82, &[0; 4097]), Fault::TooLong),
            ([masked(0x01, &[0; 4096]), masked(0x00, b"x")].concat(), Fault::TooLong),
        ] {
            assert_eq!(fed(&bytes).1, Err(fault), "{:?}", &bytes[..2]);
        }
        assert_eq!(fed(&masked(0x82, &[0; 4096])).1, Ok(()));
        assert_eq!(fed(b"HTTP/1.1 GET").1, Err(Fault::Protocol));
    }

    proptest! {
        #[test]
        fn frames_are_found_wherever_the_bytes_are_cut(lengths in prop::collection::vec(0_usize..200, 1..8), cut: prop::sample::Index) {
            let frames: Vec<_> = lengths.iter().map(|length| masked(if *length < 126 { 0x89 } else { 0x82 }, &vec![7; *length])).collect();
            let bytes = frames.concat();
            let (a, b) = bytes.split_at(cut.index(bytes.len()));
            let (mut incoming, mut received) = (Incoming::default(), Vec::new());
            incoming.feed(a, |frame| received.push(frame)).unwrap();
            incoming.feed(b, |frame| received.push(frame)).unwrap();
            prop_assert_eq!((received, Ok(())), fed(&bytes));
        }

        #[test]
        fn no_bytes_are_kept_beyond_a_pings_payload(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let mut incoming = Incoming::default();
            let _ = incoming.feed(&bytes, |_| ());
            prop_assert!(incoming.head.len() <= 14 && incoming.payload.len() <= MAX_CONTROL);
        }
    }
}
