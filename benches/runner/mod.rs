//! The runner: rows of workloads, interleaved rounds of servers, and what comes of them.

mod facts;
mod goals;
mod growth;
mod measure;
pub(crate) mod million;
mod rows;
mod table;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Result;
use crate::machine::now;
use crate::server::{self, Kind, Place};
pub(crate) use measure::RESTART;
use rows::{Entry, Row};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The alertd to measure.
    #[arg(long, default_value = "target/release/alertd")]
    alertd: PathBuf,
    /// An earlier build of alertd: each row measures it beside the other one, in the same rounds, as NAME-before.
    #[arg(long)]
    before: Option<PathBuf>,
    /// Rows whose names begin with one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Servers to measure; without, all that a row has.
    #[arg(long, value_delimiter = ',', value_enum)]
    servers: Vec<Kind>,
    /// Rounds of each row; slow peers get fewer.
    #[arg(long)]
    rounds: Option<u32>,
    /// Short runs, one round: does everything work?
    #[arg(long)]
    quick: bool,
    /// Also what takes very long: a log of ten million alerts.
    #[arg(long)]
    long: bool,
    /// Where results go; a directory with the time in its name is made there.
    #[arg(long, default_value = "results")]
    results: PathBuf,
    /// Core of the servers.
    #[arg(long, default_value = "0")]
    server_core: String,
    /// Core of the load generator.
    #[arg(long, default_value = "1")]
    load_core: String,
    /// Python of an environment with fastapi, uvicorn, redis and matplotlib.
    #[arg(long, default_value = "target/bench-python/bin/python")]
    python: PathBuf,
    /// Names the rows, and measures nothing.
    #[arg(long)]
    list: bool,
}

/// What one server did in one round of one row.
pub(crate) struct Record {
    pub(crate) row: String,
    pub(crate) entry: String,
    pub(crate) round: u32,
    /// Figures, or `error`.
    pub(crate) report: Value,
}

/// Measures all that was asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
    let mut rows = rows::rows(options.quick);
    rows.extend(growth::rows(options.quick, options.long));
    rows.retain(|row| options.only.is_empty() || options.only.iter().any(|name| row.name.starts_with(name.as_str())));
    for row in &mut rows {
        row.entries.retain(|entry| options.servers.is_empty() || options.servers.contains(&entry.kind));
        if let Some(program) = &options.before {
            row.add_before(&std::path::absolute(program)?);
        }
    }
    if options.list {
        for row in &rows {
            let names: Vec<&str> = row.entries.iter().map(|entry| entry.name.as_str()).collect();
            println!("{:14} {} [{}]", row.name, row.title, names.join(", "));
        }
        return Ok(());
    }
    let place = place(options)?;
    server::sweep();
    let directory = options.results.join(facts::stamp());
    fs::create_dir_all(&directory)?;
    let facts = facts::collect(&place);
    fs::write(directory.join("facts.json"), serde_json::to_vec_pretty(&facts)?)?;
    let mut raw = fs::File::create(directory.join("raw.jsonl"))?;
    let (began, mut records) = (now(), Vec::new());
    for row in &rows {
        for round in 0..rounds {
            for entry in row.entries.iter().filter(|entry| round < entry.rounds) {
                let record = measure_one(row, entry, round, &place, options);
                writeln!(
                    raw,
                    "{}",
                    json!({ "row": record.row, "server": record.entry, "round": round, "report": record.report })
                )?;
                eprintln!("{:5.0} s  {}", (now() - began) as f64 / 1e9, table::line(row, &record));
                records.push(record);
            }
        }
        // As far as it is: whoever breaks this off keeps what was measured.
        fs::write(directory.join("table.md"), table::markdown(&rows, &records, &facts))?;
    }
    println!("{}", table::markdown(&rows, &records, &facts));
    plot(&place, &directory);
    println!("results: {}", directory.display());
    Ok(())
}

fn measure_one(row: &Row, entry: &Entry, round: u32, place: &Place, options: &Options) -> Record {
    let alertd = entry.program.clone().unwrap_or_else(|| place.alertd.clone());
    let place = Place { alertd, ..place.clone() };
    let report = measure::once(entry, &place, &options.load_core)
        .unwrap_or_else(|error| json!({ "error": error.to_string().replace('\n', " ") }));
    Record { row: row.name.clone(), entry: entry.name.clone(), round, report }
}

fn place(options: &Options) -> Result<Place> {
    let absolute = |path: &Path| std::path::absolute(path);
    let alertd = absolute(&options.alertd)?;
    if !alertd.exists() {
        return Err(format!("{} is not there: cargo build --release", alertd.display()).into());
    }
    Ok(Place {
        alertd,
        own: std::env::current_exe()?,
        python: absolute(&options.python)?,
        service: absolute(Path::new("benches/server/service.py"))?,
        core: options.server_core.clone(),
    })
}

/// Draws the figures, where Python has what it needs.
fn plot(place: &Place, directory: &Path) {
    let script = Path::new("benches/runner/plot.py");
    if place.python.exists() && script.exists() {
        let _ = std::process::Command::new(&place.python).arg(script).arg(directory).status();
    }
}
