//! A page ends where its bytes or its records are used up, and the next one goes on without a hole.

use super::{Backend, Log, UNLIMITED, filter};
use crate::alert::{Id, Level};
use crate::engine::{Direction, Range};

const ALERTS: usize = 40;

impl Log {
    async fn in_pages(&self, direction: Direction, limit: usize, bytes: usize) -> Vec<Id> {
        let (mut after, mut until, mut pages) = (Id::ZERO, Id::MAX, Vec::new());
        loop {
            let range = Range { filter: filter("*", Level::Info), after, until, limit, bytes };
            let page = self.engine.read(range, direction).await.unwrap();
            pages.push(page.records.iter().map(|record| record.id).collect::<Vec<_>>());
            assert!(pages.len() <= 2 * ALERTS, "pages without an end");
            match (page.next, direction) {
                (Some(next), Direction::Forward) => after = next,
                (Some(next), Direction::Backward) => until = next.predecessor(),
                (None, _) => break,
            }
        }
        if matches!(direction, Direction::Backward) {
            pages.reverse();
        }
        pages.concat()
    }
}

#[tokio::test]
async fn pages_of_any_size_join_to_the_whole_log() {
    for backend in Backend::all() {
        let mut log = backend.open("log", UNLIMITED).await;
        let mut ids = Vec::new();
        for number in 0..ALERTS {
            let message = "x".repeat(1 + number % 5 * 100);
            ids.push(log.publish(["a", "b"][number % 2], &message, Level::Info).await.id);
        }
        for bytes in [1, 300, 1000, 3000, 1 << 20] {
            for limit in [1, 7, 1000] {
                for direction in [Direction::Forward, Direction::Backward] {
                    assert_eq!(log.in_pages(direction, limit, bytes).await, ids, "{direction:?} {limit} {bytes}");
                }
            }
        }
    }
}
