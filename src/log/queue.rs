//! Between those who say something and the thread that writes it.
//!
//! Bounded in records and in bytes. Pushing never waits; only the writing thread and [`Queue::flush`] do.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tracing::Level;

use super::record::Record;

/// Records that wait at most.
const RECORDS: usize = 4096;
/// Bytes that wait at most.
const BYTES: usize = 8 << 20;

/// Where records end up. An error means that this record is lost.
pub(super) trait Sink: Send {
    fn write(&mut self, record: &Record) -> io::Result<()>;
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Record>,
    bytes: usize,
    /// Found no room since the writer last looked.
    dropped: u64,
    /// Both count from the start; equal when all is out.
    taken_in: u64,
    done: u64,
}

impl Queue {
    /// Takes the record, or counts it as dropped.
    pub(super) fn push(&self, record: Record) {
        let mut state = self.lock();
        let bytes = state.bytes + record.size();
        if state.waiting.len() >= RECORDS || bytes > BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes = bytes;
        state.taken_in += 1;
        state.waiting.push_back(record);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until what was pushed before this call is written; false if `limit` is over first.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        let goal = state.taken_in;
        !self.written.wait_while_for(&mut state, |state| state.done < goal, limit).timed_out()
    }

    /// The next record, and how many were dropped since the last call.
    fn next(&self) -> (Record, u64) {
        let mut state = self.lock();
        loop {
            if let Some(record) = state.waiting.pop_front() {
                state.bytes = state.bytes.saturating_sub(record.size());
                return (record, std::mem::take(&mut state.dropped));
            }
            self.filled.wait(&mut state);
        }
    }

    fn done(&self) {
        self.lock().done += 1;
        self.written.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    #[cfg(test)]
    pub(super) fn drain(&self) -> Vec<Record> {
        self.lock().waiting.drain(..).collect()
    }
}

/// Empties the queue into the sink, for as long as the process lives.
pub(super) fn write(queue: &Queue, mut sink: Box<dyn Sink>) {
    let mut lost = 0;
    loop {
        let (record, dropped) = queue.next();
        lost += dropped;
        match sink.write(&record) {
            Ok(()) if lost > 0 && sink.write(&loss(lost)).is_ok() => lost = 0,
            Ok(()) => {}
            Err(_) => lost += 1,
        }
        queue.done();
    }
}

fn loss(lost: u64) -> Record {
    let mut record = Record::new(Level::WARN, "alertd::log");
    record.put("message", "the log could not keep up: entries are missing before this one");
    record.put("dropped", lost);
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

    /// Announces each record, then waits for the word whether it is written.
    struct Gate {
        came: Sender<Record>,
        go: Receiver<bool>,
    }

    impl Sink for Gate {
        fn write(&mut self, record: &Record) -> io::Result<()> {
            let _ = self.came.send(record.clone());
            if self.go.recv().unwrap_or(true) { Ok(()) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
        }
    }

    fn gated() -> (Arc<Queue>, Receiver<Record>, SyncSender<bool>) {
        let (came, arrivals) = channel();
        let (release, go) = sync_channel(2 * RECORDS);
        let queue = Arc::new(Queue::default());
        let written = Arc::clone(&queue);
        std::thread::spawn(move || write(&written, Box::new(Gate { came, go })));
        (queue, arrivals, release)
    }

    fn record(message: &str) -> Record {
        let mut record = Record::new(Level::INFO, "alertd");
        record.put("message", message);
        record
    }

    #[test]
    fn a_stuck_sink_holds_nobody_up_and_the_loss_is_told_when_there_is_room() {
        let (queue, arrivals, release) = gated();
        queue.push(record("first"));
        assert_eq!(arrivals.recv().unwrap().message, "first");
        for n in 0..RECORDS + 10 {
            queue.push(record(&n.to_string()));
        }
        assert!(!queue.flush(Duration::from_millis(10)), "nothing can be written yet");
        drop(release);
        assert!(queue.flush(Duration::from_secs(60)));
        let written: Vec<_> = arrivals.try_iter().collect();
        assert_eq!(written[0].message, "0");
        assert_eq!(written[1].fields, [("dropped", "10".to_owned())]);
        assert_eq!(written.last().unwrap().message, (RECORDS - 1).to_string());
        assert_eq!(written.len(), RECORDS + 1);
    }

    #[test]
    fn waiting_records_are_bounded_in_bytes() {
        let queue = Queue::default();
        for _ in 0..RECORDS {
            queue.push(record(&"x".repeat(8 << 10)));
        }
        let state = queue.lock();
        let kept = state.waiting.len();
        assert!(kept < RECORDS && state.bytes <= BYTES);
        assert_eq!(kept as u64 + state.dropped, RECORDS as u64);
    }

    #[test]
    fn what_the_sink_refuses_is_counted_and_told_once_it_works_again() {
        let (queue, arrivals, release) = gated();
        for (message, works) in [("one", false), ("two", false), ("three", true)] {
            release.send(works).unwrap();
            queue.push(record(message));
        }
        release.send(true).unwrap();
        assert!(queue.flush(Duration::from_secs(60)));
        let written: Vec<_> = arrivals.try_iter().collect();
        assert_eq!(written.len(), 4);
        assert_eq!(written[3].fields, [("dropped", "2".to_owned())]);
    }
}
