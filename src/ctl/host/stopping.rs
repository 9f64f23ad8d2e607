//! `alertctl unit-stopping` and `unit-stopped`: what the daemon's unit does around a stop.
//!
//! `unit-stopping`, for `ExecStop=`, tells a daemon that is about to be stopped whether it is being restarted. systemd runs it
//! as root before it sends the signal, and root may ask systemd about its jobs even without D-Bus. `unit-stopped`, for
//! `ExecStopPost=`, runs after each end, and empties systemd's store if the daemon has failed.

use std::path::Path;

use super::manager;
use crate::ctl::exit::Failure;
use crate::systemd;

/// Closes the streams that a daemon has left, if a later one failed before it took them. If the program cannot be
/// started at all, their clients would otherwise wait for as long as systemd tries.
///
/// # Errors
/// If systemd does not answer.
pub(crate) fn stopped() -> Result<(), Failure> {
    if std::env::var("SERVICE_RESULT").is_ok_and(|result| result == "success") {
        return Ok(());
    }
    // systemd takes messages of this process only as long as it runs.
    let forgotten = systemd::forget(systemd::STORED).and_then(|()| systemd::barrier());
    forgotten
        .map_err(|e| Failure::Failed(format!("cannot have systemd close the streams of a daemon that failed: {e}")))
}

/// # Errors
/// If systemd does not answer or the mark cannot be written. The daemon then assumes a stop.
pub(crate) async fn run(unit: &str, control_socket: &Path) -> Result<(), Failure> {
    let is_restart = job(unit).await?.as_deref() == Some("restart");
    systemd::set_restart(control_socket, is_restart)
        .map_err(|e| Failure::Failed(format!("cannot tell the daemon what the stop of {unit} is for: {e}")))
}

/// The type of the unit's job, such as `stop` or `restart`.
async fn job(unit: &str) -> Result<Option<String>, Failure> {
    let arguments = ["list-jobs", "--plain", "--no-legend", "--full"];
    let failed = |why| Failure::Failed(format!("cannot ask systemd for the jobs of {unit}: {why}"));
    let lines = manager::systemctl(&arguments).await.map_err(failed)?;
    Ok(job_type(&lines, unit))
}

/// Reads lines such as `123 alertd.service restart running`.
fn job_type(lines: &str, unit: &str) -> Option<String> {
    lines.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (_, name, kind) = (words.next()?, words.next()?, words.next()?);
        (name == unit).then(|| kind.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_of_the_unit_is_found_among_others() {
        let lines =
            "  7 alertd@x.service stop    running\n123 alertd.service   restart running\n124 a.service start waiting\n";
        assert_eq!(job_type(lines, "alertd.service").as_deref(), Some("restart"));
        assert_eq!(job_type(lines, "alertd@x.service").as_deref(), Some("stop"));
        assert_eq!(job_type(lines, "alertd@y.service"), None);
        assert_eq!(job_type("No jobs running.\n", "alertd.service"), None);
    }
}
