//! Opens the sink for a [`Target`]; the sinks for syslog and standard error.

use std::ffi::{CString, OsStr};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use syslog_tracing::{Facility, Options, Syslog};
use tracing::callsite::{Callsite, Identifier};
use tracing::field::FieldSet;
use tracing::metadata::Kind;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::journald::{self, Journald};
use super::line::line;
use super::queue::Sink;
use super::record::Record;
use super::{LogError, Settings, Target};

const DEV_LOG: &str = "/dev/log";
const STDERR: &str = "/proc/self/fd/2";

/// # Errors
/// [`LogError::Unreachable`] if the target is the journal or syslog and is not available.
pub(super) fn open(settings: &Settings) -> Result<Box<dyn Sink>, LogError> {
    let journal = || Journald::open(Path::new(journald::SOCKET), &settings.identifier);
    let unreachable =
        |target, path: &'static str| move |source| LogError::Unreachable { target, path: path.into(), source };
    Ok(match settings.target {
        // If the journal's socket is not there, systemd reads standard error anyway, and only the fields are lost.
        Target::Auto => journal_of_stderr(settings.journal_stream.as_deref(), &settings.identifier)
            .unwrap_or_else(|| Box::new(Stderr)),
        Target::Stderr => Box::new(Stderr),
        Target::Journald => Box::new(journal().map_err(unreachable("journald", journald::SOCKET))?),
        Target::Syslog => {
            // Without a syslog daemon, syslog(3) would discard all messages silently.
            std::fs::metadata(DEV_LOG).map_err(unreachable("syslog", DEV_LOG))?;
            let identity = CString::new(settings.identifier.replace('\0', "")).unwrap_or_default();
            let syslog = Syslog::new(identity, Options::LOG_PID, Facility::Daemon).ok_or(LogError::Twice)?;
            Box::new(ToSyslog(syslog))
        }
    })
}

/// The journal, if standard error is connected to it.
pub(super) fn journal_of_stderr(journal_stream: Option<&OsStr>, identifier: &str) -> Option<Box<dyn Sink>> {
    let is_there = is_journal(journal_stream, Path::new(STDERR));
    Some(Box::new(is_there.then(|| Journald::open(Path::new(journald::SOCKET), identifier).ok())??))
}

/// Whether standard error is the journal. `$JOURNAL_STREAM` has device and inode of the stream that systemd connected, but
/// standard error may be redirected, and the variable may be inherited from another process.
fn is_journal(journal_stream: Option<&OsStr>, stderr: &Path) -> bool {
    let stream = journal_stream.and_then(OsStr::to_str).and_then(|stream| stream.split_once(':'));
    let Some((device, inode)) = stream else { return false };
    std::fs::metadata(stderr).is_ok_and(|own| device.parse() == Ok(own.dev()) && inode.parse() == Ok(own.ino()))
}

struct Stderr;

impl Sink for Stderr {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        let level = record.level.as_str().to_ascii_lowercase();
        io::stderr().lock().write_all(format!("{level} {}\n", line(record)).as_bytes())
    }
}

struct ToSyslog(Syslog);

impl Sink for ToSyslog {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut writer = self.0.make_writer_for(severity(record));
        writer.write_all(line(record).as_bytes())?;
        writer.flush()
    }
}

/// The crate maps `info` to notice and `debug` to info. Passing it lower levels gives the same severities as in the journal.
fn severity(record: &Record) -> &'static Metadata<'static> {
    match record.priority() {
        3 => &LEVELS[0],
        4 => &LEVELS[1],
        6 => &LEVELS[2],
        _ => &LEVELS[3],
    }
}

/// A callsite for the metadata, from which the crate reads only the level.
struct Site;
static SITE: Site = Site;
static LEVELS: [Metadata<'static>; 4] = [at(Level::ERROR), at(Level::WARN), at(Level::DEBUG), at(Level::TRACE)];

const fn at(level: Level) -> Metadata<'static> {
    let fields = FieldSet::new(&[], Identifier(&SITE));
    Metadata::new("syslog", "alertd::log", level, None, None, None, fields, Kind::EVENT)
}

impl Callsite for Site {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        &LEVELS[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_of_systemd_is_the_journal() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let own = std::fs::metadata(file.path()).unwrap();
        let is = |stream: Option<&str>| is_journal(stream.map(OsStr::new), file.path());
        assert!(is(Some(&format!("{}:{}", own.dev(), own.ino()))));
        assert!(!is(Some(&format!("{}:{}", own.dev(), own.ino() + 1))));
        assert!(!is(Some(&format!("{}:{}", own.dev() + 1, own.ino()))));
        for other in [None, Some(""), Some(":"), Some("1"), Some("x:y")] {
            assert!(!is(other), "{other:?}");
        }
    }

    #[test]
    fn a_level_has_the_same_severity_in_syslog_as_in_the_journal() {
        // The table in the documentation of the crate.
        let crate_severity = |level: Level| match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 5,
            Level::DEBUG => 6,
            _ => 7,
        };
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
            let record = Record::new(level, "alertd");
            assert_eq!(crate_severity(*severity(&record).level()), record.priority(), "{level}");
        }
    }
}
