//! The log that `alertctl restore` fills: that of a state directory, or of a fleet.
//!
//! Its calls block.

use tokio::runtime::Handle;

use super::super::args::{DaemonOptions, Restore};
use super::super::exit::Failure;
use super::super::keys;
use super::super::settings::LogStore;
use super::of_log;
use crate::alert::Id;
use crate::backup::{Header, Part};
use crate::engine::embedded;
use crate::engine::redis::{self, Existing, RestoreError};

pub(super) enum TargetLog<'a> {
    Embedded(Box<embedded::Restore>, &'a DaemonOptions),
    Redis(Box<redis::Restore>),
}

fn of_redis(error: RestoreError) -> Failure {
    match error {
        RestoreError::Occupied { .. } => Failure::Failed(error.to_string()),
        RestoreError::InUse { .. } | RestoreError::Unavailable(_) => Failure::Unavailable(error.to_string()),
    }
}

impl<'a> TargetLog<'a> {
    /// Begins a log beside the one in use.
    pub(super) fn begin(
        store: &LogStore,
        header: &Header,
        args: &Restore,
        has_keys: bool,
        daemon: &'a DaemonOptions,
    ) -> Result<Self, Failure> {
        let extent = header.extent();
        match store {
            LogStore::Directory(directory) => {
                let begun = embedded::Restore::begin(directory, extent, keys::now_ms());
                Ok(Self::Embedded(Box::new(begun.map_err(|error| of_log(&error, daemon))?), daemon))
            }
            LogStore::Redis(settings) => {
                let existing = if args.replace { Existing::Replace } else { Existing::Keep };
                let epoch = header.epoch.as_deref();
                let begun = redis::Restore::begin(settings, Handle::current(), extent, epoch, existing, has_keys);
                Ok(Self::Redis(Box::new(begun.map_err(of_redis)?)))
            }
        }
    }

    /// Adds a part; parts with ids must come in the order of their ids.
    pub(super) fn add(&mut self, part: Part) -> Result<(), Failure> {
        match self {
            Self::Embedded(log, daemon) => log.add(part).map_err(|error| of_log(&error, daemon)),
            Self::Redis(log) => log.add(part).map_err(of_redis),
        }
    }

    /// Adds a key of a user, if the keys are stored with the log. Otherwise it is returned.
    pub(super) fn add_key(&mut self, id: String, entry: String) -> Result<Option<(String, String)>, Failure> {
        match self {
            Self::Redis(log) if log.has_keys() => log.add_key(id, entry).map(|()| None).map_err(of_redis),
            _ => Ok(Some((id, entry))),
        }
    }

    /// Puts the log in its place. Returns where the former one is kept, if it is.
    pub(super) fn finish(self, until: Id) -> Result<Option<std::path::PathBuf>, Failure> {
        match self {
            Self::Embedded(log, daemon) => log.finish(until).map_err(|error| of_log(&error, daemon)),
            Self::Redis(log) => log.finish(until).map(|()| None).map_err(of_redis),
        }
    }
}
