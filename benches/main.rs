//! The benchmark of alertd: `make bench`, or one role of it by hand. `benches/README.md` says what each row means.
//!
//! Every role is a process of its own, so that it can be pinned to a core and measured from outside.

#![expect(clippy::print_stdout, reason = "results go to standard output: tables for people, JSON for the runner")]
#![expect(clippy::print_stderr, reason = "progress goes to standard error")]

mod answer;
mod check;
mod dialect;
mod floor;
mod histogram;
mod load;
mod machine;
mod net;
mod runner;
mod server;
mod stamp;

use clap::{Parser, Subcommand};

/// Whatever went wrong, in words.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

#[derive(Parser)]
#[command(about = "The benchmark of alertd", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
    /// What `cargo bench` passes to every benchmark.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Role {
    /// Measure servers against each other, in interleaved rounds.
    Run(runner::Options),
    /// Be the load generator of one workload; prints one line of JSON.
    #[command(subcommand)]
    Load(load::Workload),
    /// Be a server that does only what physics asks for.
    #[command(subcommand)]
    Floor(floor::Floor),
    /// See whether the load generator's parts notice what they must.
    Check,
    /// A million subscribers, in as many processes as descriptors ask for.
    Million(runner::million::Options),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    machine::raise_descriptor_limit(matches!(arguments.role, Role::Million(_)))?;
    match arguments.role {
        Role::Run(options) => runner::run(&options),
        Role::Load(workload) => load::run(&workload),
        Role::Floor(floor) => floor::run(&floor),
        Role::Check => check::run(),
        Role::Million(options) => runner::million::run(&options),
    }
}
