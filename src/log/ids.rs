//! The `MESSAGE_ID` of each kind of event that an operator may want explained; `systemd/alertd.catalog` explains them
//! to `journalctl -x`.

/// Name in the code, and 128-bit id in the journal. An id is never given another meaning.
pub(super) const IDS: [(&str, &str); 9] = [
    ("started", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e01"),
    ("stopping", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e02"),
    ("reloaded", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e03"),
    ("reload-refused", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e04"),
    ("store-unavailable", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e05"),
    ("store-recovered", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e06"),
    ("clock-held-back", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e07"),
    ("configuration-refused", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e08"),
    ("stuck", "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e09"),
];

/// The id of an event's `message_id`.
pub(super) fn id_of(name: &str) -> Option<&'static str> {
    IDS.iter().find(|(known, _)| *known == name).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_explained_in_the_catalog() {
        let catalog = include_str!("../../systemd/alertd.catalog");
        let explained: Vec<_> = catalog.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        let known: Vec<_> = IDS.iter().map(|(_, id)| *id).collect();
        assert_eq!(explained, known);
        assert!(known.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
