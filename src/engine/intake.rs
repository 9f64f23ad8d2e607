//! The intake of publishes and acts, shared by both engines: deadlines, refusals by the queue, and the batches of the
//! writer.
//!
//! Both engines use it. The engine's handle submits a group, or what somebody wants to do about an incident, and waits for
//! its outcome; the engine's writer gathers what is waiting into one write and answers each. The bounded queue between them
//! is the engine's own. Always: a group is stored whole or not at all, and whoever waits gets an outcome within
//! [`Intake::answer_within`].

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::{
    ActFailure, AppendError, Cause, Changed, Publish, Retract, RetractFailure, Retracted, Stored, Unavailable,
};
use crate::incident::{Act, ActError};

/// The shortest time between two log lines about publishes that fail for the same cause.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The alerts of a group with their ids, or why there are none.
pub(super) type Outcome = Result<Vec<Stored>, AppendError>;

/// An incident after an act, or why nothing was done.
pub(super) type ActOutcome = Result<Changed, ActFailure>;

/// A request to a writer.
pub(super) enum Job {
    Append(Group),
    Act(ActRequest),
    Retract(RetractRequest),
    /// Look at what else is due, such as the watchdog's marker.
    Wake,
    /// Store everything queued before this, then end.
    Close,
}

/// Alerts that are stored together or not at all, and the publisher that waits for them.
pub(super) struct Group {
    pub(super) alerts: Vec<Publish>,
    /// The store must not take the group after this: its publisher is about to hear that the outcome is unknown.
    pub(super) deadline: Instant,
    answer: oneshot::Sender<Outcome>,
}

impl Group {
    pub(super) fn reports_incident(&self) -> bool {
        self.alerts.iter().any(|alert| alert.draft.incident().is_some())
    }

    /// A publisher that has given up is not an error.
    pub(super) fn answer(self, outcome: Outcome) {
        let _ = self.answer.send(outcome);
    }
}

/// What somebody wants to be done about one incident or alert, and who waits for the outcome.
pub(super) struct Request<W, T> {
    pub(super) wanted: W,
    /// As that of a [`Group`].
    pub(super) deadline: Instant,
    answer: oneshot::Sender<Result<T, AppendError>>,
}

pub(super) type ActRequest = Request<Act, Result<Changed, ActError>>;
pub(super) type RetractRequest = Request<Retract, Result<Retracted, RetractFailure>>;

impl<W, T> Request<W, T> {
    /// Whoever waited and has given up is not an error.
    pub(super) fn answer(self, outcome: Result<T, AppendError>) {
        let _ = self.answer.send(outcome);
    }
}

/// Why a queue did not take a job.
pub(super) enum Refused {
    Full,
    Closed,
}

impl<T> From<tokio::sync::mpsc::error::TrySendError<T>> for Refused {
    fn from(error: tokio::sync::mpsc::error::TrySendError<T>) -> Self {
        match error {
            tokio::sync::mpsc::error::TrySendError::Full(_) => Self::Full,
            tokio::sync::mpsc::error::TrySendError::Closed(_) => Self::Closed,
        }
    }
}

/// The publishers' side of the queue.
pub(super) struct Intake {
    /// The store in the operator's words, such as `Redis at db1:6379`.
    pub(super) store: String,
    /// How long the store may take a group.
    pub(super) take_within: Duration,
    /// How long a publisher waits; longer than `take_within` where the store enforces that.
    pub(super) answer_within: Duration,
    /// The cause of the failure that was logged last, and when.
    logged: Mutex<Option<(Cause, Instant)>>,
}

impl Intake {
    pub(super) const fn new(store: String, take_within: Duration, answer_within: Duration) -> Self {
        Self { store, take_within, answer_within, logged: Mutex::new(None) }
    }

    /// Puts a group into the queue with `send`, which must not wait for the writer, and waits for its outcome. A failure is
    /// logged with its detail, which the publisher does not get.
    pub(super) async fn submit<E: Into<Refused>>(
        &self,
        alerts: Vec<Publish>,
        send: impl AsyncFnOnce(Job) -> Result<(), E>,
    ) -> Outcome {
        self.ask(|deadline, answer| Job::Append(Group { alerts, deadline, answer }), send).await
    }

    /// The same for an act.
    pub(super) async fn submit_act<E: Into<Refused>>(
        &self,
        act: Act,
        send: impl AsyncFnOnce(Job) -> Result<(), E>,
    ) -> ActOutcome {
        match self.ask(|deadline, answer| Job::Act(Request { wanted: act, deadline, answer }), send).await {
            Ok(outcome) => outcome.map_err(ActFailure::Refused),
            Err(error) => Err(ActFailure::Failed(error)),
        }
    }

    /// The same for a retraction.
    pub(super) async fn submit_retract<E: Into<Refused>>(
        &self,
        retract: Retract,
        send: impl AsyncFnOnce(Job) -> Result<(), E>,
    ) -> Result<Retracted, RetractFailure> {
        let job = |deadline, answer| Job::Retract(Request { wanted: retract, deadline, answer });
        self.ask(job, send).await.unwrap_or_else(|error| Err(RetractFailure::Failed(error)))
    }

    async fn ask<T, E: Into<Refused>>(
        &self,
        job: impl FnOnce(Instant, oneshot::Sender<Result<T, AppendError>>) -> Job,
        send: impl AsyncFnOnce(Job) -> Result<(), E>,
    ) -> Result<T, AppendError> {
        let outcome = self.wait(job, send).await;
        if let Err(error) = &outcome
            && let Some(unavailable) = error.unavailable()
            && self.is_due(unavailable.cause)
        {
            tracing::warn!("publishing fails: {}", unavailable.detail);
        }
        outcome
    }

    fn is_due(&self, cause: Cause) -> bool {
        let mut logged = self.logged.lock();
        let is_recent = |(last, at): (Cause, Instant)| last == cause && at.elapsed() < FAILURE_LOG_INTERVAL;
        let is_due = cause != Cause::Stopping && !logged.is_some_and(is_recent);
        if is_due {
            *logged = Some((cause, Instant::now()));
        }
        is_due
    }

    async fn wait<T, E: Into<Refused>>(
        &self,
        job: impl FnOnce(Instant, oneshot::Sender<Result<T, AppendError>>) -> Job,
        send: impl AsyncFnOnce(Job) -> Result<(), E>,
    ) -> Result<T, AppendError> {
        let begun = Instant::now();
        let (answer, answered) = oneshot::channel();
        send(job(begun + self.take_within, answer)).await.map_err(|refused| {
            AppendError::NotStored(match refused.into() {
                Refused::Full => {
                    let detail = format!("more publishes are waiting for {} than the queue holds", self.store);
                    Unavailable::new(Cause::QueueFull, detail)
                }
                Refused::Closed => Unavailable::stopping(),
            })
        })?;
        match timeout_at(begun + self.answer_within, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(AppendError::Unknown(Unavailable::stopping())),
            Err(_) => {
                let detail = format!("{} did not answer within {:?}", self.store, self.answer_within);
                Err(AppendError::Unknown(Unavailable::new(Cause::TimedOut, detail)))
            }
        }
    }
}

/// The limits of one write; a group that begins within them is taken whole.
#[derive(Clone, Copy)]
pub(super) struct WriteLimits {
    pub(super) alerts: usize,
    pub(super) bytes: usize,
}

/// The publishes and acts that a writer took from its queue together.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) groups: Vec<Group>,
    pub(super) acts: Vec<ActRequest>,
    pub(super) retractions: Vec<RetractRequest>,
    /// Alerts of all groups, acts and retractions.
    pub(super) alerts: usize,
    pub(super) is_woken: bool,
    /// Whether the request to close was taken; nothing after it is.
    pub(super) is_closing: bool,
}

impl Gathered {
    /// Takes `first` and then what `next` has waiting, up to the limits.
    pub(super) fn gather(first: Job, limits: WriteLimits, mut next: impl FnMut() -> Option<Job>) -> Self {
        let (mut gathered, mut bytes) = (Self::default(), 0);
        let mut job = Some(first);
        while let Some(taken) = job {
            match taken {
                Job::Append(group) => {
                    gathered.alerts += group.alerts.len();
                    bytes += group.alerts.iter().map(|publish| publish.draft.size()).sum::<usize>();
                    gathered.groups.push(group);
                }
                Job::Act(request) => {
                    gathered.alerts += 1;
                    gathered.acts.push(request);
                }
                Job::Retract(request) => {
                    gathered.alerts += 1;
                    gathered.retractions.push(request);
                }
                Job::Wake => gathered.is_woken = true,
                Job::Close => {
                    gathered.is_closing = true;
                    break;
                }
            }
            let has_room = gathered.alerts < limits.alerts && bytes < limits.bytes;
            job = if has_room { next() } else { None };
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use tokio::sync::mpsc;

    use super::*;
    use crate::alert::{Draft, Level};

    fn publish() -> Publish {
        let draft = Draft::from_text(Some("t".parse().unwrap()), b"m", Level::Info).unwrap();
        Publish { draft, user: "u".into(), idempotency: None }
    }

    fn intake(within: Duration) -> Intake {
        Intake::new("the store in /secret".into(), within, within)
    }

    #[tokio::test]
    async fn each_refusal_says_whether_something_may_be_stored() {
        let (send, mut queue) = mpsc::channel(1);
        let late = intake(Duration::ZERO).submit(vec![publish()], async |job| send.try_send(job)).await.unwrap_err();
        assert!(matches!(&late, AppendError::Unknown(reason) if reason.cause == Cause::TimedOut), "{late}");
        assert!(late.unavailable().unwrap().detail.contains("/secret") && !late.to_string().contains("/secret"));
        let intake = intake(Duration::from_secs(60));
        let full = intake.submit(vec![publish()], async |job| send.try_send(job)).await.unwrap_err();
        assert!(matches!(&full, AppendError::NotStored(reason) if reason.cause == Cause::QueueFull), "{full}");
        let group = queue.recv().await.unwrap();
        let waiting = intake.submit(vec![publish()], async |job| send.try_send(job));
        let (outcome, ()) = tokio::join!(waiting, async {
            drop(group);
            drop(queue);
        });
        let ended = outcome.unwrap_err();
        assert!(matches!(&ended, AppendError::Unknown(reason) if reason.cause == Cause::Stopping), "{ended}");
        let closed = intake.submit(vec![publish()], async |job| send.try_send(job)).await.unwrap_err();
        assert!(matches!(&closed, AppendError::NotStored(reason) if reason.cause == Cause::Stopping), "{closed}");
    }

    #[test]
    fn failures_of_one_cause_are_logged_once_in_a_while() {
        let intake = intake(Duration::ZERO);
        assert!(intake.is_due(Cause::QueueFull) && !intake.is_due(Cause::QueueFull));
        assert!(intake.is_due(Cause::NotSafe) && !intake.is_due(Cause::Stopping));
    }

    fn queue_of(sizes: &[usize]) -> Receiver<Job> {
        let (send, queue) = sync_channel(sizes.len() + 1);
        for size in sizes {
            let alerts = vec![publish(); *size];
            let group = Group { alerts, deadline: Instant::now(), answer: oneshot::channel().0 };
            send.try_send(Job::Append(group)).unwrap_or_else(|_| panic!("full"));
        }
        send.try_send(Job::Close).unwrap_or_else(|_| panic!("full"));
        queue
    }

    #[test]
    fn a_write_takes_whole_groups_up_to_its_limits() {
        let queue = queue_of(&[2, 5, 1]);
        let limits = WriteLimits { alerts: 4, bytes: usize::MAX };
        let gather = || Gathered::gather(queue.recv().unwrap(), limits, || queue.try_recv().ok());
        let first = gather();
        assert_eq!((first.groups.len(), first.alerts, first.is_closing), (2, 7, false));
        let second = gather();
        assert_eq!((second.groups.len(), second.alerts, second.is_closing), (1, 1, true));
        let queue = queue_of(&[1, 1]);
        let limits = WriteLimits { alerts: 4, bytes: 1 };
        assert_eq!(Gathered::gather(queue.recv().unwrap(), limits, || queue.try_recv().ok()).alerts, 1);
    }
}
