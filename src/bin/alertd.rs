//! The daemon; its life is in the library's module `daemon`.

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

/// Gives the memory of many connections back when they have gone.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match alertd::run_daemon(alertd::DaemonArgs::parse()) {
        Ok(remarks) => {
            #[expect(clippy::print_stderr, reason = "--check has no log")]
            for remark in remarks {
                eprintln!("alertd: {remark}");
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            #[expect(clippy::print_stderr, reason = "a program's last word")]
            if !failure.report() {
                eprintln!("alertd: {failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}
