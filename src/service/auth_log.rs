//! Refused authentications in the log: each one says from where and why, and a flood of them does not fill the log.
//!
//! Called by the service for every refusal, and every few seconds by the daemon. The first [`LOGGED`] refusals of an address
//! and kind in a minute are logged one by one, so that fail2ban can count them; the others become one line with their
//! number at the end of the minute. Always: at most [`MAX_WINDOWS`] addresses and kinds have lines of their own in a minute,
//! and all beyond them share one line, so that clients with many addresses cannot fill the log either.
//!
//! `packaging/fail2ban` and scripts of operators read these texts: the address comes first, and nothing that a client
//! chooses comes before it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Attempt;
use crate::log::Event;

/// Refusals of one address and kind in a minute that are logged one by one.
const LOGGED: u32 = 10;
/// Addresses and kinds with lines of their own.
const MAX_WINDOWS: usize = 512;
const MINUTE: Duration = Duration::from_secs(60);

/// The refusals of one address and kind since `began`.
struct Window {
    began: Instant,
    refused: u32,
    reason: String,
}

#[derive(Default)]
struct Windows {
    /// `None` stands for clients of a trusted proxy that does not name them.
    own: HashMap<(Option<IpAddr>, Attempt), Window>,
    /// Since when, and how many, for which there was no room in `own`.
    others: Option<(Instant, u32)>,
}

#[derive(Default)]
pub(super) struct AuthLog(Mutex<Windows>);

/// A line about refusals that were not logged one by one.
#[derive(Debug, PartialEq, Eq)]
enum LeftOut {
    Own { address: Option<IpAddr>, reason: String, count: u32 },
    Others(u32),
}

impl AuthLog {
    /// Logs a refused authentication, or counts it.
    pub(super) fn note(&self, address: Option<IpAddr>, attempt: Attempt, reason: &str, now: Instant) {
        if self.is_logged(address, attempt, reason, now) {
            let address = named(address);
            tracing::warn!(
                message_id = %Event::AuthenticationFailed,
                address,
                reason,
                kind = attempt.as_str(),
                "authentication failed from {address}: {reason}"
            );
        }
    }

    /// Logs how many were left out in minutes that have ended, or in all.
    pub(super) fn settle(&self, now: Instant, which: Settle) {
        for left_out in self.left_out(now, which) {
            match left_out {
                LeftOut::Own { address, reason, count } => {
                    let address = named(address);
                    tracing::warn!(
                        message_id = %Event::AuthenticationsLeftOut,
                        address,
                        reason,
                        count,
                        "{count} more failed authentications from {address} within a minute: {reason}"
                    );
                }
                LeftOut::Others(count) => tracing::warn!(
                    message_id = %Event::AuthenticationsLeftOut,
                    count,
                    "{count} more failed authentications from many other addresses within a minute"
                ),
            }
        }
    }

    fn is_logged(&self, address: Option<IpAddr>, attempt: Attempt, reason: &str, now: Instant) -> bool {
        let Windows { own, others } = &mut *self.0.lock();
        if own.len() >= MAX_WINDOWS && !own.contains_key(&(address, attempt)) {
            // Windows without a line to come make room.
            own.retain(|_, window| window.refused > LOGGED || now.duration_since(window.began) < MINUTE);
            if own.len() >= MAX_WINDOWS {
                others.get_or_insert((now, 0)).1 += 1;
                return false;
            }
        }
        let new = || Window { began: now, refused: 0, reason: String::new() };
        let window = own.entry((address, attempt)).or_insert_with(new);
        if window.refused <= LOGGED && now.duration_since(window.began) >= MINUTE {
            *window = new();
        }
        window.refused += 1;
        if window.refused > LOGGED {
            window.reason = reason.to_owned();
        }
        window.refused <= LOGGED
    }

    fn left_out(&self, now: Instant, which: Settle) -> Vec<LeftOut> {
        let is_over = |began: Instant| which == Settle::All || now.duration_since(began) >= MINUTE;
        let Windows { own, others } = &mut *self.0.lock();
        let over = own.extract_if(|_, window| is_over(window.began));
        let mut left_out: Vec<_> = over
            .filter(|(_, window)| window.refused > LOGGED)
            .map(|((address, _), Window { refused, reason, .. })| LeftOut::Own {
                address,
                reason,
                count: refused - LOGGED,
            })
            .collect();
        if let Some((_, count)) = others.take_if(|(began, _)| is_over(*began)) {
            left_out.push(LeftOut::Others(count));
        }
        left_out
    }
}

/// The address of a client in messages.
pub(super) fn named(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "a local socket".to_owned(), |address| address.to_string())
}

/// Which counts [`AuthLog::settle`] logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settle {
    /// Those of minutes that have ended.
    Ended,
    /// All, because the process ends.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(number.into()))
    }

    #[test]
    fn the_first_ones_of_an_address_and_kind_are_logged_and_the_others_counted() {
        let (log, start) = (AuthLog::default(), Instant::now());
        let logged = |attempt, at| (0..25).filter(|_| log.is_logged(address(1), attempt, "why", at)).count();
        assert_eq!(logged(Attempt::Missing, start), 10);
        assert_eq!(logged(Attempt::BadTicket, start), 10);
        assert_eq!(logged(Attempt::Missing, start + MINUTE / 2), 0);
        assert!(log.left_out(start + MINUTE / 2, Settle::Ended).is_empty());
        let mut left_out = log.left_out(start + MINUTE, Settle::Ended);
        left_out.sort_by_key(|left_out| matches!(left_out, LeftOut::Own { count: 15, .. }));
        let own = |count| LeftOut::Own { address: address(1), reason: "why".into(), count };
        assert_eq!(left_out, [own(40), own(15)]);
        assert_eq!((0..25).filter(|_| log.is_logged(address(1), Attempt::Missing, "why", start + MINUTE)).count(), 10);
        assert_eq!(log.left_out(start + MINUTE, Settle::All), [own(15)]);
    }

    #[test]
    fn a_flood_from_many_addresses_has_a_bounded_number_of_lines() {
        let (log, start) = (AuthLog::default(), Instant::now());
        let flood = 5 * MAX_WINDOWS as u32;
        let logged = (0..flood).filter(|number| log.is_logged(address(*number), Attempt::Missing, "why", start));
        assert_eq!(logged.count(), MAX_WINDOWS);
        assert_eq!(log.left_out(start + MINUTE, Settle::Ended), [LeftOut::Others(flood - MAX_WINDOWS as u32)]);
        assert!(log.is_logged(address(flood), Attempt::Missing, "why", start + MINUTE));
    }
}
