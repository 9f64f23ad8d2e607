//! What is expected on topics, as it is stored.

use super::{Backend, UNLIMITED};
use crate::engine::{StoredTexts, TextChange};

fn texts(revision: u64, pairs: &[(&str, &str)]) -> StoredTexts {
    let by_subject = pairs.iter().map(|(topic, text)| ((*topic).to_owned(), (*text).to_owned())).collect();
    StoredTexts { revision, by_subject }
}

fn change(expected: u64, floor: u64, put: &[(&str, &str)], gone: &[&str]) -> TextChange {
    let put = put.iter().map(|(topic, text)| ((*topic).to_owned(), (*text).to_owned())).collect();
    TextChange { expected, floor, put, gone: gone.iter().map(|topic| (*topic).to_owned()).collect() }
}

#[tokio::test]
async fn expectations_are_changed_under_their_revision_and_survive_a_restart() {
    for backend in Backend::all() {
        let log = backend.open("log", UNLIMITED).await;
        assert_eq!(log.engine.load_expectations().await.unwrap(), StoredTexts::default());
        let save = |change| log.engine.save_expectations(change);
        assert_eq!(save(change(0, 0, &[("a", "{\"x\":1}"), ("b", "ä")], &[])).await.unwrap(), Some(1));
        // Another node was faster.
        assert_eq!(save(change(0, 0, &[("a", "2")], &[])).await.unwrap(), None);
        assert_eq!(save(change(1, 0, &[("a", "3")], &["b", "none"])).await.unwrap(), Some(2));
        assert_eq!(save(change(2, 8, &[("c", "4")], &[])).await.unwrap(), Some(9));
        let expected = texts(9, &[("a", "3"), ("c", "4")]);
        assert_eq!(log.engine.load_expectations().await.unwrap(), expected);
        assert_eq!(log.engine.expectations_revision().await.unwrap(), 9);
        log.engine.close().await;
        drop(log);
        let log = backend.open("log", UNLIMITED).await;
        assert_eq!(log.engine.load_expectations().await.unwrap(), expected);
        let other = backend.open("other", UNLIMITED).await;
        assert_eq!(other.engine.expectations_revision().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn as_many_as_are_allowed_are_stored_at_once() {
    for backend in Backend::all() {
        let log = backend.open("log", UNLIMITED).await;
        let put: Vec<_> = (0..crate::expectation::MAX).map(|n| (format!("t.{n}"), "x".repeat(150))).collect();
        let change = TextChange { expected: 0, floor: 0, put, gone: Vec::new() };
        assert_eq!(log.engine.save_expectations(change).await.unwrap(), Some(1));
        assert_eq!(log.engine.load_expectations().await.unwrap().by_subject.len(), crate::expectation::MAX);
    }
}
