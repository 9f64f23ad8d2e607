//! The port, the descriptors of the process, and the clock.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::{Findings, Subject};
use crate::systemd;

/// How long a connection to a port of this machine may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    ports(subject, findings);
    descriptors(subject, findings);
    clock(findings);
}

/// The addresses of the socket unit, or those of the configuration where a unit passes none.
fn addresses(subject: &Subject<'_>) -> Vec<SocketAddr> {
    let socket = subject.units.as_ref().and_then(|units| units.sockets.first());
    let listens = socket.into_iter().flat_map(|socket| socket.all("Listen"));
    let passed: Vec<_> = listens.filter_map(|listen| listen.strip_suffix(" (Stream)")?.parse().ok()).collect();
    match (&subject.resolved, socket) {
        (Some(resolved), None) => resolved.config.http.listen.clone(),
        _ => passed,
    }
}

fn ports(subject: &Subject<'_>, findings: &mut Findings) {
    for address in addresses(subject) {
        if subject.is_running() {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(_) => findings.ok("port", format!("{address} accepts connections")),
                Err(error) => findings.fault(
                    "port",
                    format!("{address} does not accept connections: {error}"),
                    format!(
                        "see systemctl status {}; the address may not exist (ip address), or the backlog is full",
                        subject.socket()
                    ),
                ),
            }
            continue;
        }
        match TcpListener::bind(address) {
            Ok(_) => {}
            // The socket unit itself may hold it, while the service does not run.
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_open(subject) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let (port, socket) = (address.port(), subject.socket());
                findings.fault(
                    "port",
                    format!("another program listens on {address}"),
                    format!(
                        "stop it (ss -ltnp 'sport = :{port}' shows which it is), or change the address: systemctl edit \
                         {socket}"
                    ),
                );
            }
            Err(error) => findings.warning("port", format!("{address}: {error}"), "see ip address"),
        }
    }
}

fn is_open(subject: &Subject<'_>) -> bool {
    let socket = subject.units.as_ref().and_then(|units| units.sockets.first());
    socket.is_some_and(|socket| socket.get("ActiveState") == "active")
}

fn descriptors(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(units) = &subject.units else { return };
    let pid = units.service.get("MainPID");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let limit = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    let (Some(limit), Ok(open)) = (limit, fs::read_dir(format!("/proc/{pid}/fd"))) else {
        if subject.is_running() {
            findings.skipped("descriptors", "those of the process cannot be counted");
        }
        return;
    };
    let open = open.count();
    let what = format!("{open} of {limit} descriptors are open");
    if open * 5 > limit * 4 {
        let remedy =
            format!("raise LimitNOFILE= (systemctl edit {}), or find who opens so many streams", subject.service());
        findings.warning("descriptors", what, remedy);
    } else {
        findings.ok("descriptors", what);
    }
}

fn clock(findings: &mut Findings) {
    let Some(shown) = systemd::output("timedatectl", &["show", "--property=NTP", "--property=NTPSynchronized"]) else {
        return findings.skipped("clock", "timedatectl does not say whether the clock is synchronised");
    };
    // A container has the clock of its host, which is not its business.
    let is_container = systemd::output("systemd-detect-virt", &["--container"]).is_some();
    if shown.contains("NTPSynchronized=yes") {
        findings.ok("clock", "is synchronised");
    } else if shown.contains("NTP=yes") {
        let remedy = "timedatectl timesync-status shows why; alerts, keys and retention go by this clock";
        findings.warning("clock", "a time service is on, but has not synchronised the clock", remedy);
    } else if is_container {
        findings.ok("clock", "is that of the host");
    } else {
        let remedy = "timedatectl set-ntp true; alerts, keys and retention go by this clock";
        findings.warning("clock", "no time service keeps the clock", remedy);
    }
}
