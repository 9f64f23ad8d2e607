//! The operator's tool; its commands are in [`alertd::ctl`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(alertd::ctl::main())
}
