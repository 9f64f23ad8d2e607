//! The native protocol of the journal: one datagram per entry, with fields `NAME=value`.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::event::Event;
use super::queue::Sink;
use super::record::Record;

pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// The journal refuses longer field names.
const MAX_NAME_BYTES: usize = 64;

/// The journal. The socket is not connected, so that journald may restart between two entries.
pub(super) struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
    identifier: String,
}

impl Journald {
    /// # Errors
    /// The system's error if no process listens on `path`.
    pub(super) fn open(path: &Path, identifier: &str) -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(path)?;
        let (path, identifier) = (path.to_owned(), identifier.to_owned());
        Ok(Self { socket: UnixDatagram::unbound()?, path, identifier })
    }
}

impl Sink for Journald {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.socket.send_to(&datagram(record, &self.identifier), &self.path).map(drop)
    }
}

fn datagram(record: &Record, identifier: &str) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(256 + record.message.len());
    put(&mut datagram, "MESSAGE", &record.message);
    put(&mut datagram, "PRIORITY", &record.priority().to_string());
    put(&mut datagram, "SYSLOG_IDENTIFIER", identifier);
    put(&mut datagram, "ALERTD_TARGET", record.target);
    for (name, value) in &record.fields {
        match (*name, Event::id_of(value)) {
            ("message_id", Some(id)) => put(&mut datagram, "MESSAGE_ID", id),
            _ => put(&mut datagram, &name_of(name), value),
        }
    }
    datagram
}

/// Converts `request_id` to `ALERTD_REQUEST_ID`. Names in the journal have only capitals, digits and underscores.
fn name_of(field: &str) -> String {
    let capital = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    "ALERTD_".chars().chain(field.chars().map(capital)).take(MAX_NAME_BYTES).collect()
}

/// Appends a field. A value with line breaks, which would end the field, is written with its length in little endian.
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
    use tracing::Level;

    fn sent(record: &Record) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        Journald::open(&path, "alertd").unwrap().write(record).unwrap();
        let mut buffer = vec![0; 256 << 10];
        let length = journal.recv(&mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    #[test]
    fn an_entry_arrives_with_priority_identifier_and_fields() {
        let mut record = Record::new(Level::WARN, "alertd::engine");
        record.put("message", "the store is full");
        for (name, value) in [
            ("message_id", "store-unavailable"),
            ("alert_id", "5-0"),
            ("topic", "ops.db"),
            ("user", "alice"),
            ("request_id", "r1"),
            ("http.status", "503"),
        ] {
            record.put(name, value);
        }
        let id = Event::id_of("store-unavailable").unwrap();
        let expected = format!(
            "MESSAGE=the store is full\nPRIORITY=4\nSYSLOG_IDENTIFIER=alertd\nALERTD_TARGET=alertd::engine\n\
             MESSAGE_ID={id}\nALERTD_ALERT_ID=5-0\nALERTD_TOPIC=ops.db\nALERTD_USER=alice\nALERTD_REQUEST_ID=r1\n\
             ALERTD_HTTP_STATUS=503\n"
        );
        assert_eq!(String::from_utf8(sent(&record)).unwrap(), expected);
    }

    #[test]
    fn a_line_break_cannot_forge_a_field() {
        let mut record = Record::new(Level::INFO, "alertd");
        record.put("message", "two\nPRIORITY=0");
        let expected = b"MESSAGE\n\x0e\0\0\0\0\0\0\0two\nPRIORITY=0\nPRIORITY=6\n";
        assert!(sent(&record).starts_with(expected));
    }

    #[test]
    fn an_unknown_message_id_is_an_ordinary_field() {
        let mut record = Record::new(Level::INFO, "alertd");
        record.put("message_id", "made-up");
        assert!(sent(&record).ends_with(b"\nALERTD_MESSAGE_ID=made-up\n"));
    }

    #[test]
    fn the_largest_record_fits_into_one_datagram() {
        let mut record = Record::new(Level::INFO, "alertd");
        for _ in 0..32 {
            record.put("value", "\n".repeat(64 << 10));
        }
        assert!(sent(&record).len() > 64 << 10);
    }

    #[test]
    fn the_journal_may_restart_between_two_entries() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let first = UnixDatagram::bind(&path).unwrap();
        let mut sink = Journald::open(&path, "alertd").unwrap();
        drop(first);
        std::fs::remove_file(&path).unwrap();
        assert!(sink.write(&Record::new(Level::INFO, "alertd")).is_err());
        let second = UnixDatagram::bind(&path).unwrap();
        sink.write(&Record::new(Level::INFO, "alertd")).unwrap();
        assert!(second.recv(&mut [0; 256]).unwrap() > 0);
    }

    #[test]
    fn names_are_accepted_by_the_journal() {
        assert_eq!(name_of("http.status-code"), "ALERTD_HTTP_STATUS_CODE");
        assert_eq!(name_of(&"x".repeat(80)).len(), MAX_NAME_BYTES);
    }
}
