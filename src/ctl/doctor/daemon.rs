//! What the running daemon says about itself and its keys.

use serde::de::DeserializeOwned;

use super::{Findings, Subject};
use crate::api::{Keys, Status};
use crate::ctl::client::{Client, Request};
use crate::ctl::exit::Failure;
use crate::ctl::keys::now_ms;

/// Keys that expire within this time are named.
const SOON_MS: i64 = 14 * 86_400_000;
/// Ids this far in the future mean that the clock was set back.
const AHEAD_MS: u64 = 60_000;

pub(super) async fn check(subject: &Subject<'_>, client: &Client, findings: &mut Findings) {
    if subject.units.is_some() && !subject.is_running() {
        // A question would start it.
        return findings.skipped("daemon", "it does not run, so its keys and its state are not known");
    }
    let status: Status = match ask(client, "/status").await {
        Ok(status) => status,
        Err(failure) => {
            let remedy = format!("see journalctl -u {} -e", subject.service());
            return findings.fault("daemon", failure.to_string(), remedy);
        }
    };
    state(subject, &status, findings);
    match ask(client, "/keys").await {
        Ok(keys) => self::keys(subject, &keys, findings),
        Err(failure) => findings.skipped("keys", failure.to_string()),
    }
}

async fn ask<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, Failure> {
    Ok(client.send(Request::get(path)).await?.json().await?)
}

fn state(subject: &Subject<'_>, status: &Status, findings: &mut Findings) {
    match &status.not_ready {
        _ if status.drain.draining => {
            let remedy = format!("{} undrain", subject.alertctl());
            findings.warning("daemon", "it is drained and opens no streams", remedy);
        }
        Some(reason) => {
            let remedy = format!("journalctl -u {} -e", subject.service());
            findings.fault("daemon", format!("not ready: {reason}"), remedy);
        }
        None => findings.ok("daemon", format!("ready, {} streams", status.hub.streams)),
    }
    if status.engine.damaged > 0 {
        findings.fault(
            "log",
            format!("{} places of the log are damaged", status.engine.damaged),
            format!(
                "journalctl -u {} names them; check the disk, and restore a backup if it matters ({} restore)",
                subject.service(),
                subject.alertctl()
            ),
        );
    }
    let served = status.certificate.as_ref().and_then(|certificate| certificate.warning.as_ref());
    if let Some(warning) = served.filter(|_| !findings.has("certificate")) {
        // The file has a good one, as the check of the configuration has found.
        let what = format!("the certificate that is served is not the one in the file: {warning}");
        findings.warning("certificate", what, format!("systemctl reload {}", subject.service()));
    }
    for warning in &status.engine.server_warnings {
        findings.warning("redis", warning.clone(), "change that setting of the Redis server");
    }
    let now = now_ms();
    if status.engine.head.ms > now + AHEAD_MS {
        let seconds = (status.engine.head.ms - now) / 1000;
        findings.warning(
            "clock",
            format!("the newest alert is {seconds} s in the future: the clock was set back"),
            "check it with timedatectl; ids go on rising, and retention by age waits for that time",
        );
    }
}

fn keys(subject: &Subject<'_>, keys: &Keys, findings: &mut Findings) {
    let alertctl = subject.alertctl();
    for key in &keys.unusable {
        findings.fault(
            "keys",
            format!("key {} is refused: {}", key.id, key.reason),
            format!("{alertctl} key revoke {}", key.id),
        );
    }
    let now = jiff::Timestamp::now();
    for key in &keys.keys {
        let Some(end) = key.expires_at.as_ref().and_then(|time| time.parse::<jiff::Timestamp>().ok()) else { continue };
        let left = end.as_millisecond() - now.as_millisecond();
        let who = format!("key {} of {}", key.id, key.user);
        if left <= 0 {
            continue;
        }
        if left <= SOON_MS {
            let hours = left / 3_600_000;
            let left = if hours < 48 { format!("{hours} hours") } else { format!("{} days", hours / 24) };
            findings.warning("keys", format!("{who} expires in {left}"), format!("{alertctl} key rotate {}", key.id));
        }
    }
    if !findings.has("keys") {
        findings.ok("keys", format!("{} keys, none of which expires within 14 days", keys.keys.len()));
    }
}
