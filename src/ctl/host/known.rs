//! The failed units that are known, kept in a file so that the next start knows what to compare with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::manager::{Activity, Unit};
use crate::ctl::exit::Failure;
use crate::ctl::state;

/// Units that are known at the same time. All of them fit into the file.
const MAX_KNOWN: usize = 128;

/// A unit that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownFailure {
    /// The name of this machine at that time, which is part of the incident's name.
    pub(super) host: String,
    /// The invocation id of the run that failed.
    pub(super) run: String,
}

/// What has become of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It has failed, for the first time or again.
    Failed,
    /// It is not failed any more.
    Back(KnownFailure),
}

/// The failed units by name.
#[derive(Debug)]
pub(super) struct KnownFailures {
    file: PathBuf,
    units: BTreeMap<String, KnownFailure>,
}

impl KnownFailures {
    /// Reads the file. If it is missing or empty, no unit is known.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be read, or holds anything else.
    pub(super) fn open(file: PathBuf) -> Result<Self, Failure> {
        let line = state::read(&file)?;
        let units = line.map(|line| serde_json::from_str(&line)).transpose().map_err(|_| state::foreign(&file))?;
        Ok(Self { file, units: units.unwrap_or_default() })
    }

    pub(super) fn contains(&self, unit: &str) -> bool {
        self.units.contains_key(unit)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.units.keys()
    }

    /// Whether no further unit can be known.
    pub(super) fn is_full(&self) -> bool {
        self.units.len() >= MAX_KNOWN
    }

    /// What has become of the unit since it was looked at last. While it starts, that is open.
    pub(super) fn change(&self, unit: &Unit) -> Option<Change> {
        let known = self.units.get(&unit.name);
        match unit.activity {
            Activity::Failed => known.is_none_or(|known| known.run != unit.run).then_some(Change::Failed),
            Activity::Starting => None,
            Activity::Other => known.cloned().map(Change::Back),
        }
    }

    /// Records that a unit failed. It is on disk when this returns.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be written.
    pub(super) fn insert(&mut self, unit: &str, failure: KnownFailure) -> Result<(), Failure> {
        self.units.insert(unit.to_owned(), failure);
        self.save()
    }

    /// Records that a unit is not failed any more. It is on disk when this returns.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be written.
    pub(super) fn remove(&mut self, unit: &str) -> Result<(), Failure> {
        self.units.remove(unit);
        self.save()
    }

    fn save(&self) -> Result<(), Failure> {
        let line = serde_json::to_string(&self.units);
        let line = line.map_err(|e| Failure::Failed(format!("cannot write the names of the failed units: {e}")))?;
        state::write(&self.file, &line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(activity: Activity, run: &str) -> Unit {
        Unit {
            name: "a.service".into(),
            activity,
            is_active: false,
            run: run.into(),
            changed: String::new(),
            result: "exit-code".into(),
            is_reported: false,
            follows_units: false,
        }
    }

    #[test]
    fn each_failed_run_is_a_change_once_and_a_start_is_none_until_it_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cursor.failed-units");
        let mut known = KnownFailures::open(file.clone()).unwrap();
        for (activity, run, change) in [
            (Activity::Other, "0", None),
            (Activity::Starting, "1", None),
            (Activity::Failed, "1", Some("failed")),
            // Looked at again, whether in the same process or in the next.
            (Activity::Failed, "1", None),
            // A oneshot that is started again and fails again was never back.
            (Activity::Starting, "2", None),
            (Activity::Failed, "2", Some("failed")),
            (Activity::Starting, "3", None),
            (Activity::Other, "3", Some("back")),
            (Activity::Other, "3", None),
        ] {
            let unit = unit(activity, run);
            let found = known.change(&unit);
            match &found {
                Some(Change::Failed) => {
                    known.insert(&unit.name, KnownFailure { host: "h".into(), run: run.into() }).unwrap();
                }
                Some(Change::Back(failure)) => {
                    assert_eq!(failure.run, "2");
                    known.remove(&unit.name).unwrap();
                }
                None => {}
            }
            let words = found.map(|change| if change == Change::Failed { "failed" } else { "back" });
            assert_eq!(words, change, "{activity:?} {run}");
            known = KnownFailures::open(file.clone()).unwrap();
        }
    }

    #[test]
    fn as_many_units_as_can_be_known_fit_into_the_file_and_a_foreign_file_is_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("units");
        let mut known = KnownFailures::open(file.clone()).unwrap();
        while !known.is_full() {
            let name = format!("{:03}{}", known.units.len(), "\\".repeat(252));
            known.units.insert(name, KnownFailure { host: "h".repeat(64), run: "f".repeat(32) });
        }
        known.save().unwrap();
        assert_eq!(KnownFailures::open(file.clone()).unwrap().units, known.units);
        std::fs::write(&file, "important").unwrap();
        assert!(KnownFailures::open(file.clone()).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"important");
    }
}
