//! Sends alerts again and again until it is known whether they are stored.
//!
//! Called by `alertctl publish`, and by the commands that tell about the host. A request that is repeated is the same byte for
//! byte, with the same idempotency keys, so nothing is stored twice.

use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderName;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::{Instant, sleep};

use super::client::{Client, ClientError, Request};
use super::exit::Failure;
use super::incident;
use super::output::note;
use super::tail::backoff::Backoff;
use crate::alert::{IncidentName, Topic};
use crate::api::{AllStored, Published};
use crate::random;

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// Retries without an end, for what must not be lost.
pub(super) const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// An alert that was not stored, or may not have been.
#[derive(Debug)]
pub(super) enum Undelivered {
    /// Every further attempt would fail in the same way.
    Refused(ClientError),
    /// The time for retries is over.
    GivenUp {
        /// The error of the last attempt.
        error: ClientError,
        /// The idempotency key for a later attempt.
        key: String,
    },
}

/// Which daemon is worth waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Await {
    /// One that starts or restarts, but not one that a person has to start.
    Start,
    /// Any: a service of this machine has nobody to report to but alertd.
    Person,
}

/// Sends an alert and retries for `retry_for` until the outcome is known. `fallback` is another socket of the same daemon,
/// for a user who has no access to that of `client`.
pub(super) async fn send(
    client: &Client,
    fallback: Option<&Client>,
    body: &str,
    key: &str,
    (retry_for, wait): (Duration, Await),
) -> Result<Published, Undelivered> {
    let request = Request::new(Method::POST, "/alerts")
        .header(HeaderName::from_static("idempotency-key"), key)
        .body("application/json", body.to_owned());
    repeat(client, fallback, request, key, (retry_for, wait)).await
}

/// Sends alerts, one in each line and each with its own idempotency key, and retries as [`send`] does.
pub(super) async fn send_lines(
    client: &Client,
    lines: String,
    (retry_for, wait): (Duration, Await),
) -> Result<AllStored, Undelivered> {
    let request = Request::new(Method::POST, "/alerts").body("application/x-ndjson", lines);
    repeat(client, None, request, "", (retry_for, wait)).await
}

/// Takes an alert for delivered if one with its key was stored before, with other words, or was retracted since.
///
/// # Errors
/// [`Failure`] if it was not stored for another reason, or may not have been.
pub(super) fn stored_before(outcome: Result<Published, Undelivered>) -> Result<(), Failure> {
    match outcome {
        Err(Undelivered::Refused(ClientError::Refused { status: 409 | 410, .. })) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Resolves an incident, and retries as [`send`] does. Nothing changes if there is none of this name, or if it is resolved.
///
/// # Errors
/// [`Failure`] if the daemon refuses it, or is not there for as long.
pub(super) async fn resolve(
    client: &Client,
    topic: &Topic,
    incident: &IncidentName,
    note: &str,
    retries: (Duration, Await),
) -> Result<(), Failure> {
    let request = incident::action("resolve", topic, incident, Some(note.to_owned()))?;
    match repeat::<IgnoredAny>(client, None, request, "", retries).await {
        Err(Undelivered::Refused(ClientError::Refused { status: 404, .. })) => Ok(()),
        Err(Undelivered::GivenUp { error, .. }) => Err(error.into()),
        other => Ok(other.map(drop)?),
    }
}

async fn repeat<T: DeserializeOwned>(
    client: &Client,
    fallback: Option<&Client>,
    request: Request,
    key: &str,
    (retry_for, wait): (Duration, Await),
) -> Result<T, Undelivered> {
    let request = request.timeout(ATTEMPT_TIMEOUT);
    let (mut client, mut fallback) = (client, fallback);
    let deadline = Instant::now() + retry_for;
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
    let mut is_reported = false;
    loop {
        let sent = match client.send(request.clone()).await {
            Ok(response) => response.json::<T>().await,
            Err(error) => Err(error),
        };
        let error = match sent {
            Ok(published) => return Ok(published),
            Err(error) => error,
        };
        if matches!(error, ClientError::Forbidden { .. })
            && let Some(other) = fallback.take()
        {
            client = other;
            continue;
        }
        let is_waited_for = wait == Await::Person && matches!(error, ClientError::Down { .. });
        if !error.is_transient() && !is_waited_for {
            return Err(Undelivered::Refused(error));
        }
        let pause = backoff.next(error.retry_after(), random::fraction());
        if Instant::now() + pause >= deadline {
            return Err(Undelivered::GivenUp { error, key: key.to_owned() });
        }
        if !is_reported {
            note(&format!("{error}; retrying for {} s", retry_for.as_secs()));
            is_reported = true;
        }
        sleep(pause).await;
    }
}

impl From<Undelivered> for Failure {
    fn from(undelivered: Undelivered) -> Self {
        match undelivered {
            // The alert never left this machine, so it is certainly not stored.
            Undelivered::Refused(error)
            | Undelivered::GivenUp {
                error: error @ (ClientError::Unreachable { .. } | ClientError::Down { .. }),
                ..
            } => error.into(),
            Undelivered::GivenUp { error, key } => Self::Unavailable(format!(
                "{error}; the alert may or may not be stored: repeat the command with --idempotency-key {key}"
            )),
        }
    }
}
