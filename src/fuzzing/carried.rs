//! What is carried from one process or machine to another: backups, and the streams of a predecessor.

use crate::backup::{Item, Problem, Reader, Writer};
use crate::delivery::takeover::Description;

/// How the rest is read: as it is, or as lines of JSON that get their numbers and checksums.
pub(super) fn backup(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let numbered = |(number, line): (u64, &[u8])| {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), line);
        [format!("{number} {crc:08x} ").as_bytes(), line, b"\n"].concat()
    };
    let file = match how {
        b'0' => rest.to_vec(),
        _ => (1..).zip(rest.split(|byte| *byte == b'\n')).flat_map(numbered).collect(),
    };
    let whole = read([&file[..]]);
    let pieces = read(file.chunks(usize::from(*how).max(1)));
    assert_eq!(pieces, whole);
    let (items, problems, end) = whole;
    let (mut writer, mut again) = (Writer::default(), Vec::new());
    for item in &items {
        writer.write(item, &mut again).expect("the alert of a record is JSON");
    }
    // Behind a damaged line more is accepted, since what is missing is not known.
    if problems.is_empty() {
        let (items_again, problems, end_again) = read([&again[..]]);
        assert_eq!((items_again, problems.len(), end_again.is_ok()), (items, 0, end.is_ok()));
    }
}

type Read = (Vec<Item>, Vec<Problem>, Result<(), Problem>);

fn read<'f>(pieces: impl IntoIterator<Item = &'f [u8]>) -> Read {
    let (mut reader, mut items, mut problems) = (Reader::default(), Vec::new(), Vec::new());
    for piece in pieces {
        reader.feed(piece, &mut |read| match read {
            Ok(item) => items.push(item),
            Err(problem) => problems.push(problem),
        });
    }
    let end = reader.finish();
    (items, problems, end)
}

/// The lines of a description, as they are or, behind a zero, with their checksums put right.
pub(super) fn takeover(input: &[u8]) {
    let text = match input.strip_prefix(b"0") {
        None => input.to_vec(),
        Some(lines) => {
            let line = |json: &[u8]| [format!("{:08x} ", crc32c::crc32c(json)).as_bytes(), json, b"\n"].concat();
            let lines = lines.split(|byte| *byte == b'\n').flat_map(line);
            b"alertd takeover 1\n".iter().copied().chain(lines).collect()
        }
    };
    match Description::decode(&text) {
        Ok((description, _)) => {
            assert_eq!(Description::decode(&description.encode()), Ok((description, true)));
        }
        Err(error) => assert!(error.to_string().len() < 300, "{error}"),
    }
}
