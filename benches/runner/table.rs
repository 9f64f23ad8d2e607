//! Tables for people: what was measured, and whether it is what it should be.

use std::fmt::Write;

use serde_json::Value;

use super::Record;
use super::goals::{median, number, ratio, values};
use super::rows::Row;
use crate::server::Kind;

/// One run on one line, while it goes on.
pub(crate) fn line(row: &Row, record: &Record) -> String {
    let mut text = format!("{} {} #{}: ", record.row, record.entry, record.round + 1);
    if let Some(error) = record.report["error"].as_str() {
        return text + "FAILED " + error;
    }
    for (metric, heading, digits) in &row.columns {
        if let Some(value) = record.report[*metric].as_f64() {
            let _ = write!(text, "{heading} {value:.digits$}, ");
        }
    }
    text.trim_end_matches(", ").to_owned()
}

/// The whole report.
pub(crate) fn markdown(rows: &[Row], records: &[Record], facts: &Value) -> String {
    let mut text = String::from("# alertd benchmark\n\n");
    for (name, value) in facts.as_object().into_iter().flatten() {
        let _ = writeln!(text, "- {name}: {}", value.as_str().unwrap_or_default());
    }
    text.push_str(
        "\nMedians of interleaved rounds; ratios are medians of the ratios between runs of the same round.\n",
    );
    let goals: String =
        rows.iter().flat_map(|row| row.goals.iter().filter_map(|goal| goal.line(&row.name, records))).collect();
    if !goals.is_empty() {
        text.push_str("\n## What it must show\n\n| row | figure | of | goal | is | |\n|---|---|---|---|---|---|\n");
        text.push_str(&goals);
    }
    for row in rows {
        section(row, records, &mut text);
    }
    text
}

fn section(row: &Row, records: &[Record], text: &mut String) {
    let of_row: Vec<&Record> = records.iter().filter(|record| record.row == row.name).collect();
    if of_row.is_empty() {
        return;
    }
    // Columns that nobody filled are left out.
    let columns: Vec<_> = row.columns.iter().filter(|c| of_row.iter().any(|r| r.report[c.0].is_number())).collect();
    let _ = write!(text, "\n## {}: {}\n\n| server | n |", row.name, row.title);
    for (_, heading, _) in &columns {
        let _ = write!(text, " {heading} |");
    }
    let references = [Kind::FloorWrite, Kind::FloorRing, Kind::Nchan].map(Kind::name);
    let references: Vec<&String> = references.iter().filter(|name| of_row.iter().any(|r| r.entry == **name)).collect();
    for reference in &references {
        let _ = write!(text, " vs {reference} |");
    }
    let _ = write!(text, "\n|---|---|{}\n", "---|".repeat(columns.len() + references.len()));
    for entry in &row.entries {
        let runs: Vec<&&Record> = of_row.iter().filter(|record| record.entry == entry.name).collect();
        let good = runs.iter().filter(|record| record.report["error"].is_null()).count();
        if runs.is_empty() {
            continue;
        }
        let _ = write!(text, "| {} | {good} |", entry.name);
        for (metric, _, digits) in &columns {
            let found = values(metric, &row.name, &entry.name, records).into_iter().map(|(_, value)| value).collect();
            match median(found) {
                Some(value) => _ = write!(text, " {value:.digits$} |"),
                None => text.push_str(" - |"),
            }
        }
        for reference in &references {
            let (of, by) = if row.more { (&entry.name, *reference) } else { (*reference, &entry.name) };
            let first = columns.first().map_or("", |column| column.0);
            match ratio(first, &row.name, of, by, records) {
                Some(value) => _ = write!(text, " {}x |", number(value)),
                None => text.push_str(" - |"),
            }
        }
        text.push('\n');
        if let Some(error) = runs.iter().find_map(|record| record.report["error"].as_str()) {
            let _ = writeln!(text, "\n{}: {error}\n", entry.name);
        }
    }
    let broken = of_row.iter().filter(|record| {
        let figure = |name: &str| record.report[name].as_u64().unwrap_or(0);
        figure("broken") > 0 || figure("reopened") > 0 || figure("ended") > 0 || figure("orders") > 1
    });
    for record in broken {
        let _ = writeln!(
            text,
            "\n{} #{}: streams were broken, ended, had to be opened again, or differed in their order",
            record.entry,
            record.round + 1
        );
    }
}
