//! How long the certificate that clients see is valid, and when to warn of its end.
//!
//! The HTTP layer reads it from the file, the service tells operators. Pure values; the time is a parameter.

use std::path::{Path, PathBuf};

use x509_cert::Certificate as X509;
use x509_cert::der::Decode;

use crate::alert::rfc3339;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The first certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub file: PathBuf,
    /// When it begins and ceases to be valid, in milliseconds since 1970.
    pub not_before_ms: u64,
    pub not_after_ms: u64,
}

/// How near the end of a certificate is. A change of it is worth an entry in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remaining {
    /// More than 30 days are left.
    Valid,
    /// At most this number of days is left: 30, 7 or 1.
    Ends { within_days: u64 },
    /// It has ended, so many days ago.
    Expired { days: u64 },
    /// It does not begin before some time in the future.
    NotYetValid,
}

impl Certificate {
    /// Reads the validity of a certificate in DER.
    ///
    /// # Errors
    /// The reason if it cannot be read.
    pub(crate) fn read(der: &[u8], file: &Path) -> Result<Self, x509_cert::der::Error> {
        let certificate = X509::from_der(der)?;
        let validity = certificate.tbs_certificate().validity();
        let ms = |time: x509_cert::time::Time| u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX);
        Ok(Self { file: file.to_owned(), not_before_ms: ms(validity.not_before), not_after_ms: ms(validity.not_after) })
    }

    #[must_use]
    pub(crate) fn remaining(&self, now_ms: u64) -> Remaining {
        if now_ms < self.not_before_ms {
            return Remaining::NotYetValid;
        }
        match self.not_after_ms.checked_sub(now_ms) {
            None => Remaining::Expired { days: (now_ms - self.not_after_ms) / DAY_MS },
            Some(left) => [1, 7, 30]
                .into_iter()
                .find(|days| left <= days * DAY_MS)
                .map_or(Remaining::Valid, |within_days| Remaining::Ends { within_days }),
        }
    }

    /// What an operator has to know, if anything.
    #[must_use]
    pub(crate) fn warning(&self, now_ms: u64) -> Option<String> {
        let (file, end) = (self.file.display(), rfc3339(self.not_after_ms));
        let remedy = "renew it, then reload (systemctl reload alertd)";
        match self.remaining(now_ms) {
            Remaining::Valid => None,
            Remaining::Ends { .. } => {
                let left = self.not_after_ms.saturating_sub(now_ms);
                let left =
                    if left < 2 * DAY_MS { plural(left / HOUR_MS, "hour") } else { plural(left / DAY_MS, "day") };
                Some(format!("the TLS certificate in {file} expires in {left}, at {end}: {remedy}"))
            }
            Remaining::Expired { .. } => {
                Some(format!("the TLS certificate in {file} expired at {end}, and clients refuse it: {remedy}"))
            }
            Remaining::NotYetValid => Some(format!(
                "the TLS certificate in {file} is not valid before {}, and clients refuse it: check the clock \
                 (timedatectl), or use another certificate",
                rfc3339(self.not_before_ms)
            )),
        }
    }
}

fn plural(count: u64, name: &str) -> String {
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000_000;

    fn ending_in(ms: i64) -> Certificate {
        let not_after_ms = NOW.checked_add_signed(ms).unwrap();
        Certificate { file: "/etc/c.pem".into(), not_before_ms: NOW - DAY_MS, not_after_ms }
    }

    #[test]
    fn operators_are_warned_30_7_and_1_days_before_the_end_and_daily_after_it() {
        let day = DAY_MS as i64;
        for (left, remaining, words) in [
            (31 * day, Remaining::Valid, ""),
            (30 * day, Remaining::Ends { within_days: 30 }, "expires in 30 days"),
            (7 * day + 1, Remaining::Ends { within_days: 30 }, "expires in 7 days"),
            (7 * day, Remaining::Ends { within_days: 7 }, "expires in 7 days"),
            (day, Remaining::Ends { within_days: 1 }, "expires in 24 hours"),
            (0, Remaining::Ends { within_days: 1 }, "expires in 0 hours"),
            (-1, Remaining::Expired { days: 0 }, "expired at 2026-"),
            (-3 * day, Remaining::Expired { days: 3 }, "clients refuse it: renew it, then reload"),
        ] {
            let certificate = ending_in(left);
            assert_eq!(certificate.remaining(NOW), remaining, "{left}");
            let warning = certificate.warning(NOW).unwrap_or_default();
            assert!(warning.contains(words) && warning.is_empty() == words.is_empty(), "{left}: {warning}");
        }
        let early = ending_in(day).warning(NOW - 2 * DAY_MS).unwrap();
        assert!(early.contains("is not valid before") && early.contains("timedatectl"), "{early}");
    }
}
