//! The properties of every state, and the searches: with all rules each property holds, and without any one of the
//! rules one fails.

use stateright::{Checker, Model, Property};

use super::Fleet;
use super::rules::{Fault, Rules};
use super::state::State;

const COMPLETE: &str = "each answered alert reaches the reader or is covered by a gap";
const NO_GAP: &str = "nobody gets a gap although nothing was lost or removed";
const TRUE: &str =
    "a page that was read for another stream has only what the stream could have read from the log since it wanted it";
const SAFE: &str = "with replicas:1 nothing is answered that the replica does not have";

pub(super) fn properties() -> Vec<Property<Fleet>> {
    vec![
        Property::always(COMPLETE, |fleet: &Fleet, state: &State| {
            !state.is_settled(fleet.rules) || state.untold().is_empty()
        }),
        Property::always("the reader gets alerts once and in order", |_, state: &State| !state.reader.is_disordered),
        Property::always("ids rise", |_, state: &State| !state.fell),
        Property::always("nothing that was taken back surfaces, unless the log went back", |_, state: &State| {
            state.has_failed || state.refused.0 & state.reader.got.0 == 0
        }),
        Property::always(
            "with replicas:1 a failover loses nothing that was answered",
            |fleet: &Fleet, state: &State| {
                let may_lose = fleet.fault == Fault::Restored || fleet.retained + fleet.topic_retained > 0;
                !fleet.waits_for_replica || may_lose || state.has_all()
            },
        ),
        Property::always(NO_GAP, |fleet: &Fleet, state: &State| {
            fleet.fault != Fault::None || fleet.retained + fleet.topic_retained > 0 || state.reader.told == 0
        }),
        Property::always(SAFE, |_, state: &State| !state.is_unsafe),
        Property::always(TRUE, |_, state: &State| !state.reader.got_untrue),
        Property::sometimes("the reader gets all alerts", |fleet: &Fleet, state: &State| {
            state.reader.got.0.count_ones() as usize == fleet.alerts
        }),
    ]
}

const QUIET: Fleet = Fleet {
    rules: Rules::ALL,
    fault: Fault::None,
    waits_for_replica: false,
    alerts: 3,
    topics: 1,
    retained: 0,
    topic_retained: 0,
    retracted: 0,
    cuts: 0,
    hops: 0,
    kept: 0,
};

fn holds(fleet: Fleet) {
    let began = std::time::Instant::now();
    let search = fleet.checker().threads(2).spawn_bfs().join();
    println!("{} states in {:?} of {fleet:?}", search.unique_state_count(), began.elapsed());
    search.assert_properties();
}

/// The steps to a state that breaks the promise.
fn breaks(fleet: Fleet) {
    breaks_property(fleet, COMPLETE);
}

fn breaks_property(fleet: Fleet, property: &'static str) {
    let search = fleet.checker().threads(2).spawn_bfs().join();
    let path = search.assert_any_discovery(property);
    println!("{} steps: {:?}", path.clone().into_actions().len(), path.into_actions());
}

#[test]
fn the_promise_holds_when_the_log_goes_back_to_an_older_state() {
    holds(Fleet { fault: Fault::OlderState, hops: 1, ..QUIET });
    holds(Fleet { fault: Fault::OlderState, cuts: 1, alerts: 2, ..QUIET });
}

#[test]
fn the_promise_holds_while_two_primaries_take_alerts() {
    holds(Fleet { fault: Fault::TwoPrimaries, alerts: 2, ..QUIET });
}

#[test]
#[ignore = "takes minutes"]
fn the_promise_holds_while_two_primaries_take_alerts_and_the_reader_hops() {
    holds(Fleet { fault: Fault::TwoPrimaries, alerts: 2, hops: 1, ..QUIET });
}

#[test]
fn a_loss_is_hidden_by_an_id_that_both_primaries_gave_if_alerts_are_not_compared() {
    let rules = Rules { alerts_are_compared: false, ..Rules::ALL };
    breaks(Fleet { rules, fault: Fault::TwoPrimaries, alerts: 2, ..QUIET });
}

#[test]
fn a_loss_is_not_told_if_an_answer_of_the_old_primary_counts() {
    let rules = Rules { old_answers_are_void: false, ..Rules::ALL };
    breaks(Fleet { rules, fault: Fault::TwoPrimaries, alerts: 2, ..QUIET });
}

#[test]
fn the_promise_holds_when_the_log_goes_back_while_no_node_runs() {
    holds(Fleet { fault: Fault::WhileStopped, hops: 1, ..QUIET });
}

#[test]
fn a_loss_is_not_told_if_nodes_forget_at_a_stop_what_they_have_seen() {
    let rules = Rules { seen_is_kept: false, ..Rules::ALL };
    breaks(Fleet { rules, fault: Fault::WhileStopped, alerts: 2, ..QUIET });
}

#[test]
fn the_promise_holds_when_the_log_is_emptied() {
    holds(Fleet { fault: Fault::Emptied, hops: 1, alerts: 2, ..QUIET });
}

#[test]
fn the_promise_holds_under_retention() {
    holds(Fleet { retained: 1, cuts: 1, ..QUIET });
    holds(Fleet { topics: 2, topic_retained: 1, cuts: 1, ..QUIET });
}

#[test]
fn the_promise_holds_while_an_alert_is_taken_back() {
    holds(Fleet { retracted: 1, cuts: 1, ..QUIET });
    holds(Fleet { retracted: 1, hops: 1, ..QUIET });
    holds(Fleet { retracted: 1, fault: Fault::OlderState, alerts: 2, hops: 1, ..QUIET });
}

#[test]
fn an_alert_that_was_taken_back_makes_a_gap_if_its_id_is_not_known() {
    let rules = Rules { retracted_is_known: false, ..Rules::ALL };
    breaks_property(Fleet { rules, retracted: 1, hops: 1, ..QUIET }, NO_GAP);
}

#[test]
fn the_promise_holds_with_a_replica_that_has_to_confirm() {
    holds(Fleet { fault: Fault::OlderState, waits_for_replica: true, alerts: 2, hops: 1, ..QUIET });
    holds(Fleet { fault: Fault::Restored, waits_for_replica: true, alerts: 2, hops: 1, ..QUIET });
}

#[test]
fn an_alert_is_answered_that_the_replica_does_not_have_if_a_found_loss_confirms_it() {
    let rules = Rules { loss_confirms_nothing: false, ..Rules::ALL };
    let fleet = Fleet { rules, fault: Fault::Restored, waits_for_replica: true, alerts: 2, ..QUIET };
    breaks_property(fleet, SAFE);
}

#[test]
fn an_announcement_after_an_older_alert_hides_a_loss_if_it_is_taken() {
    let rules = Rules { predecessor_is_exact: false, store_compares: false, ..Rules::ALL };
    breaks(Fleet { rules, fault: Fault::OlderState, hops: 1, ..QUIET });
}

#[test]
fn a_page_hides_what_retention_removed_if_it_is_not_compared() {
    let rules = Rules { pages_are_compared: false, ..Rules::ALL };
    breaks(Fleet { rules, retained: 2, cuts: 1, ..QUIET });
}

#[test]
fn a_page_hides_what_the_limit_of_a_topic_removed_if_it_is_not_compared() {
    let rules = Rules { pages_are_compared: false, ..Rules::ALL };
    breaks(Fleet { rules, topics: 2, topic_retained: 1, cuts: 1, ..QUIET });
}

#[test]
fn an_alert_that_the_node_stored_itself_is_passed_over_if_what_it_has_seen_is_not_compared() {
    let rules = Rules { seen_is_missed: false, ..Rules::ALL };
    breaks(Fleet { rules, fault: Fault::OlderState, cuts: 1, alerts: 2, ..QUIET });
}

#[test]
fn a_stream_passes_over_what_the_log_does_not_show_yet_if_it_does_not_wait() {
    let rules = Rules { streams_wait: false, ..Rules::ALL };
    breaks(Fleet { rules, fault: Fault::OlderState, waits_for_replica: true, alerts: 2, hops: 1, ..QUIET });
}

#[test]
fn the_promise_holds_with_pages_that_were_read_for_other_streams() {
    let few = Fleet { kept: 1, alerts: 2, ..QUIET };
    holds(Fleet { retained: 1, cuts: 1, ..few });
    holds(Fleet { topic_retained: 1, ..few });
    holds(Fleet { retracted: 1, cuts: 1, ..few });
    holds(Fleet { retracted: 1, fault: Fault::OlderState, ..few });
    holds(Fleet { fault: Fault::TwoPrimaries, ..few });
    holds(Fleet { fault: Fault::Emptied, ..few });
}

#[test]
fn a_page_outlives_retention_if_what_was_removed_is_not_compared() {
    let rules = Rules { kept_pages_are_trimmed: false, ..Rules::ALL };
    breaks_property(Fleet { rules, kept: 1, retained: 1, alerts: 2, ..QUIET }, TRUE);
    breaks_property(Fleet { rules, kept: 1, topic_retained: 1, alerts: 2, ..QUIET }, TRUE);
}

#[test]
fn a_page_outlives_a_retraction_if_its_version_is_that_of_after_it_was_read() {
    let rules = Rules { kept_pages_are_versioned: false, ..Rules::ALL };
    breaks_property(Fleet { rules, kept: 1, retracted: 1, alerts: 2, ..QUIET }, TRUE);
}

#[test]
fn a_page_outlives_a_retraction_that_its_node_has_not_heard_of_if_that_does_not_wait() {
    let rules = Rules { kept_pages_wait: false, ..Rules::ALL };
    breaks_property(Fleet { rules, kept: 1, retracted: 1, alerts: 2, ..QUIET }, TRUE);
}

#[test]
fn a_page_outlives_what_it_shows_if_the_log_was_asked_before_it_was_wanted() {
    let rules = Rules { kept_pages_are_asked_for: false, ..Rules::ALL };
    breaks_property(Fleet { rules, kept: 1, retained: 1, alerts: 2, ..QUIET }, TRUE);
    breaks_property(Fleet { rules, kept: 1, retracted: 1, alerts: 2, ..QUIET }, TRUE);
}

#[test]
fn a_page_outlives_a_failover_if_its_node_has_not_compared_itself_since() {
    let rules = Rules { kept_pages_are_compared: false, ..Rules::ALL };
    breaks_property(Fleet { rules, kept: 1, fault: Fault::TwoPrimaries, alerts: 2, ..QUIET }, TRUE);
}
