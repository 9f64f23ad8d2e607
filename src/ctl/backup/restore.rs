//! `alertctl restore`: replaces the stores of a stopped daemon by a backup.

use std::fs;
use std::path::Path;

use super::super::args::{DaemonOptions, Restore};
use super::super::exit::Failure;
use super::super::output::note;
use super::super::settings;
use super::target_log::TargetLog;
use super::{described, is_running, of_keys, read, units};
use crate::account::Account;
use crate::alert::Id;
use crate::backup::{Item, Part};
use crate::keyring::KeyRestore;
use crate::log::{self, Event};

/// Problems of a backup that are printed.
const NAMED: usize = 10;

/// # Errors
/// [`Failure`]; the stores are then as they were before, unless it says otherwise.
pub(crate) async fn run(args: Restore, daemon: DaemonOptions) -> Result<(), Failure> {
    let blocking = tokio::task::spawn_blocking(move || restore(&args, &daemon));
    blocking.await.map_err(|error| Failure::Failed(format!("the restore ended early: {error}")))?
}

fn restore(args: &Restore, daemon: &DaemonOptions) -> Result<(), Failure> {
    let stores = settings::stores(daemon)?;
    if is_listening(&stores.control_socket) {
        return Err(is_running(daemon));
    }
    let (mut problems, file) = (0, args.file.display());
    let summary = read(&args.file, &mut |read| {
        if let Err(problem) = read {
            problems += 1;
            if problems <= NAMED {
                note(&format!("{file}: {problem}"));
            }
        }
        Ok(())
    })?;
    let Some(header) = summary.header.clone() else {
        return Err(Failure::Damaged(format!("{file} is no backup of alertd, or its first line is damaged")));
    };
    if problems > 0 && !args.damaged {
        let remedy = "take another one, or restore what is left with --damaged";
        return Err(Failure::Damaged(format!("{file} is damaged in {problems} places; {remedy}")));
    }
    let are_keys_in_log = stores.keys.is_none();
    let keys = stores.keys.filter(|_| !args.no_keys);
    let key_restore = keys.map(|directory| KeyRestore::begin(&directory)).transpose();
    let key_restore = key_restore.map_err(|error| of_keys(&error, daemon))?;
    let log = TargetLog::begin(&stores.log, &header, args, are_keys_in_log && !args.no_keys, daemon)?;
    let mut filling = Filling { log, last: header.extent().trim, is_broken: false, user_keys: Vec::new() };
    read(&args.file, &mut |read| filling.take(read.ok()))?;
    let until = header.extent().until;
    filling.close(until)?;
    let Filling { log, user_keys, .. } = filling;
    // The keys first: if the log then fails, nothing is lost.
    let kept_keys = key_restore.map(|restore| restore.finish(user_keys)).transpose();
    let kept_keys = kept_keys.map_err(|error| of_keys(&error, daemon))?.flatten();
    let kept_log = log.finish(until)?;
    let (described, by) = (described(&summary), Account::own());
    log::to_journal("alertctl", || {
        tracing::warn!(
            message_id = %Event::Restored,
            by_user = by.name.as_deref(),
            by_uid = by.uid,
            "restored {described} from {file} into {}, by {by}",
            stores.log
        );
    });
    note(&format!("restored {described}"));
    for kept in [kept_log, kept_keys].into_iter().flatten() {
        note(&format!("what was there before is kept as {}; remove it when it is not needed", kept.display()));
    }
    note(&format!("start alertd: systemctl start {}", units(daemon)));
    Ok(())
}

/// A log that is being filled from a backup.
struct Filling<'a> {
    log: TargetLog<'a>,
    last: Id,
    /// Whether lines after `last` are missing.
    is_broken: bool,
    user_keys: Vec<(String, String)>,
}

impl Filling<'_> {
    /// Takes the next item; none for a line that cannot be used.
    fn take(&mut self, item: Option<Item>) -> Result<(), Failure> {
        let part = match item {
            None => {
                self.is_broken = true;
                return Ok(());
            }
            Some(Item::UserKey { id, entry }) => {
                self.user_keys.extend(self.log.add_key(id, entry)?);
                return Ok(());
            }
            Some(Item::Part(part)) => part,
            Some(Item::Header(_) | Item::End(_) | Item::Failed(_)) => return Ok(()),
        };
        let (before, id) = match &part {
            Part::Alert { record, .. } => (record.id.predecessor(), record.id),
            Part::Retired(id) => (id.predecessor(), *id),
            Part::Lost { after, upto } => (*after, *upto),
            Part::TopicTrim(..) | Part::Incident(..) | Part::Key { .. } => return self.log.add(part),
        };
        self.close(before)?;
        self.last = id;
        self.log.add(part)
    }

    /// Records a gap up to an id, if lines are missing.
    fn close(&mut self, upto: Id) -> Result<(), Failure> {
        if std::mem::take(&mut self.is_broken) && upto > self.last {
            self.log.add(Part::Lost { after: self.last, upto })?;
            self.last = upto;
        }
        Ok(())
    }
}

/// Whether a process, or the service manager in its place, listens on a Unix socket. Connecting would start the service.
fn is_listening(socket: &Path) -> bool {
    const ACCEPTS: &str = "00010000";
    let Ok(sockets) = fs::read_to_string("/proc/net/unix") else { return false };
    let Some(socket) = socket.to_str() else { return false };
    sockets.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        fields.nth(3) == Some(ACCEPTS) && line.ends_with(&format!(" {socket}"))
    })
}
