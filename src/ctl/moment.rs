//! Moments on the command line, as people say them: `yesterday`, `2026-11-23`, `2026-11-23 17:30`.
//!
//! Called for `--since` and `--until`. The times are local ones; what has a distance from UTC keeps it.

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan, ZonedDateTime};

use crate::alert::{Id, duration};

/// The text for `since=` of a request: a time for what only people say, and all else as it is, for the daemon.
pub(crate) fn since(text: &str) -> Result<String, String> {
    Ok(local(text, &ZonedDateTime::now()).map_or_else(|| text.to_owned(), |time| time.to_string()))
}

/// The id before which an alert of that moment is.
pub(crate) fn until(text: &str) -> Result<Id, String> {
    until_at(text, &ZonedDateTime::now())
}

fn until_at(text: &str, now: &ZonedDateTime) -> Result<Id, String> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let back = duration::parse(text).and_then(|back| now.timestamp().checked_sub(back).ok());
    let time = back.or_else(|| local(text, now)).or_else(|| text.parse::<Timestamp>().ok());
    let ms = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    ms.map(Id::at).ok_or_else(|| {
        "takes today, yesterday, now, a date, a time such as 2026-11-23 17:30 or 2026-11-23T17:30:00Z, a duration such as \
         10m, or an id"
            .to_owned()
    })
}

/// A day begins at midnight, or as soon as it does where the clocks go forward then.
fn local(text: &str, now: &ZonedDateTime) -> Option<Timestamp> {
    let zone = now.time_zone();
    let midnight = |day: Date| Some(day.to_zoned_datetime(zone.clone()).ok()?.timestamp());
    match text {
        "now" => return Some(now.timestamp()),
        "today" => return midnight(now.date()),
        "yesterday" => return midnight(now.date().checked_sub(1.day()).ok()?),
        _ => {}
    }
    match text.len() {
        10 => midnight(text.parse().ok()?),
        // Without a distance from UTC, which a parser of local times would overlook.
        16 | 19 if !text.ends_with('Z') => {
            Some(text.parse::<DateTime>().ok()?.to_zoned_datetime(zone.clone()).ok()?.timestamp())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> ZonedDateTime {
        // The clocks went back on the 25th of October.
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        "2026-10-26T08:30:00Z".parse::<Timestamp>().unwrap().to_zoned_datetime(zone)
    }

    #[test]
    fn what_people_say_is_a_local_time() {
        let said = |text| local(text, &berlin()).map(|time| time.to_string());
        for (text, time) in [
            ("now", "2026-10-26T08:30:00Z"),
            ("today", "2026-10-25T23:00:00Z"),
            ("yesterday", "2026-10-24T22:00:00Z"),
            ("2026-07-01", "2026-06-30T22:00:00Z"),
            ("2026-07-01 17:30", "2026-07-01T15:30:00Z"),
            ("2026-12-01T17:30:15", "2026-12-01T16:30:15Z"),
        ] {
            assert_eq!(said(text).as_deref(), Some(time), "{text}");
        }
    }

    #[test]
    fn what_the_daemon_knows_itself_is_left_to_it() {
        for text in [
            "all",
            "none",
            "latest",
            "10m",
            "1795455190123-0",
            "2026-11-23T17:33:10Z",
            "2026-11-23T17:30+01:00",
            "tomorrow",
        ] {
            assert_eq!(since(text).as_deref(), Ok(text));
        }
        assert_eq!(since("2026-02-30").as_deref(), Ok("2026-02-30"));
    }

    #[test]
    fn an_end_is_an_id_whatever_way_it_is_said() {
        let until = |text| until_at(text, &berlin());
        let at = |time: &str| Ok(Id::at(u64::try_from(time.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()));
        assert_eq!(until("yesterday"), at("2026-10-24T22:00:00Z"));
        assert_eq!(until("90m"), at("2026-10-26T07:00:00Z"));
        assert_eq!(until("2026-11-23T17:33:10.5Z"), at("2026-11-23T17:33:10.5Z"));
        assert_eq!(until("1795455190123-7"), Ok(Id { ms: 1_795_455_190_123, seq: 7 }));
        for text in ["", "all", "latest", "tomorrow", "2026-02-30", "25:00", "1969-01-01"] {
            assert!(until(text).is_err_and(|text| text.contains("yesterday")), "{text}");
        }
    }
}
