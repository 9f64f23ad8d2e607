//! What the figures must show: ratios of runs of the same round, and plain bounds.

use super::Record;
use crate::server::Kind;

/// One bound.
pub(crate) struct Goal {
    metric: &'static str,
    /// Entries whose figures are divided; without a second one the figure itself counts.
    of: String,
    by: Option<String>,
    least: bool,
    bound: f64,
}

/// The first kind's figure, divided by the second's, must be at least this.
pub(crate) fn at_least(metric: &'static str, of: Kind, by: Kind, bound: f64) -> Goal {
    Goal { metric, of: of.name(), by: Some(by.name()), least: true, bound }
}

/// The first kind's figure, divided by the second's, must be at most this.
pub(crate) fn at_most(metric: &'static str, of: Kind, by: Kind, bound: f64) -> Goal {
    Goal { metric, of: of.name(), by: Some(by.name()), least: false, bound }
}

/// The kind's figure must be at most this.
pub(crate) fn value_at_most(metric: &'static str, of: Kind, bound: f64) -> Goal {
    Goal { metric, of: of.name(), by: None, least: false, bound }
}

impl Goal {
    /// Between two entries that are told apart by name: the ratio must be at least this.
    pub(crate) fn between(metric: &'static str, of: &str, by: &str, bound: f64) -> Self {
        Self { metric, of: of.to_owned(), by: Some(by.to_owned()), least: true, bound }
    }

    /// A row of the summary: goal, bound, figure, verdict. `None` if it was not measured.
    pub(crate) fn line(&self, row: &str, records: &[Record]) -> Option<String> {
        let figure = match &self.by {
            Some(by) => ratio(self.metric, row, &self.of, by, records)?,
            None => median(values(self.metric, row, &self.of, records).into_iter().map(|(_, value)| value).collect())?,
        };
        let met = if self.least { figure >= self.bound } else { figure <= self.bound };
        let what = match &self.by {
            Some(by) => format!("{} / {by}", self.of),
            None => self.of.clone(),
        };
        let bound = format!("{} {}", if self.least { "at least" } else { "at most" }, number(self.bound));
        let verdict = if met { String::from("met") } else { format!("**missed** ({:.2} of it)", figure / self.bound) };
        Some(format!("| {row} | {} | {what} | {bound} | {} | {verdict} |\n", self.metric, number(figure)))
    }
}

/// Figures of an entry with their rounds.
pub(crate) fn values(metric: &str, row: &str, entry: &str, records: &[Record]) -> Vec<(u32, f64)> {
    let of_entry = records.iter().filter(|record| record.row == row && record.entry == entry);
    of_entry.filter_map(|record| Some((record.round, record.report[metric].as_f64()?))).collect()
}

/// The median of the ratios within rounds. A slow peer that ran in fewer rounds stands for all.
pub(crate) fn ratio(metric: &str, row: &str, of: &str, by: &str, records: &[Record]) -> Option<f64> {
    let (of, by) = (values(metric, row, of, records), values(metric, row, by, records));
    let same: Vec<f64> = of
        .iter()
        .filter_map(|(round, value)| Some(value / by.iter().find(|(other, _)| other == round)?.1))
        .filter(|ratio| ratio.is_finite())
        .collect();
    median(same)
}

/// The median, if there is one.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// A number as people read it.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
