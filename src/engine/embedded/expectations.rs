//! What is expected on topics, in a file of the state directory.
//!
//! Opened with the store, whose lock keeps others out. The file is replaced as a whole with each change. One that cannot
//! be used is named in the journal and left alone: nothing is expected then, and nothing can be changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Embedded;
use crate::engine::{Cause, StoredTexts, TextChange, Unavailable};
use crate::log::Event;
use crate::record_file::RecordFile;

const FILE: &str = "expectations";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Content {
    revision: u64,
    #[serde(rename = "by_topic")]
    by_subject: BTreeMap<String, String>,
}

pub(super) struct ExpectationFile {
    file: RecordFile,
    /// What the file has, or why it cannot be used.
    content: Result<Content, Unavailable>,
}

impl ExpectationFile {
    pub(super) fn open(directory: &Path) -> Self {
        let file = RecordFile::new(directory.join(FILE));
        let content = file.load::<Content>().map(Option::unwrap_or_default).map_err(|reason| {
            let detail = format!("{reason}; bring it back from a copy, or remove it and restart alertd");
            tracing::error!(message_id = %Event::ExpectationsUnread, "nothing is expected on any topic: {detail}");
            Unavailable::new(Cause::StoreFailing, detail)
        });
        Self { file, content }
    }

    fn content(&self) -> Result<&Content, Unavailable> {
        self.content.as_ref().map_err(Clone::clone)
    }

    fn save(&mut self, change: TextChange) -> Result<Option<u64>, Unavailable> {
        let content = self.content()?;
        if content.revision != change.expected {
            return Ok(None);
        }
        let mut new = content.clone();
        new.revision = change.expected.max(change.floor) + 1;
        new.by_subject.extend(change.put);
        for subject in &change.gone {
            new.by_subject.remove(subject);
        }
        if !self.file.write(&new) {
            let detail = "the file of expectations cannot be written: see the entry before this one".to_owned();
            return Err(Unavailable::new(Cause::StoreFailing, detail));
        }
        let revision = new.revision;
        self.content = Ok(new);
        Ok(Some(revision))
    }
}

impl Embedded {
    pub(in crate::engine) async fn expectations_revision(&self) -> Result<u64, Unavailable> {
        self.expectations(|file| Ok(file.content()?.revision)).await
    }

    pub(in crate::engine) async fn load_expectations(&self) -> Result<StoredTexts, Unavailable> {
        self.expectations(|file| {
            let Content { revision, by_subject } = file.content()?.clone();
            Ok(StoredTexts { revision, by_subject })
        })
        .await
    }

    pub(in crate::engine) async fn save_expectations(&self, change: TextChange) -> Result<Option<u64>, Unavailable> {
        self.expectations(|file| file.save(change)).await
    }

    /// Works on another thread, because the file is locked while it is written.
    async fn expectations<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut ExpectationFile) -> Result<T, Unavailable> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let file = Arc::clone(&self.0.shared.expectations);
        let done = tokio::task::spawn_blocking(move || work(&mut file.lock())).await;
        done.map_err(|_| Unavailable::stopping())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(expected: u64, topic: &str) -> TextChange {
        TextChange { expected, floor: 0, put: vec![(topic.to_owned(), "{}".to_owned())], gone: Vec::new() }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let open = || ExpectationFile::open(directory.path());
        assert_eq!(open().save(change(0, "a")).unwrap(), Some(1));
        assert_eq!(open().save(change(0, "b")).unwrap(), None);
        let path = directory.path().join(FILE);
        let whole = std::fs::read_to_string(&path).unwrap();
        for other in [&whole[..whole.len() - 3], &whole.replacen('1', "2", 1)] {
            std::fs::write(&path, other).unwrap();
            let said = open().save(change(1, "b")).unwrap_err();
            assert!(said.detail.contains(path.to_str().unwrap()) && said.detail.contains("remove it"), "{said:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(open().save(change(1, "b")).unwrap(), Some(2));
    }
}
