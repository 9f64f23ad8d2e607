//! The last cursors that streams continued after and that were found in the log.
//!
//! After a restart thousands of streams continue after the same few ids. Always: the log gave each of these ids. That stays true:
//! if retention removes what follows one, the newest id that was removed says so.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::alert::Id;

#[derive(Default)]
pub(super) struct Cursors(Mutex<VecDeque<Id>>);

impl Cursors {
    const MOST: usize = 64;

    pub(super) fn has(&self, cursor: Id) -> bool {
        self.0.lock().contains(&cursor)
    }

    pub(super) fn add(&self, cursor: Id) {
        let mut cursors = self.0.lock();
        if !cursors.contains(&cursor) {
            cursors.truncate(Self::MOST - 1);
            cursors.push_front(cursor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursors_that_are_remembered_are_few() {
        let cursors = Cursors::default();
        (0..1000).chain(990..1000).for_each(|ms| cursors.add(Id::at(ms)));
        assert_eq!(cursors.0.lock().len(), Cursors::MOST);
        assert!(cursors.has(Id::at(999)) && !cursors.has(Id::at(900)));
    }
}
