//! Streams as one descriptor that another process can be given: the far end of a [queue] that holds their sockets and
//! their description. A store takes it whole or not at all.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::time::{ClockId, clock_gettime};

use super::carried::CarriedStream;
use super::description::Description;
use super::queue::{self, Queue};

/// Streams that are ready to be given away. Their sockets are open here too.
pub(crate) struct Packed {
    /// For the other process.
    pub(crate) far: OwnedFd,
    /// Hangs up when nobody holds the far end.
    pub(crate) near: OwnedFd,
    pub(crate) streams: Vec<CarriedStream>,
    /// Streams for which there was no room.
    pub(crate) left_over: Vec<CarriedStream>,
}

/// What another process has left.
#[derive(Default)]
pub(crate) struct Unpacked {
    pub(crate) streams: Vec<CarriedStream>,
    /// Streams whose record or socket is damaged or missing. Those with a socket are closed.
    pub(crate) damaged: u64,
    /// How long ago they were packed, in milliseconds; none if nothing is known of them.
    pub(crate) age_ms: Option<u64>,
    /// What is wrong, for the log.
    pub(crate) damage: Option<String>,
}

impl Packed {
    /// # Errors
    /// The streams, if the system has no descriptors or memory left.
    pub(crate) fn new(streams: Vec<CarriedStream>) -> Result<Self, (Vec<CarriedStream>, std::io::Error)> {
        match Queue::new() {
            Ok(queue) => Self::pack(queue, streams),
            Err(error) => Err((streams, error)),
        }
    }

    fn pack(queue: Queue, mut streams: Vec<CarriedStream>) -> Result<Self, (Vec<CarriedStream>, std::io::Error)> {
        let sockets: Vec<_> = streams.iter().map(|stream| stream.socket.as_fd()).collect();
        let fit = queue.fill(&sockets);
        drop(sockets);
        let mut left_over = streams.split_off(fit);
        if !left_over.is_empty() {
            // The description, and the message to the store, need room too.
            left_over.extend(streams.drain(..queue.take_back().min(streams.len())));
        }
        loop {
            let file = match queue::sealed(&describe(&streams).encode()) {
                Ok(file) => file,
                Err(error) => return Err((with(streams, left_over), error)),
            };
            match queue.put(&[file.as_fd()]) {
                Ok(()) => {
                    let Queue { near, far } = queue;
                    return Ok(Self { far, near, streams, left_over });
                }
                Err(error) => match queue.take_back().min(streams.len()) {
                    0 => return Err((with(streams, left_over), error)),
                    taken_back => left_over.extend(streams.drain(..taken_back)),
                },
            }
        }
    }
}

fn with(mut streams: Vec<CarriedStream>, others: Vec<CarriedStream>) -> Vec<CarriedStream> {
    streams.extend(others);
    streams
}

fn describe(streams: &[CarriedStream]) -> Description {
    // Without a cookie the record is not found again, and the stream counts as damaged.
    let with_cookie = |stream: &CarriedStream| Some((queue::cookie(&stream.socket).ok()?, stream.record.clone()));
    Description { stored_ms: now_ms(), streams: streams.iter().filter_map(with_cookie).collect() }
}

/// Takes everything out of what another process has packed.
pub(crate) fn unpack(far: &OwnedFd) -> Unpacked {
    let (sockets, file) = queue::drain(far);
    let text = match file.map(queue::content) {
        Some(Ok(text)) => text,
        Some(Err(error)) => return Unpacked::damaged(sockets.len(), format!("cannot be read: {error}")),
        None => return Unpacked::damaged(sockets.len(), "is missing".to_owned()),
    };
    let (description, is_whole) = match Description::decode(&text) {
        Ok(read) => read,
        Err(error) => return Unpacked::damaged(sockets.len(), format!("cannot be used: {error}")),
    };
    let age_ms = Some(now_ms().saturating_sub(description.stored_ms));
    let (mut records, mut damaged) = (HashMap::new(), 0);
    for (cookie, record) in description.streams {
        damaged += u64::from(records.insert(cookie, record).is_some());
    }
    let mut streams = Vec::with_capacity(sockets.len());
    for socket in sockets {
        match queue::cookie(&socket).ok().and_then(|cookie| records.remove(&cookie)) {
            Some(record) => streams.push(CarriedStream { socket, record }),
            None => damaged += 1,
        }
    }
    damaged += records.len() as u64;
    let damage = (!is_whole).then(|| "is damaged".to_owned());
    Unpacked { streams, damaged, age_ms, damage }
}

impl Unpacked {
    fn damaged(sockets: usize, damage: String) -> Self {
        Self { damaged: sockets as u64, damage: Some(damage), ..Self::default() }
    }
}

/// Milliseconds since the machine was booted. Two processes agree on it, and nobody can set it.
fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or_default() * 1000 + u64::try_from(now.tv_nsec).unwrap_or_default() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Filter, Id, Level, Pattern, Start};
    use crate::delivery::takeover::{StreamRecord, SubscriptionRecord};
    use crate::sse::Format;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    fn carried(number: u64) -> (CarriedStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        // Another test may start a child at the same time, which holds all descriptors for a moment.
        theirs.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        let filter = Arc::new(Filter::new([Pattern::All], Level::Info));
        let record = StreamRecord {
            subscription: SubscriptionRecord { key: None, filter, format: Format::Sse },
            start: Start::After(Id::at(number)),
            latest_after_ms: 0,
            has_passed_seam: true,
            retry_ms: 1,
            lifetime: None,
            patience: None,
            unsent: format!("stream {number}").into(),
        };
        (CarriedStream { socket: ours.into(), record }, theirs)
    }

    /// Packs streams, and gives what arrives after `change` was made to the queue.
    fn passed(
        number: u64,
        change: impl FnOnce(Vec<OwnedFd>, Vec<u8>) -> (Vec<OwnedFd>, Vec<u8>),
    ) -> (Unpacked, Vec<UnixStream>) {
        let (streams, theirs): (Vec<_>, Vec<_>) = (1..=number).map(carried).unzip();
        let Packed { far, near, streams, left_over } = Packed::new(streams).ok().unwrap();
        assert_eq!((streams.len() as u64, left_over.len()), (number, 0));
        drop((near, streams));
        let (sockets, file) = queue::drain(&far);
        let (sockets, text) = change(sockets, queue::content(file.unwrap()).unwrap());
        let queue = Queue::new().unwrap();
        assert_eq!(queue.fill(&sockets.iter().map(AsFd::as_fd).collect::<Vec<_>>()), sockets.len());
        queue.put(&[queue::sealed(&text).unwrap().as_fd()]).unwrap();
        drop(sockets);
        (unpack(&queue.far), theirs)
    }

    /// Each stream that arrived is on the socket of its own client; the others are closed.
    fn check(unpacked: Unpacked, mut theirs: Vec<UnixStream>) -> usize {
        let arrived = unpacked.streams.len();
        for CarriedStream { socket, record } in unpacked.streams {
            let Start::After(Id { ms: number, .. }) = record.start else { panic!() };
            let unsent = record.unsent.to_vec();
            std::io::Write::write_all(&mut UnixStream::from(socket), &unsent).unwrap();
            let mut text = String::new();
            theirs[number as usize - 1].read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("stream {number}"));
        }
        let closed = theirs.iter_mut().map(|socket| usize::from(matches!(socket.read(&mut [0]), Ok(0)))).sum::<usize>();
        assert_eq!(closed, theirs.len());
        arrived
    }

    #[test]
    fn streams_arrive_on_their_own_sockets() {
        let (unpacked, theirs) = passed(300, |sockets, text| (sockets, text));
        assert_eq!((unpacked.damaged, unpacked.damage.clone()), (0, None));
        assert!(unpacked.age_ms.is_some_and(|age| age < 30_000));
        assert_eq!(check(unpacked, theirs), 300);
    }

    #[test]
    fn neither_order_nor_missing_nor_foreign_sockets_bring_a_stream_to_another_client() {
        let (unpacked, theirs) = passed(5, |mut sockets, text| {
            sockets.reverse();
            sockets.remove(1);
            let (foreign, _) = UnixStream::pair().unwrap();
            sockets.insert(0, foreign.into());
            (sockets, text)
        });
        assert_eq!(unpacked.damaged, 2);
        assert_eq!(check(unpacked, theirs), 4);
    }

    #[test]
    fn whatever_byte_of_the_description_is_flipped_each_socket_goes_on_with_its_record_or_is_closed() {
        let length = passed(3, |sockets, text| (sockets, text)).0.streams.len();
        assert_eq!(length, 3);
        let mut size = 1;
        let mut at = 0;
        while at < size {
            let (unpacked, theirs) = passed(3, |sockets, mut text| {
                // Times and cookies have not always the same number of digits.
                size = text.len();
                text[at.min(size - 1)] ^= 1 << (at % 8);
                (sockets, text)
            });
            assert!(unpacked.damage.is_some(), "byte {at}");
            let damaged = unpacked.damaged;
            let arrived = check(unpacked, theirs);
            assert!(arrived + damaged as usize >= 3, "byte {at}: {arrived} arrived, {damaged} damaged");
            at += 1;
        }
    }

    #[test]
    fn a_description_of_another_version_or_none_closes_all_sockets() {
        for text in [&b"alertd takeover 2\n"[..], b"", b"x"] {
            let (unpacked, theirs) = passed(2, |sockets, _| (sockets, text.to_vec()));
            assert!(unpacked.damaged == 2 && unpacked.age_ms.is_none() && unpacked.damage.is_some());
            assert_eq!(check(unpacked, theirs), 0);
        }
        let queue = Queue::new().unwrap();
        let unpacked = unpack(&queue.far);
        assert_eq!((unpacked.damaged, unpacked.damage.as_deref()), (0, Some("is missing")));
    }
}
