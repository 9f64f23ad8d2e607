//! How long incidents wait for people, and how often they are announced again.
//!
//! The engines note here what they have stored; in a fleet, the node that stored it does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::histogram::{Distribution, Histogram, Scale};
use crate::incident::Happened;

#[derive(Debug)]
pub(super) struct IncidentMeter {
    acknowledgement: Histogram,
    resolution: Histogram,
    reminders: AtomicU64,
}

/// What happened to incidents on this node since its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncidentTimes {
    /// From the opening of an occurrence to each acknowledgement.
    pub acknowledgement: Distribution,
    /// From the opening of an occurrence to each resolution.
    pub resolution: Distribution,
    /// Reminders that were sent.
    pub reminders: u64,
}

impl Default for IncidentMeter {
    fn default() -> Self {
        let [acknowledgement, resolution] = [Histogram::of(Scale::Human), Histogram::of(Scale::Human)];
        Self { acknowledgement, resolution, reminders: AtomicU64::new(0) }
    }
}

impl IncidentMeter {
    pub(super) fn note(&self, happened: &Happened) {
        let note = |histogram: &Histogram, times: &[u64]| {
            times.iter().for_each(|ms| histogram.observe(Duration::from_millis(*ms), 1));
        };
        note(&self.acknowledgement, &happened.acknowledged_ms);
        note(&self.resolution, &happened.resolved_ms);
        self.reminders.fetch_add(happened.reminders, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> IncidentTimes {
        IncidentTimes {
            acknowledgement: self.acknowledgement.read(),
            resolution: self.resolution.read(),
            reminders: self.reminders.load(Ordering::Relaxed),
        }
    }
}
