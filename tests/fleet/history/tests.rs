//! Hand-made histories, each with one violation that the check has to find.

use std::time::Duration;

use alertd::alert::Id;

use super::{Direction, Event, History, Publish, Reader, Revoked, Storage, Violation, Walk};

fn id(number: u64) -> Id {
    Id { ms: number, seq: 0 }
}

fn second(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn alert(number: u64) -> Event {
    Event::Alert { id: id(number), message: number.to_string() }
}

fn gap(oldest: u64) -> Event {
    Event::Gap { oldest: Some(id(oldest)), head: id(99) }
}

fn reader(events: Vec<Event>) -> Reader {
    Reader { name: "reader".into(), topic: None, events }
}

fn entries(numbers: &[u64]) -> Vec<(Id, String)> {
    numbers.iter().map(|number| (id(*number), number.to_string())).collect()
}

/// Alerts 1 to 5, each answered in the second after the one in which it was sent; all are in the log.
fn history() -> History {
    let publish = |number| Publish {
        topic: if number % 2 == 0 { "even" } else { "odd" }.into(),
        sent: second(number),
        answered: vec![(id(number), second(number) + Duration::from_millis(500))],
        refused: None,
    };
    History {
        publishes: (1..=5).map(|number| (number.to_string(), publish(number))).collect(),
        readers: vec![reader((1..=5).map(alert).collect())],
        logs: vec![entries(&[1, 2, 3, 4, 5]); 2],
        ..History::default()
    }
}

fn violations(change: impl FnOnce(&mut History)) -> Vec<Violation> {
    let mut history = history();
    change(&mut history);
    history.check().violations
}

fn read(events: Vec<Event>) -> Vec<Violation> {
    violations(|history| history.readers = vec![reader(events)])
}

#[test]
fn a_good_history_has_no_violation() {
    let mut history = history();
    let even = Reader { topic: Some("even".into()), ..reader(vec![alert(2), alert(4), Event::Cursor(id(5))]) };
    history.readers.push(even);
    let pages = vec![entries(&[1, 2]), entries(&[3])];
    history.walks.push(Walk { began: second(4), direction: Direction::Forward, pages });
    let pages = vec![entries(&[4, 5]), entries(&[1, 2, 3])];
    history.walks.push(Walk { began: second(5), direction: Direction::Backward, pages });
    let report = history.check();
    assert_eq!(report.violations, []);
    assert_eq!((report.answered, report.lost, report.repeated, report.told), (5, 0, 0, 0));
    assert_eq!(report.pause, second(1));
}

#[test]
fn an_alert_that_a_reader_did_not_get_has_to_be_covered_by_a_gap() {
    let untold = |number| Violation::Untold { reader: "reader".into(), id: id(number) };
    assert_eq!(read(vec![alert(1), alert(2), alert(4), alert(5)]), [untold(3)]);
    assert_eq!(read(vec![alert(1), alert(2), gap(4), alert(4), alert(5)]), []);
    // A gap that names a lower end, or comes when the reader is past the place, covers nothing.
    assert_eq!(read(vec![alert(1), gap(3), alert(4), alert(5)]), [untold(3)]);
    assert_eq!(read(vec![alert(1), alert(2), alert(4), gap(5), alert(5)]), [untold(3)]);
    assert_eq!(read(vec![alert(1), alert(2), Event::Cursor(id(4)), alert(5)]), [untold(3), untold(4)]);
    let all = Event::Gap { oldest: None, head: id(5) };
    assert_eq!(read(vec![alert(1), all, Event::Cursor(id(5))]), []);
}

#[test]
fn a_gap_that_comes_later_covers_what_was_passed_only_while_there_were_two_servers() {
    let read = |storage: Storage, lost: u64, events: Vec<Event>| {
        violations(|history| {
            history.storage = storage;
            history.readers = vec![reader(events)];
            history.logs.iter_mut().for_each(|log| log.retain(|(known, _)| *known != id(lost)));
        })
    };
    let untold = [Violation::Untold { reader: "reader".into(), id: id(3) }];
    // The reader got 2 and 4 from one server, and did not get 3, which the other one had.
    let passed = |gap_at: u64| vec![alert(1), alert(2), alert(4), gap(gap_at), alert(5)];
    assert_eq!(read(Storage::MayFork, 4, passed(5)), []);
    assert_eq!(read(Storage::MayFork, 2, passed(5)), []);
    assert_eq!(read(Storage::MayFork, 3, passed(5)), []);
    assert_eq!(read(Storage::KeepsOneLog, 4, passed(5)), untold);
    assert_eq!(read(Storage::Trims, 3, passed(5)), untold);
    // All of it was on one server, or the gap ends below.
    assert_eq!(read(Storage::MayFork, 1, passed(5)), untold);
    assert_eq!(read(Storage::MayFork, 4, passed(3)), untold);
}

#[test]
fn a_reader_may_begin_again_below_only_at_a_server_that_does_not_know_its_cursor() {
    let unknown = || Event::Gap { oldest: Some(id(2)), head: id(3) };
    let events = || vec![alert(1), alert(2), alert(3), alert(4), unknown(), Event::Cursor(id(3)), alert(4), alert(5)];
    let read = |storage, events: Vec<Event>| {
        let mut history = History { storage, readers: vec![reader(events)], ..history() };
        history.fault = None;
        let report = history.check();
        (report.violations.len(), report.repeated)
    };
    assert_eq!(read(Storage::MayFork, events()), (0, 1));
    // The cursor, and the alert.
    assert_eq!(read(Storage::KeepsOneLog, events()), (2, 1));
    // The server knows it.
    let known = Event::Gap { oldest: Some(id(2)), head: id(4) };
    let events = vec![alert(1), alert(2), alert(3), alert(4), known, Event::Cursor(id(3)), alert(4), alert(5)];
    assert_eq!(read(Storage::MayFork, events), (2, 1));
}

#[test]
fn an_alert_that_is_not_in_the_log_any_more_counts_as_lost_unless_retention_removes_alerts() {
    for (storage, lost) in [(Storage::KeepsOneLog, 1), (Storage::MayFork, 1), (Storage::Trims, 0)] {
        let mut history = History { storage, ..history() };
        history.logs.iter_mut().for_each(|log| drop(log.remove(0)));
        let report = history.check();
        assert_eq!((report.violations, report.lost), (vec![], lost));
    }
}

#[test]
fn a_lost_alert_counts_once_however_many_readers_were_told() {
    let mut history = history();
    history.readers = vec![reader(vec![alert(1), gap(4), alert(4), alert(5)]); 2];
    let report = history.check();
    assert_eq!((report.violations.len(), report.lost, report.untold, report.told), (0, 2, 0, 2));
}

#[test]
fn a_repeated_alert_and_one_out_of_order_are_found() {
    let repeated = Violation::Repeated { reader: "reader".into(), id: id(5) };
    assert_eq!(read((1..=5).map(alert).chain([alert(5)]).collect()), [repeated]);
    let swapped = Violation::OutOfOrder { reader: "reader".into(), id: id(3), after: id(4) };
    assert_eq!(read(vec![alert(1), alert(2), alert(4), alert(3), alert(5)]), [swapped]);
    let back = Violation::OutOfOrder { reader: "reader".into(), id: id(4), after: id(5) };
    assert_eq!(read((1..=5).map(alert).chain([Event::Cursor(id(4))]).collect()), [back]);
}

#[test]
fn a_reader_that_never_reached_the_end_is_found() {
    assert_eq!(read((1..=4).map(alert).collect()), [Violation::Behind { reader: "reader".into() }]);
}

#[test]
fn a_refused_alert_that_surfaces_is_found_wherever_it_is_seen() {
    let refused = |seen_by: &str| Violation::Surfaced { seen_by: seen_by.into(), message: "no".into() };
    let entry = || (id(6), "no".to_owned());
    let found = violations(|history| {
        history.publishes.insert("no".into(), Publish { refused: Some(422), ..Publish::default() });
        history.readers[0].events.push(Event::Alert { id: id(6), message: "no".into() });
        history.logs.iter_mut().for_each(|log| log.push(entry()));
        history.walks.push(Walk { pages: vec![vec![entry()]], ..Walk::default() });
    });
    assert_eq!(found, [refused("the log"), refused("reader"), refused("a page")]);
}

#[test]
fn an_alert_under_another_id_or_of_nobody_is_found() {
    let foreign = Violation::Foreign { seen_by: "reader".into(), id: id(6) };
    let unknown = Event::Alert { id: id(6), message: "of nobody".into() };
    assert_eq!(read((1..=5).map(alert).chain([unknown]).collect()), [foreign]);
    let mixed = violations(|history| history.logs.iter_mut().for_each(|log| log.swap(0, 1)));
    assert_eq!(mixed, []);
    let exchanged = |log: &mut Vec<(Id, String)>| log[0].1 = "2".into();
    let found = violations(|history| history.logs.iter_mut().for_each(exchanged));
    assert!(found.contains(&Violation::Foreign { seen_by: "the log".into(), id: id(1) }), "{found:?}");
}

#[test]
fn an_idempotency_key_that_was_stored_twice_is_found_and_one_that_replaces_a_lost_copy_is_not() {
    let twice = |history: &mut History| {
        history.publishes.get_mut("2").unwrap().answered.push((id(6), second(6)));
        let again = Event::Alert { id: id(6), message: "2".into() };
        history.readers[0].events.push(again);
        history.logs.iter_mut().for_each(|log| log.push((id(6), "2".into())));
    };
    let stored = Violation::StoredTwice { message: "2".into(), ids: vec![id(2), id(6)] };
    assert_eq!(violations(twice), [stored]);
    let mut history = history();
    twice(&mut history);
    history.logs.iter_mut().for_each(|log| drop(log.remove(1)));
    let report = history.check();
    assert_eq!((report.violations, report.repeated), (vec![], 1));
}

#[test]
fn an_id_below_one_that_was_answered_before_is_found() {
    let found = violations(|history| {
        // Sent after 3 was answered.
        history.publishes.get_mut("2").unwrap().sent = second(4);
    });
    assert_eq!(found, [Violation::IdsFall { earlier: id(3), later: id(2) }]);
}

#[test]
fn pages_that_overlap_or_leave_something_out_are_found() {
    let walk = |direction, pages: &[&[u64]]| {
        let pages = pages.iter().map(|page| entries(page)).collect();
        violations(|history| history.walks.push(Walk { began: second(9), direction, pages }))
    };
    assert_eq!(walk(Direction::Forward, &[&[1, 2], &[4, 5]]), [Violation::PagesSkip { id: id(3) }]);
    assert_eq!(walk(Direction::Forward, &[&[1, 2, 3], &[3, 4, 5]]), [Violation::PagesOverlap { id: id(3) }]);
    assert_eq!(walk(Direction::Backward, &[&[4, 5], &[1, 2]]), [Violation::PagesSkip { id: id(3) }]);
    assert_eq!(walk(Direction::Backward, &[&[3, 4, 5], &[1, 2, 3]]), [Violation::PagesOverlap { id: id(3) }]);
}

#[test]
fn pages_may_leave_something_out_only_while_there_may_be_two_servers() {
    let walk = |storage, began| {
        violations(|history| {
            (history.storage, history.fault) = (storage, Some((second(6), second(8))));
            history.walks.push(Walk { began: second(began), pages: vec![entries(&[1, 2, 4, 5])], ..Walk::default() });
        })
    };
    let skip = [Violation::PagesSkip { id: id(3) }];
    assert_eq!(walk(Storage::MayFork, 7), []);
    assert_eq!((walk(Storage::MayFork, 9), walk(Storage::KeepsOneLog, 7)), (skip.to_vec(), skip.to_vec()));
}

#[test]
fn nodes_that_show_different_logs_are_found() {
    let found = violations(|history| drop(history.logs[1].pop()));
    assert_eq!(found, [Violation::LogsDiffer { node: 1 }]);
}

#[test]
fn a_revoked_key_that_still_works_after_the_bound_is_found() {
    let key =
        |at: u64, accepted: u64| Revoked { at: second(at), accepted: vec![(second(accepted), 7)], delivered: vec![] };
    let late = |after| [Violation::RevokedKey { node: Some(7), after: second(after) }];
    assert_eq!(violations(|history| history.revoked.push(key(1, 3))), []);
    assert_eq!(violations(|history| history.revoked.push(key(1, 4))), late(3));
    // A node that the fault cuts off does not hear of it until the fault is over.
    let faulty = |at, accepted| {
        violations(|history| {
            history.fault = Some((second(10), second(20)));
            history.revoked.push(key(at, accepted));
        })
    };
    assert_eq!((faulty(11, 22), faulty(9, 22)), (vec![], vec![]));
    assert_eq!((faulty(11, 23), faulty(5, 22), faulty(21, 24)), (late(12).into(), late(17).into(), late(3).into()));
    // A stream that delivers what was published after the bound.
    let stream = |at: u64| {
        let delivered = vec!["1".into(), "5".into()];
        violations(|history| history.revoked.push(Revoked { at: second(at), delivered, ..Revoked::default() }))
    };
    assert_eq!(stream(3), []);
    assert_eq!(stream(2), [Violation::RevokedKey { node: None, after: second(3) }]);
}

#[test]
fn an_answer_that_nobody_may_get_is_found() {
    let found = violations(|history| history.unexpected.push("401 for a valid key".into()));
    assert_eq!(found, [Violation::Unexpected("401 for a valid key".into())]);
}
