//! Which entries of the journal become alerts, as matches of `journalctl`.
//!
//! Matches of the same field are alternatives, matches of different fields must all hold, and `+` separates groups of which
//! one must hold.

use crate::ctl::args::Journal;

/// MESSAGE_ID of "Suppressed … messages from …", which journald writes.
pub(super) const SUPPRESSED: &str = "a596d6fe7bfa4994828e72309e95d61e";
/// The priorities emerg, alert and crit.
const URGENT: u8 = 2;

/// All entries to follow.
pub(super) fn all(args: &Journal) -> Vec<String> {
    let suppressed = || format!("MESSAGE_ID={SUPPRESSED}");
    let mut groups = up_to(args.priority, args);
    if args.units.is_empty() {
        groups.push(vec![suppressed()]);
    }
    for unit in units(args) {
        groups.push(vec![suppressed(), format!("OBJECT_SYSTEMD_UNIT={unit}")]);
    }
    groups.join(&"+".to_owned())
}

/// Those of them that are urgent; `None` if all are, apart from journald's own.
pub(super) fn urgent(args: &Journal) -> Option<Vec<String>> {
    (args.priority > URGENT).then(|| up_to(URGENT, args).join(&"+".to_owned()))
}

/// Entries of this priority and more urgent ones.
fn up_to(priority: u8, args: &Journal) -> Vec<Vec<String>> {
    let priorities = || (0..=priority).map(|priority| format!("PRIORITY={priority}"));
    if args.units.is_empty() {
        return vec![priorities().collect()];
    }
    let of_unit = |unit: String| {
        let written = priorities().chain([format!("_SYSTEMD_UNIT={unit}")]).collect();
        let about = priorities().chain(["_PID=1".to_owned(), format!("UNIT={unit}")]).collect();
        [written, about]
    };
    units(args).flat_map(of_unit).collect()
}

fn units(args: &Journal) -> impl Iterator<Item = String> {
    let named = args.units.iter().filter(|unit| !unit.is_empty());
    named.map(|unit| if unit.contains('.') { unit.clone() } else { format!("{unit}.service") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &[&str]) -> Journal {
        use clap::Parser;
        let line = ["alertctl", "journal"].into_iter().chain(line.iter().copied());
        match crate::ctl::args::Ctl::try_parse_from(line).unwrap().command {
            crate::ctl::args::Command::Journal(journal) => journal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn priority_and_units_become_matches() {
        let dropped = format!("MESSAGE_ID={SUPPRESSED}");
        assert_eq!(all(&args(&["-p", "alert"])), ["PRIORITY=0", "PRIORITY=1", "+", &dropped]);
        let expected = [
            "PRIORITY=0",
            "_SYSTEMD_UNIT=a.service",
            "+",
            "PRIORITY=0",
            "_PID=1",
            "UNIT=a.service",
            "+",
            &dropped,
            "OBJECT_SYSTEMD_UNIT=a.service",
        ];
        assert_eq!(all(&args(&["-p", "0", "-u", "a"])), expected);
        assert_eq!(all(&args(&["-p", "0", "-u", "a.service"])), expected);
    }

    #[test]
    fn urgent_entries_are_a_part_of_those_of_the_same_units() {
        assert_eq!(urgent(&args(&["-p", "crit"])), None);
        assert_eq!(urgent(&args(&[])).unwrap(), ["PRIORITY=0", "PRIORITY=1", "PRIORITY=2"]);
        let of_unit = urgent(&args(&["-u", "a"])).unwrap();
        let about = ["_PID=1", "UNIT=a.service"];
        assert_eq!(of_unit[..5], ["PRIORITY=0", "PRIORITY=1", "PRIORITY=2", "_SYSTEMD_UNIT=a.service", "+"]);
        assert_eq!(of_unit[8..], about);
    }
}
