//! Payloads of hooks: whatever a tool sends becomes alerts, all of them or none.

use super::draft::is_sound;
use super::request::Request;
use crate::alert::Topic;
use crate::hooks::form::Form;
use crate::hooks::{Entry, Identity, MAX_ALERTS, Sender};
use crate::http::media_type::{Kind, MediaType};
use crate::http::request::checked_key;

/// A request of Alertmanager or, with `grafana` in its path, of Grafana.
pub(super) fn notification(input: &[u8]) {
    let Some(request) = Request::read(input) else { return };
    let is_grafana = request.segments().is_some_and(|segments| segments.iter().any(|segment| segment == "grafana"));
    read(&request, if is_grafana { Sender::Grafana } else { Sender::Alertmanager });
}

/// A request of GitHub.
pub(super) fn github(input: &[u8]) {
    if let Some(request) = Request::read(input) {
        read(&request, Sender::GitHub);
    }
}

/// 2026-11-23T17:33:10Z.
const NOW_MS: u64 = 1_795_455_190_000;

fn read(request: &Request<'_>, sender: Sender) {
    let topic = request.topic().flatten().unwrap_or_else(Topic::fallback);
    let media = MediaType::of(&request.headers);
    let body = match media.kind() {
        Kind::Form => Form::payload(request.body, media.charset()).unwrap_or_default(),
        _ => media.decoded(request.body).into_owned(),
    };
    let header = |name: &str| request.headers.get(name)?.to_str().ok();
    let Ok(entries) = sender.read(&topic, header, &body, NOW_MS) else { return };
    assert!(entries.len() <= MAX_ALERTS);
    for entry in &entries {
        is_sound(&entry.draft);
        assert_eq!(*entry.draft.topic(), topic);
        let Some(Identity { key, .. }) = &entry.identity else { continue };
        let kind = format!("\0{}\0{topic}\0", sender.as_str());
        assert!(key.strip_prefix(&kind).is_some_and(|id| !id.is_empty()), "{key:?}");
        assert!(checked_key(key).is_err(), "a publisher can choose the key {key:?}");
    }
    let again = sender.read(&topic, header, &body, NOW_MS).expect("a repeat is accepted too");
    let identities = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.identity).collect::<Vec<_>>();
    assert_eq!(identities(again), identities(entries), "a repeat is not known as one");
}
