//! Reads a backup piece by piece, and names each line that cannot be used.

use super::line::{self, Item};
use super::summary::Summary;

/// Far more than the longest alert takes.
const MAX_LINE: usize = 16 << 20;

/// A place where a backup is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} at offset {offset}: {reason}")]
pub(crate) struct Problem {
    pub(crate) line: u64,
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

/// The state between two pieces.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The beginning of the line that is not complete yet.
    rest: Vec<u8>,
    /// The line is too long, and skipped to its end.
    is_skipping: bool,
    /// Lines that were read, and where the next one begins.
    lines: u64,
    offset: u64,
    /// The number of the line that was read last, or of the one that should have been there.
    number: u64,
    summary: Summary,
}

impl Reader {
    /// What was read so far.
    pub(crate) const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Calls `take` with each item of the lines that end in these bytes, and with each problem.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], take: &mut dyn FnMut(Result<Item, Problem>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            let begun = std::mem::take(&mut self.rest);
            if begun.is_empty() {
                self.line(line, take);
            } else {
                self.line(&[&begun, line].concat(), take);
            }
        }
        if self.rest.len() + bytes.len() <= MAX_LINE {
            self.rest.extend_from_slice(bytes);
        } else {
            self.offset += (self.rest.len() + bytes.len()) as u64;
            self.rest.clear();
            self.is_skipping = true;
        }
    }

    /// Checks that the file may end here.
    ///
    /// # Errors
    /// The file is incomplete.
    pub(crate) fn finish(&self) -> Result<(), Problem> {
        if !self.rest.is_empty() || self.is_skipping {
            return Err(self.problem("it ends in the middle of a line: the backup is incomplete".into()));
        }
        if !self.summary.is_complete() {
            return Err(self.problem("the last line is missing: the backup is incomplete".into()));
        }
        Ok(())
    }

    fn problem(&self, reason: String) -> Problem {
        Problem { line: self.lines + 1, offset: self.offset, reason }
    }

    fn line(&mut self, line: &[u8], take: &mut dyn FnMut(Result<Item, Problem>)) {
        let read = if std::mem::take(&mut self.is_skipping) { Err("it is too long".into()) } else { line::read(line) };
        let expected = self.number + 1;
        match read {
            Ok((number, _)) if number < expected => {
                take(Err(self.problem(format!("it is line {number} once more, or misplaced"))));
            }
            Ok((number, item)) => {
                if number > expected {
                    self.summary.set_damaged();
                    take(Err(self.problem(format!("{} lines before it are missing", number - expected))));
                }
                self.number = number;
                match self.summary.add(&item) {
                    Ok(()) => take(Ok(item)),
                    Err(reason) => take(Err(self.problem(reason))),
                }
            }
            Err(reason) => {
                self.number = expected;
                self.summary.set_damaged();
                take(Err(self.problem(reason)));
            }
        }
        self.lines += 1;
        self.offset += line.len() as u64 + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Extent, Header, Part, Totals, Writer};
    use super::*;
    use crate::alert::{Draft, Id, Level, Record, RecordKind};
    use crate::incident::Key;

    /// A backup with alerts, a transition, a loss, a limit, an incident and keys.
    fn backup() -> (Vec<Item>, Vec<u8>) {
        let alert = |n: u64| {
            let draft = Draft::from_text(Some("ops.db".parse().unwrap()), b"disk \"full\"\n\xe2\x80\xa8", Level::Warn);
            let record = draft.unwrap().record(Id::at(n), n);
            Item::Part(Part::Alert { record, user: "al".into() })
        };
        let extent = Extent { trim: Id::at(5), until: Id::at(40), clock_ms: 50 };
        let key = |n: u8| Part::Key { hash: [n; 32], fingerprint: [n + 1; 32], id: Id::at(11), received_ms: 11 };
        let (id, kind) = (Id::at(22), RecordKind::Transition);
        let (topic, json) = ("ops.db".parse().unwrap(), r#"{"id":"22-0","state":"open"}"#.into());
        let record = Record { id, kind, topic, level: Level::Error, received_ms: 22, json };
        let transition = Item::Part(Part::Alert { record, user: "al".into() });
        let row = r#"{"occurrence":2,"state":"open","level":"warn","count":3,"user":"u","opened_ms":4,"updated_ms":5,"changed":"22-0","announced_ms":7,"later":[1]}"#;
        let incident = Key { topic: "ops.db".parse().unwrap(), name: "disk \u{e4}".parse().unwrap() };
        let incident = Item::Part(Part::Incident(incident, serde_json::from_str(row).unwrap()));
        let items = vec![
            Item::Header(Header::new("embedded", 60, 5, extent)),
            Item::UserKey { id: "k1".into(), entry: r#"{"id":"k1"}"#.into() },
            alert(10),
            alert(11),
            Item::Part(Part::Retired(Id::at(12))),
            Item::Part(Part::Lost { after: Id::at(12), upto: Id::at(20) }),
            alert(21),
            transition,
            alert(40),
            Item::Part(Part::TopicTrim("a".parse().unwrap(), Id::at(9))),
            incident,
            Item::Part(key(1)),
            Item::Part(key(2)),
            Item::End(Totals { alerts: 5, keys: 2 }),
        ];
        let (mut writer, mut bytes) = (Writer::default(), Vec::new());
        items.iter().for_each(|item| writer.write(item, &mut bytes).unwrap());
        (items, bytes)
    }

    fn read(bytes: &[u8], piece: usize) -> (Vec<Item>, Vec<Problem>) {
        let (mut reader, mut items, mut problems) = (Reader::default(), Vec::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            reader.feed(piece, &mut |read| match read {
                Ok(item) => items.push(item),
                Err(problem) => problems.push(problem),
            });
        }
        problems.extend(reader.finish().err());
        (items, problems)
    }

    #[test]
    fn a_backup_reads_back_in_pieces_of_any_size() {
        let (items, bytes) = backup();
        for piece in [1, 7, 100, bytes.len()] {
            assert_eq!(read(&bytes, piece), (items.clone(), vec![]), "{piece}");
        }
    }

    #[test]
    fn each_changed_byte_costs_its_line_alone_and_is_named() {
        let (items, bytes) = backup();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let (left, problems) = read(&bad, 4096);
            assert!(!problems.is_empty(), "{at}");
            let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            assert_eq!(problems[0].line, line, "{at}: {problems:?}");
            // A line break that is gone costs the next line too.
            assert!(left.len() + 2 >= items.len() && left.iter().all(|item| items.contains(item)), "{at}");
        }
    }

    #[test]
    fn a_missing_doubled_or_moved_line_and_a_cut_file_are_noticed() {
        let (_, bytes) = backup();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        for at in 0..lines.len() {
            let without: Vec<_> = [&lines[..at], &lines[at + 1..]].concat();
            assert!(!read(&without.concat(), 4096).1.is_empty(), "{at}");
            let doubled: Vec<_> = [&lines[..=at], &lines[at..]].concat();
            assert!(!read(&doubled.concat(), 4096).1.is_empty(), "{at}");
            for other in 0..at {
                let mut moved = lines.clone();
                moved.swap(at, other);
                assert!(!read(&moved.concat(), 4096).1.is_empty(), "{at} {other}");
            }
        }
        for cut in 0..bytes.len() {
            let problems = read(&bytes[..cut], 4096).1;
            assert!(problems.last().unwrap().reason.contains("incomplete"), "{cut}: {problems:?}");
        }
    }

    #[test]
    fn another_version_another_item_and_a_backup_that_was_given_up_are_refused_by_name() {
        let (_, bytes) = backup();
        let text = String::from_utf8(bytes).unwrap();
        let rewritten = |from: &str, to: &str| {
            let line = text.lines().find(|line| line.contains(from)).unwrap().replacen(from, to, 1);
            let (number, rest) = line.split_once(' ').unwrap();
            let json = rest.split_once(' ').unwrap().1;
            let crc =
                crc32c::crc32c_append(crc32c::crc32c(&number.parse::<u64>().unwrap().to_le_bytes()), json.as_bytes());
            line::read(format!("{number} {crc:08x} {json}").as_bytes())
        };
        assert!(rewritten("\"version\":1", "\"version\":2").unwrap_err().contains("version 2"));
        assert!(rewritten("{\"retired\":", "{\"later\":").unwrap_err().contains("later"));
        assert!(rewritten("alertd backup", "other").unwrap_err().contains("not the first line"));
        // A field of a later version is passed over.
        assert!(rewritten("{\"header\":{", "{\"header\":{\"colour\":1,").is_ok());
        let (mut writer, mut bytes) = (Writer::default(), Vec::new());
        let header = Item::Header(Header::new("redis", 1, 0, Extent::default()));
        writer.write(&header, &mut bytes).unwrap();
        writer.write(&Item::Failed("the disk is full".into()), &mut bytes).unwrap();
        let problems = read(&bytes, 4096).1;
        assert!(problems[0].reason.contains("the disk is full"), "{problems:?}");
    }
}
