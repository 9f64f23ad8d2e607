//! Owners and modes of what is stored, and the space for it.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Findings, Subject};
use crate::account::Account;

const MIB: u64 = 1 << 20;
/// Files whose owners are named one by one; then only their number.
const NAMED: usize = 3;
/// Files of the state directory that are looked at; a log has at most some thousands.
const MAX_FILES: usize = 100_000;

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(resolved) = &subject.resolved else { return };
    if subject.units.is_some() && !subject.is_root {
        // The paths of another user's daemon, who has other defaults.
        return;
    }
    let config = &resolved.config;
    let mut directories = vec![&config.state_dir];
    if config.auth.store_dir != config.state_dir {
        directories.push(&config.auth.store_dir);
    }
    for directory in directories {
        match fs::metadata(directory) {
            Ok(_) => {
                space(directory, findings);
                owners(subject, directory, findings);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                findings.ok("files", format!("{} does not exist yet", directory.display()));
            }
            Err(error) => findings.skipped("files", format!("{}: {error}", directory.display())),
        }
    }
    let keys = config.auth.store_dir.join("auth.json");
    let secrets = [Some(keys), config.http.tls_key.clone().filter(|key| key.is_absolute())];
    for file in secrets.into_iter().flatten() {
        if let Some(mode) = mode(&file).filter(|mode| mode & 0o007 != 0) {
            findings.warning(
                "files",
                format!("every user of this machine may read {} (mode {mode:o})", file.display()),
                format!("chmod o= {}", file.display()),
            );
        }
    }
    if let Some(mode) = mode(&subject.file).filter(|mode| mode & 0o022 != 0) {
        let file = subject.file.display();
        findings.warning(
            "files",
            format!("others than root may write {file} (mode {mode:o})"),
            format!("chmod go-w {file}"),
        );
    }
    if !findings.0.iter().any(|finding| finding.check == "files") {
        findings.ok("files", format!("{} belongs to {}", config.state_dir.display(), subject.user()));
    }
}

fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|metadata| metadata.permissions().mode() & 0o7777)
}

fn space(directory: &Path, findings: &mut Findings) {
    let Ok(disk) = rustix::fs::statvfs(directory) else { return };
    let shown = directory.display();
    let (free, size) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    let left = format!("{} MiB of {} MiB are free for {shown}", free / MIB, size / MIB);
    let remedy = "free space on its disk, or keep less: alerts.retain_age, alerts.retain_count and alerts.retain_bytes";
    if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        findings.fault(
            "disk",
            format!("the file system of {shown} is read-only"),
            "mount it writable, and see dmesg for why",
        );
    } else if free < 64 * MIB {
        findings.fault("disk", left, remedy);
    } else if free < 512 * MIB || free < size / 20 {
        findings.warning("disk", left, remedy);
    } else if disk.f_files > 0 && disk.f_favail < 1000 {
        findings.warning("disk", format!("{} inodes are free for {shown}", disk.f_favail), "remove files on its disk");
    } else {
        findings.ok("disk", left);
    }
}

/// Everything in the directory has to belong to the user of the service.
fn owners(subject: &Subject<'_>, directory: &Path, findings: &mut Findings) {
    let Some(uid) = Account::uid_of(subject.user()) else { return };
    if !subject.is_root {
        return;
    }
    let mut foreign = Vec::new();
    let mut left = MAX_FILES;
    collect(directory, &mut left, &mut |path, metadata| {
        if metadata.uid() != uid || metadata.permissions().mode() & 0o200 == 0 {
            foreign.push(path.display().to_string());
        }
    });
    if !foreign.is_empty() {
        let (number, user) = (foreign.len(), subject.user());
        foreign.truncate(NAMED);
        let more = if number > NAMED { format!(" and {} more", number - NAMED) } else { String::new() };
        let shown = directory.display();
        findings.fault(
            "files",
            format!("{}{more} cannot be written by the user {user}", foreign.join(", ")),
            format!("chown -R {user}: {shown}; chmod -R u+rwX {shown}"),
        );
    }
}

fn collect(directory: &Path, left: &mut usize, take: &mut dyn FnMut(&Path, &Metadata)) {
    let mut waiting: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if *left == 0 {
            return;
        }
        *left -= 1;
        take(&path, &metadata);
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.map(|entry| entry.path()));
        }
    }
}
