//! The interface to systemd: sockets that it passes ([`Inherited`]), notifications to it ([`Notifier`]), and the unit of a
//! service ([`Unit`]).
//!
//! It also owns the store of descriptors ([`store()`]) and the mark of a restart ([`is_restart`]), which `alertctl` sets.
//! Everything else is called by the daemon, and by checks of its configuration. Without systemd everything here does nothing.

mod activation;
mod inherited;
mod notify;
mod properties;
mod restart;
mod store;
mod unit;

pub(crate) use activation::PassedToAnother;
pub(crate) use inherited::{Inherited, InheritedError, STORED};
pub(crate) use notify::Notifier;
pub(crate) use properties::Properties;
pub(crate) use restart::{is_restart, set_restart};
pub(crate) use store::{barrier, forget, store};
pub(crate) use unit::{Unit, listening, output, unit_name};

#[cfg(test)]
mod child {
    //! Runs one test of this binary again in a child process, because environment and inherited descriptors cannot be
    //! changed safely in a running process.

    use std::os::fd::OwnedFd;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    /// Variable with the path of the child's report; not set in the parent.
    const REPORT: &str = "ALERTD_TEST_REPORT";

    /// The path of the report, in the child.
    pub(super) fn report() -> Option<PathBuf> {
        std::env::var_os(REPORT).map(PathBuf::from)
    }

    /// Passes up to three descriptors as 3, 4 and 5, sets `LISTEN_PID`, and returns the child's report.
    pub(super) fn run(test: &str, sockets: Vec<OwnedFd>, environment: &[(&str, &str)]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let report = directory.path().join("report");
        let output = std::fs::File::create(directory.path().join("output")).unwrap();
        // The shell moves standard input, output and error to the numbers at which systemd passes descriptors.
        let script = "exec 3<&0 4<&1 5<&2 0</dev/null 1>\"$OUTPUT\" 2>&1; LISTEN_PID=$$ exec \"$@\"";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command.env("LISTEN_FDS", sockets.len().to_string()).env("OUTPUT", directory.path().join("output"));
        command.env(REPORT, &report).envs(environment.iter().copied());
        let mut sockets = sockets.into_iter();
        let mut next = || sockets.next().map_or_else(|| Stdio::from(output.try_clone().unwrap()), Stdio::from);
        let (first, second, third) = (next(), next(), next());
        let status = command.stdin(first).stdout(second).stderr(third).status().unwrap();
        let said = std::fs::read_to_string(directory.path().join("output")).unwrap();
        assert!(status.success(), "{said}");
        std::fs::read_to_string(report).unwrap_or_else(|_| panic!("the child ran no test: {said}"))
    }
}
