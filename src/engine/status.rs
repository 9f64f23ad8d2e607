//! What an engine knows of itself at any moment, without asking its store.
//!
//! Made by the engines; read by the service for readiness and metrics, and by the daemon for the unit's status line.

use super::Unavailable;
use crate::histogram::Distribution;

/// An engine at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// `embedded` or `redis`.
    pub kind: &'static str,
    /// Whether a publish would work now; otherwise why not.
    pub health: Result<(), Unavailable>,
    /// What the settings of the store's server may lose of acknowledged alerts, each with the remedy.
    pub server_warnings: Vec<String>,
    /// How long each write took: a commit on disk, or a call of Redis with what it waits for.
    pub commits: Distribution,
}
