//! One subscriber: its socket, and what it has read.

use std::os::fd::OwnedFd;

use super::order::Order;
use super::sse::Decoder;

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Asked for, not answered.
    Asked,
    /// The head is here.
    Open,
    /// Over, or not there yet.
    Closed,
}

/// A subscriber.
pub(crate) struct Stream {
    pub(crate) socket: Option<OwnedFd>,
    pub(crate) state: State,
    /// When it was asked for.
    pub(crate) asked: u64,
    /// When its replay ended and it became live; never, at first.
    pub(crate) seam: u64,
    pub(crate) order: Order,
    /// Bytes of a head or stamp that have come in part.
    pub(crate) pending: Vec<u8>,
    /// Parses every byte as a client must, if the workload needs ids or checks the framing.
    pub(crate) decoder: Option<Box<Decoder>>,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self {
            socket: None,
            state: State::Closed,
            asked: 0,
            seam: u64::MAX,
            order: Order::default(),
            pending: Vec::new(),
            decoder: None,
        }
    }
}
