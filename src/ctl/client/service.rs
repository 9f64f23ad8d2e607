//! What systemd says about the service behind a local socket: why a socket that systemd opened does not answer.
//!
//! Called for each request to a socket below `/run/alertd` that gets no answer.

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// How long systemd may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request waits before systemd is asked why, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(1);
/// The directory of the sockets that systemd opens, and of one directory for each instance.
const SOCKETS: &str = "/run/alertd";
/// What the daemon's status begins with if it cannot start.
const STATUS: &str = "cannot start: ";

/// A service that does not run, and what it said at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    unit: String,
    state: State,
    /// Why it could not start, or what systemd cannot open for it; empty if neither is known.
    reason: String,
}

/// The states in which a service does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A person stopped it, or never started it.
    Stopped,
    /// It has ended with an error, and systemd does not start it again.
    Failed,
    /// It has ended with an error, and systemd will start it again.
    Restarting,
    /// systemd cannot open its HTTP socket, without which it cannot be started.
    Blocked,
}

impl Down {
    /// Whether the service will be started without a person.
    #[must_use]
    pub(crate) fn is_restarting(&self) -> bool {
        self.state == State::Restarting
    }

    /// What the user can do.
    #[must_use]
    pub(super) fn remedy(&self) -> String {
        let Self { unit, state, .. } = self;
        match state {
            State::Stopped => format!("start it: systemctl start {unit}"),
            State::Failed => format!("correct the cause (journalctl -u {unit} -p err), then: systemctl start {unit}"),
            State::Restarting => format!("correct the cause (journalctl -u {unit} -p err)"),
            State::Blocked => {
                let socket = socket_of(unit);
                format!(
                    "correct the cause (journalctl -u {socket} -p err, ss -ltnp), such as another program with its \
                     address, then: systemctl start {unit}"
                )
            }
        }
    }

    /// Reads what `systemctl show` prints of the service and its HTTP socket; `None` for a service that runs, starts, or is
    /// unknown.
    fn read(unit: &str, properties: &str) -> Option<Self> {
        let (service, socket) = properties.split_once("\n\n").unwrap_or((properties, ""));
        let value = |name| property(service, name);
        if value("LoadState") != "loaded" {
            return None;
        }
        let state = match (value("ActiveState"), value("SubState")) {
            ("failed", _) => State::Failed,
            (_, "auto-restart") => State::Restarting,
            // With a job, it is about to be started.
            ("inactive", _) if value("Job").is_empty() => State::Stopped,
            _ => return None,
        };
        if state != State::Restarting && property(socket, "Result") == "resources" {
            let reason = format!(
                "systemd cannot open {} ({})",
                socket_of(unit),
                property(socket, "Listen").trim_end_matches(" (Stream)")
            );
            return Some(Self { unit: unit.to_owned(), state: State::Blocked, reason });
        }
        let reason = value("StatusText").strip_prefix(STATUS).filter(|_| state != State::Stopped).unwrap_or_default();
        Some(Self { unit: unit.to_owned(), state, reason: reason.to_owned() })
    }
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, state, reason } = self;
        let words = match state {
            State::Stopped => "is stopped",
            State::Failed => "has failed",
            State::Restarting => "fails at each start",
            State::Blocked => "cannot be started",
        };
        write!(f, "{unit} {words}")?;
        if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
    }
}

/// The value of a property in what `systemctl show` prints of a unit, or an empty text.
fn property<'p>(properties: &'p str, name: &str) -> &'p str {
    let mut pairs = properties.lines().filter_map(|line| line.split_once('='));
    pairs.find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

/// The HTTP socket of a service.
fn socket_of(service: &str) -> String {
    service.replace(".service", ".socket")
}

/// The unit whose sockets are at this path.
pub(super) fn unit_of(socket: &Path) -> Option<String> {
    let below = socket.strip_prefix(SOCKETS).ok()?.parent()?.to_str()?;
    match below {
        "" => Some("alertd.service".to_owned()),
        instance if !instance.contains('/') => Some(format!("alertd@{instance}.service")),
        _ => None,
    }
}

/// Asks systemd about a unit. `None` also without systemd.
pub(super) async fn ask(unit: &str) -> Option<Down> {
    let properties = "--property=LoadState,ActiveState,SubState,StatusText,Job,Result,Listen";
    let mut command = Command::new("systemctl");
    command
        .args(["show", properties, unit, &socket_of(unit)])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(ASK_TIMEOUT, command.output()).await.ok()?.ok()?;
    Down::read(unit, &String::from_utf8_lossy(&output.stdout))
}

/// Returns once systemd says that the service is down, which may be never.
pub(super) async fn until_down(unit: &str) -> Down {
    loop {
        sleep(PATIENCE).await;
        if let Some(down) = ask(unit).await {
            return down;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_follows_from_the_path_of_the_socket() {
        for (path, unit) in [
            ("/run/alertd/control.sock", Some("alertd.service")),
            ("/run/alertd/publish.sock", Some("alertd.service")),
            ("/run/alertd/blue/control.sock", Some("alertd@blue.service")),
            ("/run/alertd/a/b/control.sock", None),
            ("/run/user/1000/alertd/control.sock", None),
            ("/run/alertd", None),
        ] {
            assert_eq!(unit_of(Path::new(path)).as_deref(), unit, "{path}");
        }
    }

    #[test]
    fn a_service_is_down_only_if_it_will_not_answer_this_request() {
        let read = |load: &str, active: &str, sub: &str, status: &str, job: &str| {
            let text =
                format!("Job={job}\nLoadState={load}\nActiveState={active}\nSubState={sub}\nStatusText={status}\n");
            Down::read("alertd.service", &text).map(|down| (down.to_string(), down.is_restarting()))
        };
        let down = |words: &str, restarts| Some((format!("alertd.service {words}"), restarts));
        assert_eq!(read("loaded", "failed", "failed", "cannot start: a = b", ""), down("has failed: a = b", false));
        assert_eq!(read("loaded", "failed", "failed", "listening", ""), down("has failed", false));
        assert_eq!(
            read("loaded", "activating", "auto-restart", "cannot start: x", "7"),
            down("fails at each start: x", true)
        );
        assert_eq!(read("loaded", "inactive", "dead", "cannot start: old", ""), down("is stopped", false));
        for (load, active, sub, job) in [
            ("loaded", "inactive", "dead", "7"),
            ("loaded", "activating", "start", "7"),
            ("loaded", "active", "running", ""),
            ("loaded", "deactivating", "stop", ""),
            ("not-found", "inactive", "dead", ""),
        ] {
            assert_eq!(read(load, active, sub, "cannot start: x", job), None, "{active} {sub}");
        }
        assert_eq!(Down::read("alertd.service", ""), None);
        let service = "Job=\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\n";
        let blocked = format!("{service}\nActiveState=failed\nResult=resources\nListen=127.0.0.1:8080 (Stream)\n");
        let down = Down::read("alertd@blue.service", &blocked).unwrap();
        let said = "alertd@blue.service cannot be started: systemd cannot open alertd@blue.socket (127.0.0.1:8080)";
        assert_eq!(down.to_string(), said);
        assert!(down.remedy().contains("journalctl -u alertd@blue.socket -p err"), "{}", down.remedy());
        let open = format!("{service}\nActiveState=active\nResult=success\n");
        assert_eq!(Down::read("alertd.service", &open).unwrap().state, State::Stopped);
    }
}
