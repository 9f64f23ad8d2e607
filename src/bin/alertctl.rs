//! The command line client of alertd; see `alertctl --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    alertd::run_alertctl()
}
