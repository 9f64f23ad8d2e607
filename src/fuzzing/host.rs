//! What alertctl and alertd read on their own machine: entries of the journal, and secrets in files and headers.

use super::draft::is_sound;
use super::first_line;
use crate::alert::{Draft, Topic};
use crate::ctl::host::entry::Entry;
use crate::ctl::host::journal_alert;
use crate::key::secret::{self, Presented};
use crate::text::only_line;

/// A line of `journalctl -o json`.
pub(super) fn journal(input: &[u8]) {
    let Ok(line) = std::str::from_utf8(input) else { return };
    let Some(entry) = Entry::parse(line) else { return };
    let is_hidden = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    for field in ["MESSAGE", "_SYSTEMD_UNIT", "__CURSOR", "MESSAGE_ID"] {
        assert!(entry.text(field).is_none_or(|text| !text.contains(is_hidden)), "{field}");
    }
    let _ = (entry.written(), entry.message_left_out(), entry.is_urgent());
    let _ = journal_alert::is_own(&entry);
    let Ok(line) = journal_alert::line(&Topic::fallback(), &entry, &entry.cursor().unwrap_or_default()) else { return };
    let (draft, _) = Draft::from_json_line(None, line.as_bytes()).expect("alertctl sends valid lines");
    is_sound(&draft);
}

/// A user in the first line, and 34 bytes of chance or the text of a secret.
pub(super) fn secret(input: &[u8]) {
    let (user, rest) = first_line(input);
    if let Ok(line) = only_line(rest) {
        assert!(!line.is_empty() && line.trim() == line && !line.contains(['\n', '\r']));
    }
    let Ok(user) = std::str::from_utf8(user) else { return };
    if let Some((random, id)) = rest.split_first_chunk::<{ secret::RANDOM }>()
        && let Some(id) = id.first_chunk()
    {
        let (id, is_user) = (secret::id(*id), crate::key::is_user(user));
        let text = secret::compose(user, &id, random);
        let own = Presented::Own { user, id: &id };
        assert_eq!(secret::parse(&text), is_user.then_some(own), "{:?}", &*text);
        let mut mistyped = text.to_string();
        if mistyped.pop().is_some() {
            assert_eq!(secret::parse(&mistyped), None);
        }
    }
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match secret::parse(text) {
        Some(Presented::Own { user, id }) => {
            assert!(crate::key::is_user(user) && text.starts_with(&format!("{}{user}~{id}~", secret::PREFIX)));
        }
        Some(Presented::Former) => assert!(secret::former_user(text).is_some_and(|user| crate::key::is_user(&user))),
        None => {}
    }
}
