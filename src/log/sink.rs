//! Where events are written.

use std::ffi::CStr;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use syslog_tracing::Syslog;
use tracing_subscriber::fmt::MakeWriter;

use super::ids::id_of;
use super::{Entry, LogError};

const JOURNAL: &str = "/run/systemd/journal/socket";
const IDENTITY: &CStr = c"alertd";

/// As configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The journal where standard error is connected to it, else standard error.
    #[default]
    Auto,
    /// The journal's own protocol, with fields.
    Journald,
    /// The classic one.
    Syslog,
    /// Lines.
    Stderr,
}

pub(super) enum Sink {
    Journald(UnixDatagram),
    Syslog(Syslog),
    Stderr,
}

impl Sink {
    pub(super) fn open(target: Target, journal_stream: Option<&str>) -> Result<Self, LogError> {
        match target {
            Target::Auto if is_journal(journal_stream) => {
                // systemd reads standard error as well, so nothing is lost where the socket cannot be had.
                Ok(journald(Path::new(JOURNAL)).unwrap_or(Self::Stderr))
            }
            Target::Auto | Target::Stderr => Ok(Self::Stderr),
            Target::Journald => journald(Path::new(JOURNAL))
                .map_err(|e| LogError::Sink { target: "journald", reason: format!("{JOURNAL}: {e}") }),
            Target::Syslog => {
                let syslog = Syslog::new(IDENTITY, syslog_tracing::Options::LOG_PID, syslog_tracing::Facility::Daemon);
                let syslog =
                    syslog.ok_or_else(|| LogError::Sink { target: "syslog", reason: "it is in use".into() })?;
                Ok(Self::Syslog(syslog))
            }
        }
    }

    /// Writes one entry. A sink that fails has nowhere to say so.
    pub(super) fn write(&self, entry: &Entry) {
        match self {
            Self::Journald(socket) => drop(socket.send(&datagram(entry))),
            Self::Syslog(syslog) => {
                let _ = syslog.make_writer_for(entry.metadata).write_all(line(entry).as_bytes());
            }
            Self::Stderr => {
                let level = entry.metadata.level().as_str();
                let _ = std::io::stderr().lock().write_all(format!("{level:<5} {}\n", line(entry)).as_bytes());
            }
        }
    }
}

fn journald(path: &Path) -> std::io::Result<Sink> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(Sink::Journald(socket))
}

/// `JOURNAL_STREAM` names the device and inode of the stream that systemd made; somebody may have redirected it since.
fn is_journal(journal_stream: Option<&str>) -> bool {
    let Some((device, inode)) = journal_stream.and_then(|stream| stream.split_once(':')) else { return false };
    let own = std::fs::metadata("/proc/self/fd/2");
    own.is_ok_and(|own| device.parse() == Ok(own.dev()) && inode.parse() == Ok(own.ino()))
}

/// The message and its fields as a line; a control character cannot end it or drive a terminal.
fn line(entry: &Entry) -> String {
    let mut line = String::with_capacity(entry.message.len() + 64);
    let put = |line: &mut String, text: &str| {
        for c in text.chars() {
            if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
        }
    };
    put(&mut line, &entry.message);
    for (name, value) in entry.fields.iter().filter(|(name, _)| *name != "message_id") {
        line.push(' ');
        line.push_str(name);
        line.push('=');
        put(&mut line, value);
    }
    line
}

/// The journal's native form: `NAME=value`, or name, length and value where the value has line breaks.
fn datagram(entry: &Entry) -> Vec<u8> {
    let mut datagram = format!("PRIORITY={}\nSYSLOG_IDENTIFIER=alertd\n", entry.priority()).into_bytes();
    put(&mut datagram, "MESSAGE", &entry.message);
    for (name, value) in &entry.fields {
        if *name == "message_id" {
            put(&mut datagram, "MESSAGE_ID", id_of(value).unwrap_or(value));
        } else {
            put(&mut datagram, &format!("ALERTD_{}", name.to_ascii_uppercase().replace(['.', '-'], "_")), value);
        }
    }
    datagram
}

fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{Level, Metadata};

    fn entry(message: &str, fields: &[(&'static str, &str)]) -> Entry {
        struct Site;
        static SITE: Site = Site;
        static METADATA: Metadata<'static> = tracing::metadata! {
            name: "test", target: "alertd", level: Level::WARN, fields: &[], callsite: &SITE,
            kind: tracing::metadata::Kind::EVENT
        };
        impl tracing::Callsite for Site {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}
            fn metadata(&self) -> &Metadata<'_> {
                &METADATA
            }
        }
        let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Entry { metadata: &METADATA, message: message.into(), fields }
    }

    #[test]
    fn the_journal_gets_fields_and_whole_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = UnixDatagram::bind(&path).unwrap();
        let sink = journald(&path).unwrap();
        sink.write(&entry("two\nlines", &[("alert_id", "5-0"), ("message_id", "started")]));
        let mut received = [0; 512];
        let length = journal.recv(&mut received).unwrap();
        let expected = b"PRIORITY=4\nSYSLOG_IDENTIFIER=alertd\nMESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nALERTD_ALERT_ID=5-0\nMESSAGE_ID=6ad1f4a7b6f04c2f9a4e0d7c6a3f1e01\n";
        assert_eq!(&received[..length], expected);
    }

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        assert_eq!(line(&entry("a\n\u{1b}[2Jb", &[("user", "x\r")])), "a\\n\\u{1b}[2Jb user=x\\r");
    }

    #[test]
    fn another_stream_is_not_taken_for_the_journal() {
        let own = std::fs::metadata("/proc/self/fd/2").unwrap();
        assert!(is_journal(Some(&format!("{}:{}", own.dev(), own.ino()))));
        for other in [None, Some(""), Some("1:2"), Some("x")] {
            assert!(!is_journal(other));
        }
    }
}
