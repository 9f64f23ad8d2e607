//! The queue between code that logs and the thread that writes.
//!
//! Bounded in records and in bytes. [`Queue::push`] never waits; only the writing thread and [`Queue::flush`] do.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tracing::Level;

use super::record::Record;

const MAX_RECORDS: usize = 4096;
const MAX_BYTES: usize = 8 << 20;

/// The destination of records.
pub(super) trait Sink: Send {
    /// # Errors
    /// The system's error; the record is lost.
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
    /// Records that did not fit since the writer took the last one.
    dropped: u64,
    /// Records ever queued. Equal to `done` when the queue is empty and the last record is written.
    queued: u64,
    /// Records ever written or lost.
    done: u64,
}

impl Queue {
    /// Queues the record, or counts it as dropped.
    pub(super) fn push(&self, record: Record) {
        let mut state = self.lock();
        let bytes = state.bytes + record.size();
        if state.waiting.len() >= MAX_RECORDS || bytes > MAX_BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes = bytes;
        state.queued += 1;
        state.waiting.push_back(record);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until all records pushed before this call are written. Returns false after `timeout`.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let mut state = self.lock();
        let goal = state.queued;
        !self.written.wait_while_for(&mut state, |state| state.done < goal, timeout).timed_out()
    }

    /// Waits for the next record. Also returns the number of records dropped since the last call.
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

    /// Takes all records.
    pub(super) fn drain(&self) -> Vec<Record> {
        self.lock().waiting.drain(..).collect()
    }
}

/// Writes the records of the queue to the sink. Never returns.
pub(super) fn write(queue: &Queue, mut sink: Box<dyn Sink>) {
    let mut lost = 0;
    loop {
        let (record, dropped) = queue.next();
        lost += dropped;
        match sink.write(&record) {
            Ok(()) if lost > 0 && sink.write(&loss_record(lost)).is_ok() => lost = 0,
            Ok(()) => {}
            Err(_) => lost += 1,
        }
        queue.done();
    }
}

fn loss_record(lost: u64) -> Record {
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

    /// Reports each record, then waits until the test says whether the write succeeds.
    struct ControlledSink {
        arrived: Sender<Record>,
        succeeds: Receiver<bool>,
    }

    impl Sink for ControlledSink {
        fn write(&mut self, record: &Record) -> io::Result<()> {
            let _ = self.arrived.send(record.clone());
            if self.succeeds.recv().unwrap_or(true) { Ok(()) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
        }
    }

    fn controlled() -> (Arc<Queue>, Receiver<Record>, SyncSender<bool>) {
        let (arrived, arrivals) = channel();
        let (release, succeeds) = sync_channel(2 * MAX_RECORDS);
        let queue = Arc::new(Queue::default());
        let written = Arc::clone(&queue);
        std::thread::spawn(move || write(&written, Box::new(ControlledSink { arrived, succeeds })));
        (queue, arrivals, release)
    }

    fn record(message: &str) -> Record {
        let mut record = Record::new(Level::INFO, "alertd");
        record.put("message", message);
        record
    }

    #[test]
    fn push_does_not_wait_for_a_stuck_sink_and_the_loss_is_reported_later() {
        let (queue, arrivals, release) = controlled();
        queue.push(record("first"));
        assert_eq!(arrivals.recv().unwrap().message, "first");
        for n in 0..MAX_RECORDS + 10 {
            queue.push(record(&n.to_string()));
        }
        assert!(!queue.flush(Duration::from_millis(10)), "nothing can be written yet");
        drop(release);
        assert!(queue.flush(Duration::from_secs(60)));
        let written: Vec<_> = arrivals.try_iter().collect();
        assert_eq!(written[0].message, "0");
        assert_eq!(written[1].fields, [("dropped", "10".to_owned())]);
        assert_eq!(written.last().unwrap().message, (MAX_RECORDS - 1).to_string());
        assert_eq!(written.len(), MAX_RECORDS + 1);
    }

    #[test]
    fn waiting_records_are_bounded_in_bytes() {
        let queue = Queue::default();
        for _ in 0..MAX_RECORDS {
            queue.push(record(&"x".repeat(8 << 10)));
        }
        let state = queue.lock();
        let kept = state.waiting.len();
        assert!(kept < MAX_RECORDS && state.bytes <= MAX_BYTES);
        assert_eq!(kept as u64 + state.dropped, MAX_RECORDS as u64);
    }

    #[test]
    fn records_that_the_sink_refuses_are_counted_and_reported_later() {
        let (queue, arrivals, release) = controlled();
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
