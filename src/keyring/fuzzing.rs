//! What must hold for any text in the place of stored keys. Called by the crate's `fuzzing`.

use std::collections::HashSet;

use serde_json::Value;
use serde_json::value::RawValue;

use super::file_store;
use super::record::KeyRecord;
use super::stored::{Checksums, Entry, StoredKeys};

/// A key file, or its list of keys alone.
pub(crate) fn key_file(input: &[u8]) {
    let _ = file_store::parse(input);
    let Ok(found) = serde_json::from_slice::<Vec<&RawValue>>(input) else { return };
    let id = |entry: &str| Some(serde_json::from_str::<Value>(entry).ok()?["id"].as_str()?.to_owned());
    let Ok(keys) =
        StoredKeys::read(found.iter().map(|entry| (id(entry.get()), entry.get().to_owned())), Checksums::Optional)
    else {
        return;
    };
    assert_eq!(keys.len(), found.len());
    let ids: HashSet<_> = keys.usable.iter().map(|record| &record.id).collect();
    assert_eq!(ids.len(), keys.usable.len());
    let info = keys.info();
    assert_eq!((info.keys.len(), info.unusable.len()), (keys.usable.len(), keys.unusable.len()));
    let again = written_and_read(&keys);
    assert!(again.unusable == keys.unusable, "an entry that cannot be used is another one after it was written");
    assert!(again.usable.iter().map(known).eq(keys.usable.iter().map(known)), "a key is lost when it is written");
}

/// A record without the members of a newer version, whose numbers may change in their last digit.
fn known(record: &KeyRecord) -> KeyRecord {
    KeyRecord { unknown: serde_json::Map::new(), ..record.clone() }
}

/// The keys after they were written and read.
fn written_and_read(keys: &StoredKeys) -> StoredKeys {
    let text = |record| serde_json::to_string(&Entry::new(record).expect("JSON")).expect("JSON");
    let usable = keys.usable.iter().map(|record| (Some(record.id.clone()), text(record)));
    let unusable = keys.unusable.iter().map(|entry| (Some(entry.id.clone()), entry.text.clone()));
    StoredKeys::read(usable.chain(unusable), Checksums::Optional).expect("the same keys")
}
