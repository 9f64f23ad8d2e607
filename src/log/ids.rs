//! The `MESSAGE_ID` of each kind of event that an operator may want explained.
//!
//! Code says `message_id = "store-recovered"`, in any layer and without importing anything; the journal gets the
//! 128-bit id, and `systemd/alertd.catalog` explains it to `journalctl -x`. An id is never given another meaning.

/// Name in the code and id in the journal, in the order of the catalog.
const IDS: [(&str, &str); 11] = [
    ("started", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e01"),
    ("stopping", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e02"),
    ("reloaded", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e03"),
    ("reload-refused", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e04"),
    ("store-unavailable", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e05"),
    ("store-recovered", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e06"),
    ("clock-held-back", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e07"),
    ("stuck", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e09"),
    ("store-full", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e0a"),
    ("slow-stream-ended", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e0b"),
    ("key-revoked", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e0c"),
];

/// The id of a kind of event.
pub(super) fn of(name: &str) -> Option<&'static str> {
    IDS.iter().find(|(known, _)| *known == name).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CATALOG: &str = include_str!("../../systemd/alertd.catalog");

    #[test]
    fn catalog_and_code_have_the_same_ids() {
        let explained: Vec<_> = CATALOG.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        assert_eq!(explained, IDS.map(|(_, id)| id));
    }

    #[test]
    fn every_id_is_128_bits_of_lower_case_hex_and_means_one_thing() {
        for (name, id) in IDS {
            assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
            assert_eq!(IDS.iter().filter(|(n, i)| *n == name || *i == id).count(), 1, "{name} {id}");
        }
    }

    #[test]
    fn every_entry_of_the_catalog_has_a_subject_and_a_text() {
        for entry in CATALOG.split("\n-- ").skip(1) {
            let (head, text) = entry.split_once("\n\n").unwrap();
            assert!(head.contains("\nSubject: ") && head.contains("\nDefined-By: alertd"), "{head}");
            assert!(!text.trim().is_empty(), "{head}");
        }
    }
}
