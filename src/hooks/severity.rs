//! The one table from the severities of other tools to our three levels.
//!
//! Used by the hooks and for the headers of ntfy's publishers. A level is never lower than what the sender meant: of two
//! meanings of a word the more serious one counts. Words compare without regard to case.

use crate::alert::Level;

/// The severities of syslog, Prometheus and Alertmanager, Grafana, Zabbix and Sentry, and those of security advisories.
const SEVERITIES: [(Level, &[&str]); 3] = [
    (
        Level::Error,
        &[
            "emerg",
            "emergency",
            "panic",
            "alert",
            "crit",
            "critical",
            "err",
            "error",
            "fatal",
            "page",
            "disaster",
            "high",
            "major",
        ],
    ),
    (Level::Warn, &["warning", "warn", "average", "medium", "moderate", "minor"]),
    (
        Level::Info,
        &["notice", "note", "info", "information", "informational", "debug", "low", "ok", "none", "not classified"],
    ),
];

/// The names of ntfy's priorities 1 to 5.
const NTFY_PRIORITIES: [&[&str]; 5] = [&["min"], &["low"], &["default"], &["high"], &["max", "urgent"]];

/// The level of a severity; `None` for an unknown word.
#[must_use]
pub(crate) fn level(severity: &str) -> Option<Level> {
    let is_it = |word: &&str| word.eq_ignore_ascii_case(severity.trim());
    SEVERITIES.iter().find(|(_, words)| words.iter().any(is_it)).map(|(level, _)| *level)
}

/// The number of a priority as ntfy's publishers write it, `4` or `high`; `None` for anything else.
#[must_use]
pub(crate) fn ntfy_priority(text: &str) -> Option<u8> {
    let by_name = |names: &&[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    let number = NTFY_PRIORITIES.iter().position(by_name).and_then(|at| u8::try_from(at + 1).ok());
    number.or_else(|| ["1", "2", "3", "4", "5"].contains(&text).then(|| text.parse().ok())?)
}

/// The level of a priority of ntfy, whose 4 is `high` but not yet urgent.
#[must_use]
pub(crate) const fn of_ntfy_priority(number: u8) -> Level {
    match number {
        5.. => Level::Error,
        4 => Level::Warn,
        _ => Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scale_keeps_its_order() {
        for scale in [
            &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"][..],
            &["page", "critical", "error", "warning", "info", "none"],
            &["critical", "high", "medium", "low"],
            &["Disaster", "High", "Average", "Warning", "Information", "Not classified"],
            &["fatal", "error", "warning", "info", "debug"],
        ] {
            let levels: Vec<Level> = scale.iter().map(|word| level(word).unwrap()).collect();
            assert!(levels.is_sorted_by(|a, b| a >= b), "{scale:?}: {levels:?}");
            assert_eq!((levels[0], *levels.last().unwrap()), (Level::Error, Level::Info), "{scale:?}");
        }
    }

    #[test]
    fn words_compare_without_case_and_an_unknown_one_has_no_level() {
        assert_eq!([" CRITICAL ", "Warn"].map(level), [Some(Level::Error), Some(Level::Warn)]);
        assert_eq!(["", "purple", "criticality", "1"].map(level), [None; 4]);
    }

    #[test]
    fn no_word_is_in_the_table_twice() {
        let mut words: Vec<&str> = SEVERITIES.iter().flat_map(|(_, words)| *words).copied().collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn priorities_of_ntfy_have_a_number_and_names() {
        for (text, number, level) in [
            ("1", 1, Level::Info),
            ("MIN", 1, Level::Info),
            ("low", 2, Level::Info),
            ("default", 3, Level::Info),
            ("high", 4, Level::Warn),
            ("5", 5, Level::Error),
            ("urgent", 5, Level::Error),
            ("Max", 5, Level::Error),
        ] {
            assert_eq!(ntfy_priority(text), Some(number), "{text}");
            assert_eq!(of_ntfy_priority(number), level, "{text}");
        }
        assert_eq!(["0", "6", "01", "+5", "", "hi"].map(ntfy_priority), [None; 6]);
    }
}
