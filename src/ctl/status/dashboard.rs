//! The status on a terminal: groups of numbers, redrawn in place with `--watch`.

use std::collections::VecDeque;

use super::{Rows, fleet, log, service, streams, version, warnings};
use crate::api::Status;
use crate::ctl::client::ClientError;
use crate::ctl::exit::Failure;
use crate::ctl::output::{Output, Paint};
use crate::ctl::text::{columns, cut, escaped, local, padded, wrapped};

/// Number of readings in a curve.
const MAX_CURVE_STEPS: usize = 24;

#[derive(Debug, Default)]
pub(super) struct Dashboard {
    /// Whether it is redrawn in place, for which it must fit the terminal.
    watched: bool,
    /// Number of lines drawn last.
    drawn: usize,
    head: Vec<String>,
    body: Vec<String>,
    published: Curve,
    delivered: Curve,
}

/// How much a counter grew from reading to reading.
#[derive(Debug, Default)]
struct Curve {
    before: Option<u64>,
    steps: VecDeque<u64>,
}

impl Curve {
    fn add(&mut self, counter: u64) {
        if let Some(before) = self.before.replace(counter) {
            // The counters of a restarted daemon begin at zero.
            self.steps.push_back(counter.checked_sub(before).unwrap_or(counter));
        }
        if self.steps.len() > MAX_CURVE_STEPS {
            self.steps.pop_front();
        }
    }

    fn text(&self) -> String {
        const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let max = self.steps.iter().copied().max().unwrap_or(0).max(1);
        // Rounded up, so that a small step looks different from none.
        self.steps.iter().map(|step| HEIGHTS[(step * 7).div_ceil(max).min(7) as usize]).collect()
    }
}

impl Dashboard {
    pub(super) fn new(watched: bool) -> Self {
        Self { watched, ..Self::default() }
    }

    pub(super) async fn draw(&mut self, status: &Status, output: &mut Output) -> Result<(), Failure> {
        self.published.add(status.traffic.published);
        self.delivered.add(status.traffic.delivered);
        let (mark, paint, state) = match &status.not_ready {
            None => ("●", Paint::Green, "ready".to_owned()),
            Some(reason) => ("✗", Paint::Red, format!("not ready: {}", escaped(reason))),
        };
        let width = output.size().map_or(80, |(columns, _)| columns);
        self.head = Vec::new();
        self.push_head(&format!("{mark} {state}"), Some(paint), width, output);
        if status.not_ready.is_some() {
            self.push_head("  see the log: journalctl -u alertd -e", Some(Paint::Dim), width, output);
        }
        self.push_head(&format!("  alertd {}", escaped(&version(status))), None, width, output);
        // Above the numbers, so that a small terminal does not cut off the remedy.
        for warning in warnings(status) {
            self.push_head(&format!("  warning: {}", escaped(warning)), Some(Paint::Yellow), width, output);
        }
        self.body = Vec::new();
        let mut log = log(status);
        for (name, value) in &mut log {
            if let ("newest" | "oldest", Some(id)) = (&**name, value.parse::<crate::alert::Id>().ok()) {
                *value = format!("{}  {value}", local(&crate::alert::rfc3339(id.ms)));
            }
        }
        let mut streams = streams(status);
        for (name, value) in &mut streams {
            let curve = match *name {
                "published" => self.published.text(),
                "delivered" => self.delivered.text(),
                _ => continue,
            };
            *value = format!("{}  {curve}", padded(value, 28));
        }
        let behind = status.hub.head < status.engine.head;
        for (heading, rows) in
            [("Log", log), ("Fleet", fleet(status)), ("Streams", streams), ("Service", service(status))]
        {
            if rows.is_empty() {
                continue;
            }
            self.group(heading, rows, behind, width, output);
        }
        self.show(output).await
    }

    /// Draws the error above the numbers of the last reading.
    pub(super) async fn draw_error(&mut self, error: &ClientError, output: &mut Output) -> Result<(), Failure> {
        let width = output.size().map_or(80, |(columns, _)| columns);
        self.head = Vec::new();
        self.push_head(&format!("✗ {}", escaped(&error.to_string())), Some(Paint::Red), width, output);
        self.push_head("  last known state:", Some(Paint::Dim), width, output);
        self.show(output).await
    }

    /// Adds a line to the head, wrapped to the width.
    fn push_head(&mut self, text: &str, paint: Option<Paint>, width: usize, output: &Output) {
        let indented = wrapped(text, width.saturating_sub(2)).into_iter().enumerate();
        let lines = indented.map(|(row, line)| if row == 0 { line } else { format!("  {line}") });
        self.head.extend(lines.map(|line| paint.map_or(line.clone(), |paint| output.paint(&line, paint))));
    }

    fn group(&mut self, heading: &str, rows: Rows, behind: bool, width: usize, output: &Output) {
        self.body.push(String::new());
        self.body.push(output.paint(heading, Paint::Bold));
        for (name, value) in rows {
            let mut label = format!("  {name:<11}  ");
            for value in wrapped(escaped(&value).trim_end(), width.saturating_sub(columns(&label))) {
                let value = if name == "lag" && behind { output.paint(&value, Paint::Yellow) } else { value };
                self.body.push(format!("{}{value}", output.paint(&label, Paint::Dim)));
                label = " ".repeat(columns(&label));
            }
        }
    }

    async fn show(&mut self, output: &mut Output) -> Result<(), Failure> {
        if self.drawn > 0 {
            output.text(&format!("\x1b[{}A\r\x1b[J", self.drawn)).await?;
        }
        let mut lines: Vec<String> = self.head.iter().chain(&self.body).cloned().collect();
        if let (true, Some((width, rows))) = (self.watched, output.size()) {
            // The last row is for the cursor.
            let available = rows.saturating_sub(1).max(1);
            if lines.len() > available {
                let hidden = lines.len() - available + 1;
                lines.truncate(available - 1);
                let hint = format!("… {hidden} more lines: enlarge the window, or run without --watch");
                lines.push(output.paint(&cut(&hint, width), Paint::Dim));
            }
        }
        self.drawn = lines.len();
        for line in lines {
            output.line(&line).await?;
        }
        output.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_shows_the_growth_of_a_counter_across_restarts() {
        let mut curve = Curve::default();
        for counter in [5, 5, 6, 13, 3] {
            curve.add(counter);
        }
        assert_eq!(curve.text(), "▁▂█▄");
        for counter in 0..100 {
            curve.add(counter);
        }
        assert_eq!(curve.text().chars().count(), MAX_CURVE_STEPS);
    }
}
