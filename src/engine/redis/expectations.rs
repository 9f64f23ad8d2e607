//! What a fleet expects on topics: a hash in Redis, changed by a script.

use std::collections::BTreeMap;

use super::codec::{self, Unreadable};
use super::{Redis, script};
use crate::engine::{StoredTexts, TextChange, Unavailable};

impl Redis {
    pub(in crate::engine) async fn expectations_revision(&self) -> Result<u64, Unavailable> {
        let shared = &self.0.queries.shared;
        let mut ask = redis::cmd("HGET");
        ask.arg(shared.link.key("state")).arg("expectations_revision");
        let found: Option<Vec<u8>> = self.0.queries.command(&ask).await?;
        let unreadable = || shared.link.unreadable(&Unreadable::Malformed);
        found.map_or(Ok(0), |text| codec::number(&text).ok_or_else(unreadable))
    }

    pub(in crate::engine) async fn load_expectations(&self) -> Result<StoredTexts, Unavailable> {
        let shared = &self.0.queries.shared;
        let call = script::load_expectations(&shared.link, shared.time_argument());
        let answer = self.0.queries.reading(async move |connection| call.run(connection).await).await?;
        parse(&answer).ok_or_else(|| shared.link.unreadable(&Unreadable::Malformed))
    }

    pub(in crate::engine) async fn save_expectations(&self, change: &TextChange) -> Result<Option<u64>, Unavailable> {
        let shared = &self.0.queries.shared;
        let call = script::save_expectations(&shared.link, shared.time_argument(), change);
        let answer = self.0.queries.script(call).await?;
        Ok(answer.first().and_then(|revision| codec::number(revision)))
    }
}

fn parse(answer: &[Vec<u8>]) -> Option<StoredTexts> {
    // A value that is not text is not an expectation; the service refuses it.
    let mut parts = answer.iter().map(|part| String::from_utf8_lossy(part).into_owned());
    let revision = parts.next()?.parse().ok()?;
    let mut by_subject = BTreeMap::new();
    while let Some(subject) = parts.next() {
        by_subject.insert(subject, parts.next()?);
    }
    Some(StoredTexts { revision, by_subject })
}
