//! The daemon; its life is in [`alertd::daemon`].

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match alertd::daemon::run(alertd::config::args::DaemonArgs::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            #[expect(clippy::print_stderr, reason = "a program's last word")]
            {
                eprintln!("alertd: {failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}
