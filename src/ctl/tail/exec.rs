//! Runs a shell command for an alert.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::ctl::alert::Alert;

/// How long a running command may take to finish after `alertctl` was told to stop.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);
/// The kernel limits a variable to 128 KiB. Longer metadata is on standard input only.
const MAX_VARIABLE: usize = 64 << 10;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    /// The command failed; the text says how.
    Failed(String),
    /// The command did not finish in time after `alertctl` was told to stop.
    Interrupted,
}

/// Runs `sh -c command` with the alert in its environment and, unchanged, on its standard input. After `stop` the command
/// has `grace` to finish.
pub(crate) async fn run(
    command: &str,
    alert: &Alert,
    json: &str,
    stop: &CancellationToken,
    grace: Duration,
) -> Outcome {
    let metadata = alert.metadata.get();
    let metadata = if metadata.len() > MAX_VARIABLE { "" } else { metadata };
    let spawned = Command::new("sh")
        .arg("-c")
        .arg(command)
        .env("ALERT_ID", &alert.id)
        .env("ALERT_TOPIC", &alert.topic)
        .env("ALERT_LEVEL", &alert.level)
        // A variable cannot hold a NUL.
        .env("ALERT_MESSAGE", alert.message.replace('\0', "\u{fffd}"))
        .env("ALERT_RECEIVED_AT", &alert.received_at)
        .env("ALERT_METADATA", metadata)
        .env_remove("ALERTCTL_KEY")
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(e) => return Outcome::Failed(format!("cannot be started: {e}")),
    };
    let input = child.stdin.take();
    let feed = async {
        if let Some(mut input) = input {
            // A command may close its input without reading it.
            let _ = input.write_all(format!("{json}\n").as_bytes()).await;
        }
        std::future::pending::<()>().await
    };
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        status = child.wait() => match status {
            Ok(status) if status.success() => Outcome::Success,
            Ok(status) => Outcome::Failed(describe(status)),
            Err(e) => Outcome::Failed(format!("cannot be waited for: {e}")),
        },
        () = feed => Outcome::Interrupted,
        () = stopped => Outcome::Interrupted,
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(json: &str) -> Alert {
        serde_json::from_str(json).unwrap()
    }

    fn sample(message: &str, metadata: &str) -> String {
        let message = serde_json::to_string(message).unwrap();
        format!(
            r#"{{"id":"5-1","topic":"ops.db","message":{message},"level":"warn","metadata":{metadata},"received_at":"2026-11-23T17:33:10.123Z"}}"#
        )
    }

    #[tokio::test]
    async fn the_command_gets_the_alert_in_environment_and_input() {
        let dir = tempfile::tempdir().unwrap();
        let seen = dir.path().join("seen");
        let json = sample("it's $(on) `fire` \"now\"\n", r#"{"k":[1,2]}"#);
        let command = format!(
            r#"{{ printf '%s|' "$ALERT_ID" "$ALERT_TOPIC" "$ALERT_LEVEL" "$ALERT_MESSAGE" "$ALERT_RECEIVED_AT" "$ALERT_METADATA"; cat; }} > {}"#,
            seen.display()
        );
        assert_eq!(run(&command, &alert(&json), &json, &CancellationToken::new(), STOP_GRACE).await, Outcome::Success);
        let expected =
            format!("5-1|ops.db|warn|it's $(on) `fire` \"now\"\n|2026-11-23T17:33:10.123Z|{{\"k\":[1,2]}}|{json}\n");
        assert_eq!(std::fs::read_to_string(&seen).unwrap(), expected);
    }

    #[tokio::test]
    async fn a_nul_large_metadata_and_unread_input_do_no_harm() {
        let stop = CancellationToken::new();
        let json = sample("a\0b", "{}");
        let command = r#"[ "$ALERT_MESSAGE" = "a�b" ] && grep -q 'a\\u0000b'"#;
        assert_eq!(run(command, &alert(&json), &json, &stop, STOP_GRACE).await, Outcome::Success);
        let json = sample("x", &format!(r#"{{"k":"{}"}}"#, "y".repeat(300_000)));
        assert_eq!(run(r#"[ -z "$ALERT_METADATA" ]"#, &alert(&json), &json, &stop, STOP_GRACE).await, Outcome::Success);
        assert_eq!(run("wc -c | grep -q 300", &alert(&json), &json, &stop, STOP_GRACE).await, Outcome::Success);
    }

    #[tokio::test]
    async fn a_failure_includes_the_status() {
        let (json, stop) = (sample("x", "{}"), CancellationToken::new());
        assert_eq!(
            run("exit 3", &alert(&json), &json, &stop, STOP_GRACE).await,
            Outcome::Failed("exited with status 3".into())
        );
        assert_eq!(
            run("kill -9 $$", &alert(&json), &json, &stop, STOP_GRACE).await,
            Outcome::Failed("was killed by signal 9".into())
        );
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_interrupted_after_the_grace() {
        let (json, stop) = (sample("x", "{}"), CancellationToken::new());
        stop.cancel();
        assert_eq!(
            run("exec sleep 600", &alert(&json), &json, &stop, Duration::from_millis(20)).await,
            Outcome::Interrupted
        );
    }
}
