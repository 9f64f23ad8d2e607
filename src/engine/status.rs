//! The status of an engine, which it knows without asking its store.
//!
//! Made by the engines; read by the service for readiness and metrics, and by the daemon for the unit's status line.

use super::{IncidentTimes, Unavailable};
use crate::histogram::Distribution;

/// An engine at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// `embedded` or `redis`.
    pub kind: &'static str,
    /// Whether a publish would work now; otherwise why not.
    pub health: Result<(), Unavailable>,
    /// Settings of the store's server that may lose acknowledged alerts, each with the remedy.
    pub server_warnings: Vec<String>,
    /// How long each write took: a commit on disk, or a call of Redis including the wait for replicas.
    pub commits: Distribution,
    /// What this node stored about incidents.
    pub incidents: IncidentTimes,
}
