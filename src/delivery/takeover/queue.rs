//! The sockets of streams in flight: a Unix socket whose queue holds them, followed by the description of the streams.
//!
//! The service manager stores one end of the queue and does not see what is in it. Storing one descriptor for each
//! stream would take time that grows with the square of their number. Descriptors in a queue count only against the
//! user's limit of descriptors in flight, not as open files.

use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::fs::{FileType, MemfdFlags, SealFlags, fcntl_add_seals, fstat, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
};

/// The most descriptors that the kernel takes with one message.
const BATCH: usize = 253;
/// Room for the messages, bytes; each takes about a kilobyte. The system may limit it further.
const ROOM: usize = 4 << 20;
/// The longest description that is read, which bounds the memory that a damaged one takes.
const MAX_DESCRIPTION: u64 = 1 << 30;

/// A queue that is being filled. The near end shows whether anybody still holds the far end.
pub(super) struct Queue {
    pub(super) near: OwnedFd,
    pub(super) far: OwnedFd,
}

impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Best effort: with the usual size there is room for tens of thousands of sockets.
        let _ = sockopt::set_socket_send_buffer_size(&near, ROOM);
        Ok(Self { near, far })
    }

    /// Puts sockets in, in this order. Returns how many; fewer than all if the queue or the limit of descriptors in flight
    /// is full.
    pub(super) fn fill(&self, sockets: &[BorrowedFd<'_>]) -> usize {
        let mut sent = 0;
        for batch in sockets.chunks(BATCH) {
            match self.put(batch) {
                Ok(()) => sent += batch.len(),
                Err(error) => {
                    tracing::debug!(%error, sent, "not all sockets of streams can be stored");
                    break;
                }
            }
        }
        sent
    }

    /// Puts in up to [`BATCH`] descriptors, all or none.
    pub(super) fn put(&self, batch: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(batch)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // A message without a byte carries no descriptors.
        sendmsg(&self.near, &[IoSlice::new(b"s")], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Takes the oldest message out again, to make room. Returns how many descriptors were in it.
    pub(super) fn take_back(&self) -> usize {
        receive(&self.far).map_or(0, |batch| batch.len())
    }
}

/// Takes everything out of the far end of a queue: the sockets, and the description if there is one.
pub(super) fn drain(far: &OwnedFd) -> (Vec<OwnedFd>, Option<OwnedFd>) {
    let (mut sockets, mut description) = (Vec::new(), None);
    loop {
        match receive(far) {
            Ok(batch) if batch.is_empty() => break,
            Ok(batch) => {
                for descriptor in batch {
                    match fstat(&descriptor).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                        Ok(FileType::RegularFile) => description = description.or(Some(descriptor)),
                        Ok(FileType::Socket) => sockets.push(descriptor),
                        _ => {}
                    }
                }
            }
            Err(Errno::INTR) => {}
            // Nothing is left, or nothing can be read: what could not be received is closed with the queue.
            Err(_) => break,
        }
    }
    (sockets, description)
}

/// One message; empty at the end of the queue.
fn receive(far: &OwnedFd) -> Result<Vec<OwnedFd>, Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    recvmsg(far, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let mut received = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            received.extend(descriptors);
        }
    }
    Ok(received)
}

/// A file in memory with this content, which nobody can change any more.
pub(super) fn sealed(content: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let create = |flags| memfd_create("alertd-takeover", flags);
    // Kernels before 6.3 do not know the flag; later ones may insist on it.
    let file = create(flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| create(flags))?;
    let mut file = std::fs::File::from(file);
    file.write_all(content)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file.into())
}

/// The content of such a file.
pub(super) fn content(file: OwnedFd) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::from(file);
    let mut content = Vec::new();
    file.rewind()?;
    file.take(MAX_DESCRIPTION).read_to_end(&mut content)?;
    Ok(content)
}

/// The kernel's number for a socket, the same in every process.
pub(super) fn cookie(socket: impl AsFd) -> io::Result<u64> {
    Ok(sockopt::socket_cookie(socket)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_and_the_description_come_out_after_the_near_end_is_closed() {
        let pairs: Vec<_> = (0..600).map(|_| UnixStream::pair().unwrap()).collect();
        let sockets: Vec<_> = pairs.iter().map(|(ours, _)| ours.as_fd()).collect();
        let cookies: Vec<_> = sockets.iter().map(|socket| cookie(socket).unwrap()).collect();
        let queue = Queue::new().unwrap();
        assert_eq!(queue.fill(&sockets), 600);
        queue.put(&[sealed(b"words").unwrap().as_fd()]).unwrap();
        let Queue { near, far } = queue;
        drop((sockets, near));
        let (theirs, ours): (Vec<_>, Vec<_>) = pairs.into_iter().map(|(ours, theirs)| (theirs, ours)).unzip();
        drop(ours);
        let (sockets, description) = drain(&far);
        assert_eq!(sockets.iter().map(|socket| cookie(socket).unwrap()).collect::<Vec<_>>(), cookies);
        assert_eq!(content(description.unwrap()).unwrap(), b"words");
        // They are connected as before.
        for (socket, mut theirs) in sockets.into_iter().zip(theirs) {
            UnixStream::from(socket).write_all(b"!").unwrap();
            theirs.read_exact(&mut [0]).unwrap();
        }
        let (sockets, description) = drain(&far);
        assert!(sockets.is_empty() && description.is_none());
    }

    #[test]
    fn a_message_that_is_taken_back_takes_its_sockets_along() {
        let (one, _theirs) = UnixStream::pair().unwrap();
        let queue = Queue::new().unwrap();
        assert_eq!(queue.fill(&[one.as_fd(); 254]), 254);
        assert_eq!((queue.take_back(), queue.take_back(), queue.take_back()), (253, 1, 0));
    }

    #[test]
    fn what_is_sealed_cannot_be_changed_and_other_files_and_devices_are_no_sockets() {
        let mut file = std::fs::File::from(sealed(b"words").unwrap());
        assert!(file.write_all(b"x").is_err() && file.set_len(1).is_err());
        let queue = Queue::new().unwrap();
        let device = std::fs::File::open("/dev/null").unwrap();
        queue.put(&[device.as_fd(), file.as_fd(), file.as_fd()]).unwrap();
        let (sockets, description) = drain(&queue.far);
        assert!(sockets.is_empty() && cookie(&device).is_err());
        assert_eq!(content(description.unwrap()).unwrap(), b"words");
    }
}
