//! What changes of incidents amount to, for the metrics.

use super::row::{Row, State};

/// What became of incidents in one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Happened {
    /// For each acknowledgement the milliseconds since the occurrence was opened.
    pub acknowledged_ms: Vec<u64>,
    /// The same for each resolution, by whomever or whatever.
    pub resolved_ms: Vec<u64>,
    /// Reminders that were sent.
    pub reminders: u64,
}

impl Happened {
    /// Notes one change. To be told of each, since two of them may undo each other.
    pub(crate) fn change(&mut self, before: Option<&Row>, after: &Row) {
        let before = before.filter(|before| before.occurrence == after.occurrence);
        if before.is_some_and(|before| before.reminders < after.reminders) {
            self.reminders += 1;
        }
        let since_opening_ms = after.updated_ms.saturating_sub(after.opened_ms);
        match after.state {
            State::Open => {}
            state if before.is_some_and(|before| before.state == state) => {}
            State::Acknowledged => self.acknowledged_ms.push(since_opening_ms),
            State::Resolved => self.resolved_ms.push(since_opening_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str, occurrence: u64, reminders: u64, updated_ms: u64) -> Row {
        let json = format!(
            r#"{{"occurrence":{occurrence},"state":"{state}","level":"warn","count":1,"user":"u","opened_ms":100,"updated_ms":{updated_ms},"announced_ms":100,"reminders":{reminders}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn each_acknowledgement_resolution_and_reminder_is_noted_once() {
        let rows = [
            row("open", 1, 0, 100),
            row("open", 1, 1, 150),
            row("acknowledged", 1, 1, 160),
            // Another alert.
            row("acknowledged", 1, 1, 170),
            // It got worse, and was acknowledged again.
            row("open", 1, 1, 180),
            row("acknowledged", 1, 1, 200),
            row("resolved", 1, 1, 300),
            // Reopened.
            row("open", 1, 1, 350),
            row("resolved", 1, 1, 400),
            row("open", 2, 0, 500),
            row("open", 2, 1, 600),
        ];
        let mut happened = Happened::default();
        let mut before = None;
        for row in &rows {
            happened.change(before, row);
            before = Some(row);
        }
        let expected = Happened { acknowledged_ms: vec![60, 100], resolved_ms: vec![200, 300], reminders: 2 };
        assert_eq!(happened, expected);
    }
}
