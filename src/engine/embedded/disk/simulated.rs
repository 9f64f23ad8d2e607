//! A disk for tests: it forgets what was not synced, in any order and in pieces of 512 bytes, and fails on request.
//!
//! After a failed sync it behaves as Linux does: what was not written stays readable and is never written.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};
use crate::random::Random;

const PIECE: usize = 512;

enum Pending {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

impl Pending {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Truncate(length) => content.resize(usize::try_from(*length).unwrap(), 0),
            Self::Write(offset, bytes) => {
                let start = usize::try_from(*offset).unwrap();
                content.resize(content.len().max(start + bytes.len()), 0);
                content[start..start + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Default)]
struct Content {
    /// What a reader sees.
    current: Vec<u8>,
    /// What a power cut leaves in any case.
    durable: Vec<u8>,
    pending: Vec<Pending>,
    /// Syncs of this file that failed.
    failed: u64,
    synced_after_failure: u64,
}

enum Entry {
    Set(String, u64),
    Remove(String),
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<Entry>,
    next: u64,
    /// Operations that still work before the power fails; none is no limit.
    fuel: Option<u64>,
    /// Bytes that still fit; none is no limit.
    space: Option<u64>,
    /// How many of the next syncs fail.
    failing_syncs: u64,
    reads: u64,
}

impl State {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.fuel {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(fuel) => {
                *fuel -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The disk; clones are the same one.
#[derive(Clone, Default)]
pub(in super::super) struct SimulatedDisk(Arc<Mutex<State>>);

impl SimulatedDisk {
    /// Makes the power fail after this many operations; all later ones fail.
    pub(in super::super) fn set_fuel(&self, fuel: Option<u64>) {
        self.0.lock().fuel = fuel;
    }

    pub(in super::super) fn set_space(&self, space: Option<u64>) {
        self.0.lock().space = space;
    }

    pub(in super::super) fn fail_syncs(&self, count: u64) {
        self.0.lock().failing_syncs = count;
    }

    pub(in super::super) fn reads(&self) -> u64 {
        self.0.lock().reads
    }

    /// How often a file was synced again after a sync of it had failed.
    pub(in super::super) fn synced_after_failure(&self) -> u64 {
        self.0.lock().files.values().map(|file| file.synced_after_failure).sum()
    }

    pub(in super::super) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.0.lock();
        state.files[&state.names[name]].current.clone()
    }

    /// Changes a file without its user noticing.
    pub(in super::super) fn alter(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let inode = state.names[name];
        let file = state.files.get_mut(&inode).unwrap();
        change(&mut file.current);
        file.durable.clone_from(&file.current);
        file.pending.clear();
    }

    /// Puts a file there, durable.
    pub(in super::super) fn put(&self, name: &str, content: Vec<u8>) {
        let mut state = self.0.lock();
        state.next += 1;
        let inode = state.next;
        state.files.insert(inode, Content { current: content.clone(), durable: content, ..Content::default() });
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// A copy with the present content of all files, all of it durable.
    pub(in super::super) fn copy(&self) -> Self {
        let copy = Self::default();
        let state = self.0.lock();
        for (name, inode) in &state.names {
            copy.put(name, state.files[inode].current.clone());
        }
        copy
    }

    /// The disk after a power cut: all that was synced, and any part of the rest.
    pub(in super::super) fn after_power_cut(&self, random: &mut Random) -> Self {
        let copy = Self::default();
        let state = self.0.lock();
        let mut names = state.durable_names.clone();
        for entry in &state.pending_names {
            if random.chance(50) {
                match entry {
                    Entry::Set(name, inode) => drop(names.insert(name.clone(), *inode)),
                    Entry::Remove(name) => drop(names.remove(name)),
                }
            }
        }
        for (name, inode) in names {
            let Some(file) = state.files.get(&inode) else { continue };
            copy.put(&name, torn(file, random));
        }
        copy
    }
}

/// The durable content with some of the pending pieces.
fn torn(file: &Content, random: &mut Random) -> Vec<u8> {
    let mut content = file.durable.clone();
    // Now and then all or nothing, else any mixture.
    let percent = [0, 100, 50, 90][usize::try_from(random.below(4)).unwrap()];
    for pending in &file.pending {
        match pending {
            Pending::Truncate(_) => {
                if random.chance(percent) {
                    pending.apply(&mut content);
                }
            }
            Pending::Write(offset, bytes) => {
                let mut from = usize::try_from(*offset).unwrap();
                let end = from + bytes.len();
                let start = from;
                while from < end {
                    let to = end.min((from / PIECE + 1) * PIECE);
                    if random.chance(percent) {
                        if content.len() < to {
                            content.resize(to, 0);
                        }
                        content[from..to].copy_from_slice(&bytes[from - start..to - start]);
                    }
                    from = to;
                }
                // The size may have grown before the content came.
                if content.len() < end && random.chance(20) {
                    content.resize(end, 0);
                }
            }
        }
    }
    content
}

impl Disk for SimulatedDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.spend()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.space.is_some_and(|space| space < 4096) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.next += 1;
        let inode = state.next;
        state.files.insert(inode, Content::default());
        state.names.insert(name.to_owned(), inode);
        state.pending_names.push(Entry::Set(name.to_owned(), inode));
        Ok(Arc::new(SimulatedFile(self.clone(), inode)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.spend()?;
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimulatedFile(self.clone(), inode)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.0.lock();
        state.spend()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.spend()?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        state.pending_names.push(Entry::Set(to.to_owned(), inode));
        state.pending_names.push(Entry::Remove(from.to_owned()));
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.spend()?;
        let inode = state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        if let Some(space) = state.space {
            state.space = Some(space + state.files[&inode].current.len() as u64);
        }
        state.pending_names.push(Entry::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.spend()?;
        state.pending_names.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct SimulatedFile(SimulatedDisk, u64);

impl DiskFile for SimulatedFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.0.0.lock();
        let cut = state.spend().is_err();
        let (mut length, mut failed) = (bytes.len(), None);
        if cut {
            // The power fails in the middle of the write.
            (length, failed) = (bytes.len() / 2, Some(io::Error::other("the power is gone")));
        }
        let start = usize::try_from(offset).unwrap();
        let grown = (start + length).saturating_sub(state.files[&self.1].current.len()) as u64;
        if let Some(space) = &mut state.space {
            if grown > *space {
                length -= usize::try_from(grown - *space).unwrap().min(length);
                *space = 0;
                failed = Some(io::ErrorKind::StorageFull.into());
            } else {
                *space -= grown;
            }
        }
        let file = state.files.get_mut(&self.1).unwrap();
        if file.current.len() < start + length {
            file.current.resize(start + length, 0);
        }
        file.current[start..start + length].copy_from_slice(&bytes[..length]);
        file.pending.push(Pending::Write(offset, bytes[..length].to_vec()));
        failed.map_or(Ok(()), Err)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.0.0.lock();
        state.reads += 1;
        let content = &state.files[&self.1].current;
        let start = usize::try_from(offset).unwrap().min(content.len());
        let length = bytes.len().min(content.len() - start);
        bytes[..length].copy_from_slice(&content[start..start + length]);
        Ok(length)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.0.lock();
        state.spend()?;
        let fails = state.failing_syncs > 0;
        state.failing_syncs = state.failing_syncs.saturating_sub(1);
        let file = state.files.get_mut(&self.1).unwrap();
        if file.failed > 0 {
            file.synced_after_failure += 1;
        }
        if fails {
            // The pages are clean from now on, and are not on the disk.
            file.pending.clear();
            file.failed += 1;
            return Err(io::Error::other("the disk failed"));
        }
        // What a failed sync left out is no longer pending, and never reaches the disk.
        for pending in std::mem::take(&mut file.pending) {
            pending.apply(&mut file.durable);
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.0.0.lock();
        state.spend()?;
        let file = state.files.get_mut(&self.1).unwrap();
        let before = file.current.len() as u64;
        file.current.resize(usize::try_from(length).unwrap(), 0);
        file.pending.push(Pending::Truncate(length));
        if let Some(space) = &mut state.space {
            *space += before.saturating_sub(length);
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.0.lock().files[&self.1].current.len() as u64)
    }
}
