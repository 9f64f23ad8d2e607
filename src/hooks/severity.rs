//! The one table from the severities of other tools to our three levels.
//!
//! Used by the hooks, for forms, and for the headers of ntfy's publishers. A level is never calmer than what the sender
//! meant: of two meanings of a word the more serious one counts. Case, spaces, hyphens and underscores do not matter.

use crate::alert::Level;

/// Words with their level, in lower case and without spaces, hyphens and underscores.
const SEVERITIES: [(Level, &str); 13] = [
    // Syslog and logging libraries.
    (Level::Error, "emerg emergency panic alert crit critical err error fatal severe dpanic"),
    (Level::Warn, "warning warn"),
    (Level::Info, "notice note info information informational informative debug trace verbose fine config"),
    // Monitoring: Prometheus, Zabbix, Nagios, Grafana's states, Proxmox, Datadog, X.733, and colours as Slack has them.
    (Level::Error, "page disaster high major down unreachable alerting firing problem danger red"),
    (
        Level::Warn,
        "average medium moderate minor unknown indeterminate degraded nodata ticket flapping amber orange yellow",
    ),
    (Level::Info, "low none ok okay up good green normal notclassified clear cleared resolved recovery recovered"),
    // Results of jobs.
    (Level::Error, "fail failed failure"),
    (Level::Warn, "unstable"),
    (Level::Info, "success"),
    // Priorities and severities of incidents at Opsgenie, PagerDuty, Azure, ServiceNow and Jira. Azure counts from 0, so
    // its 2 is a warning and PagerDuty's a major incident; PagerDuty's 4 still needs somebody to act.
    (Level::Error, "p0 p1 p2 s0 s1 s2 sev0 sev1 sev2 severity0 severity1 severity2 priority0 priority1 priority2"),
    (Level::Warn, "p3 p4 s3 s4 sev3 sev4 severity3 severity4 priority3 priority4"),
    (Level::Info, "p5 s5 sev5 severity5 priority5 lowest trivial planning"),
    (Level::Error, "urgent immediate highest blocker"),
];

/// The names of ntfy's priorities 1 to 5.
const NTFY_PRIORITIES: [&[&str]; 5] = [&["min"], &["low"], &["default"], &["high"], &["max", "urgent"]];

/// Longer words are not looked up.
const MAX_WORD: usize = 32;

/// The level of a severity; `None` for an unknown word.
#[must_use]
pub(crate) fn level(severity: &str) -> Option<Level> {
    if severity.len() > MAX_WORD {
        return None;
    }
    let is_part = |c: &char| !matches!(c, ' ' | '-' | '_' | '(' | ')');
    let word: String = severity.trim().chars().filter(is_part).map(|c| c.to_ascii_lowercase()).collect();
    let find = |word: &str| {
        SEVERITIES.iter().find(|(_, words)| words.split(' ').any(|known| known == word)).map(|(level, _)| *level)
    };
    // ServiceNow writes "1 - Critical", and mail programs "1 (Highest)".
    find(&word).or_else(|| find(word.trim_start_matches(|c: char| c.is_ascii_digit())))
}

/// The level of a sender's word for an alert that is not a recovery. An unknown word is a warning, so that somebody
/// checks it.
#[must_use]
pub(crate) fn level_or_warn(severity: &str) -> Level {
    level(severity).unwrap_or(Level::Warn)
}

/// The number of a priority as ntfy's publishers write it, `4` or `high`; `None` for anything else.
#[must_use]
pub(crate) fn ntfy_priority(text: &str) -> Option<u8> {
    let by_name = |names: &&[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    let number = NTFY_PRIORITIES.iter().position(by_name).and_then(|at| u8::try_from(at + 1).ok());
    number.or_else(|| ["1", "2", "3", "4", "5"].contains(&text).then(|| text.parse().ok())?)
}

/// The level that a publisher of ntfy means by a priority, and ntfy's number for it. What ntfy does not know counts as the
/// word that it is, so that it costs nobody an alert.
#[must_use]
pub(crate) fn of_ntfy_text(text: &str) -> (Level, Option<u8>) {
    let number = ntfy_priority(text);
    (number.map_or_else(|| level_or_warn(text), of_ntfy_priority), number)
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

/// The level of a priority: of ntfy, or a word that is a severity; `None` for anything else.
#[must_use]
pub(crate) fn of_priority(text: &str) -> Option<Level> {
    ntfy_priority(text).map(of_ntfy_priority).or_else(|| level(text))
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
            &["SEVERE", "WARNING", "INFO", "CONFIG", "FINE"],
            &["P1", "P2", "P3", "P4", "P5"],
            &["SEV-1", "SEV-2", "SEV-3", "SEV-4", "SEV-5"],
            &["Sev0", "Sev1", "Sev2", "Sev3", "Sev4", "sev 5"],
            &["1 - Critical", "2 - High", "3 - Moderate", "4 - Low", "5 - Planning"],
            &["1 (Highest)", "2 (High)", "3 (Normal)", "4 (Low)", "5 (Lowest)"],
            &["critical", "major", "minor", "warning", "indeterminate", "cleared"],
            &["Highest", "High", "Medium", "Low", "Lowest"],
            &["Blocker", "Critical", "Major", "Minor", "Trivial"],
            &["error", "unknown", "warning", "notice", "info"],
            &["DOWN", "UNREACHABLE", "UP"],
            &["CRITICAL", "UNKNOWN", "WARNING", "OK"],
            &["danger", "warning", "good"],
            &["red", "orange", "yellow", "green"],
        ] {
            let levels: Vec<Level> = scale.iter().map(|word| level(word).unwrap()).collect();
            assert!(levels.is_sorted_by(|a, b| a >= b), "{scale:?}: {levels:?}");
            assert_eq!((levels[0], *levels.last().unwrap()), (Level::Error, Level::Info), "{scale:?}");
        }
    }

    #[test]
    fn spelling_does_not_matter_and_an_unknown_word_is_a_warning() {
        assert_eq!(
            [" CRITICAL ", "Warn", "no_data", "No Data"].map(level),
            [Some(Level::Error), Some(Level::Warn), Some(Level::Warn), Some(Level::Warn)]
        );
        for word in ["", "purple", "criticality", "1", "7", "tier-2", "p10", "high!", &"high ".repeat(20)] {
            assert_eq!((level(word), level_or_warn(word)), (None, Level::Warn), "{word}");
        }
    }

    #[test]
    fn no_word_is_in_the_table_twice_or_in_another_form_than_it_is_looked_for() {
        let mut words: Vec<&str> = SEVERITIES.iter().flat_map(|(_, words)| words.split(' ')).collect();
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())));
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
