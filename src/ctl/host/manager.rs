//! What the service manager says about units.
//!
//! It answers every user over D-Bus, and root also without D-Bus.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::systemd::Properties;

/// How long systemd may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// A unit with this in `OnFailure=` has its failures reported by `alertctl unit-failed`.
const REPORTER: &str = "alertd-unit-failed@";
/// With this option, `alertctl journal` tells when units are back.
const FOLLOWER: &str = "--failed-units";
const PROPERTIES: &str =
    "--property=Id,ActiveState,Result,InvocationID,StateChangeTimestampMonotonic,OnFailure,UnitFileState,ExecStart";

/// What a unit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// It has failed, and systemd does not start it again by itself.
    Failed,
    /// It starts, or waits for a restart after a failure.
    Starting,
    /// It runs, stops, or is stopped.
    Other,
}

/// A unit, and its last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) activity: Activity,
    /// Whether it is active: what it is there for is done, or goes on.
    pub(super) is_active: bool,
    /// The invocation id of the last run; empty if there was none.
    pub(super) run: String,
    /// When the state changed, in microseconds since boot.
    pub(super) changed: String,
    /// `exit-code`, `signal` and so on after a failure.
    pub(super) result: String,
    /// Whether `alertctl unit-failed` reports its failures.
    pub(super) is_reported: bool,
    /// Whether it is started at each boot to tell when units are back.
    pub(super) follows_units: bool,
}

impl Unit {
    fn read(properties: &Properties) -> Self {
        let get = |name| properties.get(name).to_owned();
        let state = properties.get("ActiveState");
        Self {
            name: properties.name.clone(),
            activity: match state {
                "failed" => Activity::Failed,
                "activating" => Activity::Starting,
                _ => Activity::Other,
            },
            is_active: matches!(state, "active" | "reloading" | "refreshing"),
            run: get("InvocationID"),
            changed: get("StateChangeTimestampMonotonic"),
            result: get("Result"),
            is_reported: properties.get("OnFailure").split(' ').any(|unit| unit.starts_with(REPORTER)),
            follows_units: properties.get("UnitFileState").starts_with("enabled")
                && properties.get("ExecStart").contains(FOLLOWER),
        }
    }
}

/// Asks for these units. Those that do not exist are told as inactive.
///
/// # Errors
/// Why systemd did not answer.
pub(super) async fn show(units: impl IntoIterator<Item = &str>) -> Result<Vec<Unit>, String> {
    let arguments: Vec<&str> = ["show", PROPERTIES, "--"].into_iter().chain(units).collect();
    Ok(read(&systemctl(&arguments).await?))
}

/// Asks for the names of all units that have failed.
///
/// # Errors
/// Why systemd did not answer.
pub(super) async fn failed() -> Result<Vec<String>, String> {
    let lines = systemctl(&["list-units", "--state=failed", "--plain", "--no-legend", "--full"]).await?;
    Ok(lines.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

fn read(shown: &str) -> Vec<Unit> {
    Properties::of_several(shown).map(|properties| Unit::read(&properties)).collect()
}

/// Runs `systemctl` and gives what it prints.
///
/// # Errors
/// Why it did not answer.
pub(super) async fn systemctl(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("systemctl");
    command.arg("--no-pager").args(arguments).env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).kill_on_drop(true);
    match timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => {
            let reason = String::from_utf8_lossy(&output.stderr);
            Err(format!("systemctl ended with {}: {}", output.status, reason.lines().next().unwrap_or_default()))
        }
        Ok(Err(error)) => Err(format!("cannot run systemctl: {error}")),
        Err(_) => Err("systemctl does not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_systemd_starts_again_has_not_failed() {
        let shown = |state: &str| {
            read(&format!("Result=exit-code\nId=a.service\nActiveState={state}\nInvocationID=abc\nOnFailure=\n"))
                .remove(0)
        };
        // During the pause before a restart, and during the start.
        assert_eq!(shown("activating").activity, Activity::Starting);
        let failed = shown("failed");
        assert_eq!((failed.activity, failed.is_active, failed.is_reported), (Activity::Failed, false, false));
        assert_eq!((failed.run.as_str(), failed.result.as_str()), ("abc", "exit-code"));
        for (state, is_active) in [("active", true), ("reloading", true), ("inactive", false), ("deactivating", false)]
        {
            assert_eq!((shown(state).activity, shown(state).is_active), (Activity::Other, is_active), "{state}");
        }
    }

    #[test]
    fn a_reported_unit_is_recognised_among_the_other_units_of_its_failure() {
        for (listed, is_reported) in [
            ("alertd-unit-failed@a.service.service", true),
            ("mail@a.service alertd-unit-failed@long-name.service", true),
            ("mail@a.service", false),
        ] {
            let unit = read(&format!("Id=a.service\nOnFailure={listed}\n")).remove(0);
            assert_eq!(unit.is_reported, is_reported, "{listed}");
        }
    }

    #[test]
    fn units_are_followed_by_a_service_that_is_enabled_and_does_so() {
        let command = "{ path=/usr/bin/alertctl ; argv[]=/usr/bin/alertctl journal --failed-units host.units ; }";
        for (state, command, follows) in [
            ("enabled", command, true),
            ("enabled-runtime", command, true),
            ("disabled", command, false),
            ("enabled", "{ path=/usr/bin/alertctl ; argv[]=/usr/bin/alertctl journal ; }", false),
        ] {
            let unit = read(&format!("Id=j.service\nUnitFileState={state}\nExecStart={command}\n")).remove(0);
            assert_eq!(unit.follows_units, follows, "{state} {command}");
        }
    }
}
