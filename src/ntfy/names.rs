//! The topics of a subscription, under the names that its client knows.
//!
//! ntfy's apps know no dots. So a name stands for each topic that equals it once its dots are written as underscores, and
//! with `below` also for the topics below these.

use serde::{Deserialize, Serialize};

use crate::alert::{Filter, NotATopic, Pattern, Topic};

/// Names with more underscores in question are not written out as patterns: there would be too many.
const MAX_WRITTEN_OUT: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Names {
    names: Vec<Topic>,
    below: bool,
}

/// Why a text is not a list of names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotNames {
    #[error("{0:?}: {1}")]
    Name(String, NotATopic),
    #[error("at most {} names are allowed", Filter::MAX_PATTERNS)]
    TooMany,
}

impl Names {
    /// Reads names separated by commas.
    pub(crate) fn parse(list: &str, below: bool) -> Result<Self, NotNames> {
        let name = |text: &str| text.parse().map_err(|error| NotNames::Name(text.chars().take(64).collect(), error));
        let names = list.split(',').map(name).collect::<Result<Vec<Topic>, _>>()?;
        if names.len() > Filter::MAX_PATTERNS { Err(NotNames::TooMany) } else { Ok(Self { names, below }) }
    }

    /// The list as the client wrote it.
    pub(crate) fn list(&self) -> String {
        self.names.iter().map(Topic::as_str).collect::<Vec<_>>().join(",")
    }

    /// The name under which the client gets the alerts of a topic: of several the most exact one.
    pub(crate) fn of(&self, topic: &Topic) -> Option<&str> {
        let above = if self.below { Some(topic.ancestors()) } else { None };
        std::iter::once(topic.as_str()).chain(above.into_iter().flatten()).find_map(|topic| self.equal(topic))
    }

    fn equal(&self, topic: &str) -> Option<&str> {
        let exact = self.names.iter().find(|name| name.as_str() == topic);
        exact.or_else(|| self.names.iter().find(|name| stands_for(name.as_str(), topic))).map(Topic::as_str)
    }

    /// What a stream has to follow so that [`of`](Self::of) finds everything that these names stand for and a key with the
    /// topics `granted` may read. Each pattern is covered by that key; it may select more than the names do.
    ///
    /// # Errors
    /// The first name of which the key may read nothing.
    pub(crate) fn patterns(&self, granted: &[Pattern]) -> Result<Vec<Pattern>, Topic> {
        let mut patterns = Vec::new();
        for name in &self.names {
            let before = patterns.len();
            granted.iter().for_each(|own| self.add(name, own, &mut patterns));
            if patterns.len() == before {
                return Err(name.clone());
            }
        }
        patterns.sort();
        patterns.dedup();
        Ok(if patterns.len() > Filter::MAX_PATTERNS { granted.to_vec() } else { patterns })
    }

    fn add(&self, name: &Topic, granted: &Pattern, patterns: &mut Vec<Pattern>) {
        let is_meant = |topic: &str| stands_for(name.as_str(), topic);
        match granted {
            Pattern::Exact(topic) => {
                if is_meant(topic.as_str()) || self.below && topic.ancestors().any(is_meant) {
                    patterns.push(granted.clone());
                }
            }
            Pattern::Below(parent) if self.below && (is_meant(parent.as_str()) || parent.ancestors().any(is_meant)) => {
                patterns.push(granted.clone());
            }
            Pattern::Below(parent) => self.add_below(name, parent.as_str().len() + 1, granted, patterns),
            Pattern::All => self.add_below(name, 0, granted, patterns),
        }
    }

    /// Adds the topics that a name stands for and a pattern matches; or the pattern itself, if there are too many of them.
    fn add_below(&self, name: &Topic, fixed: usize, granted: &Pattern, patterns: &mut Vec<Pattern>) {
        match written_out(name.as_str(), fixed, granted) {
            Some(topics) => {
                for topic in topics {
                    if self.below {
                        patterns.push(Pattern::Below(topic.clone()));
                    }
                    patterns.push(Pattern::Exact(topic));
                }
            }
            None => patterns.push(granted.clone()),
        }
    }
}

/// Whether a name is that of a topic, or has underscores where the topic has dots.
fn stands_for(name: &str, topic: &str) -> bool {
    let is_same = |(own, other): (u8, u8)| own == other || own == b'_' && other == b'.';
    name == topic || !name.contains('.') && name.len() == topic.len() && name.bytes().zip(topic.bytes()).all(is_same)
}

/// The topics that a name stands for, of those that the pattern matches; its first `fixed` characters are those of the
/// pattern. None if there are too many.
fn written_out(name: &str, fixed: usize, pattern: &Pattern) -> Option<Vec<Topic>> {
    let start = match pattern {
        Pattern::Below(parent) => format!("{parent}."),
        _ => String::new(),
    };
    // What a name stands for has its length.
    if name.len() <= fixed || !stands_for(&name[..fixed], &start) {
        return Some(Vec::new());
    }
    let rest = &name[fixed..];
    let open: Vec<usize> =
        if name.contains('.') { Vec::new() } else { rest.match_indices('_').map(|(at, _)| at).collect() };
    if open.len() > MAX_WRITTEN_OUT {
        return None;
    }
    let variant = |dots: usize| {
        let mut text = rest.as_bytes().to_vec();
        open.iter().enumerate().filter(|(bit, _)| dots >> bit & 1 == 1).for_each(|(_, at)| text[*at] = b'.');
        let text = String::from_utf8(text).ok()?;
        // Underscores at an end or beside each other are no dots.
        format!("{start}{text}").parse::<Topic>().ok()
    };
    Some((0..1 << open.len()).filter_map(variant).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(list: &str, below: bool) -> Names {
        Names::parse(list, below).unwrap()
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn name_of(names: &Names, topic: &str) -> Option<String> {
        names.of(&topic.parse().unwrap()).map(str::to_owned)
    }

    #[test]
    fn a_name_stands_for_topics_whose_dots_it_writes_as_underscores() {
        let asked = names("ops_db,ops.web,a_b_", false);
        for (topic, name) in [
            ("ops_db", Some("ops_db")),
            ("ops.db", Some("ops_db")),
            ("ops.web", Some("ops.web")),
            ("ops_web", None),
            ("a.b_", Some("a_b_")),
            ("a_b_", Some("a_b_")),
            ("ops.db.x", None),
            ("ops", None),
        ] {
            assert_eq!(name_of(&asked, topic).as_deref(), name, "{topic}");
        }
        assert_eq!(asked.list(), "ops_db,ops.web,a_b_");
    }

    #[test]
    fn with_below_the_most_exact_name_gets_the_alert() {
        let asked = names("ops,ops_db,ops.db", true);
        for (topic, name) in
            [("ops.web.x", Some("ops")), ("ops.db", Some("ops.db")), ("ops_db.x", Some("ops_db")), ("opsx", None)]
        {
            assert_eq!(name_of(&asked, topic).as_deref(), name, "{topic}");
        }
    }

    #[test]
    fn the_patterns_are_those_of_the_names_that_the_key_may_read() {
        let of = |list, below, granted: &[&str]| {
            let found = names(list, below).patterns(&patterns(granted));
            found
                .map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())
                .map_err(|name| name.to_string())
        };
        let texts = |all: &[&str]| Ok(all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(of("ops", false, &["*"]), texts(&["ops"]));
        assert_eq!(of("ops_db", false, &["*"]), texts(&["ops.db", "ops_db"]));
        assert_eq!(of("ops_db", false, &["ops.*"]), texts(&["ops.db"]));
        assert_eq!(of("ops_db", false, &["ops.db", "ops.web"]), texts(&["ops.db"]));
        assert_eq!(of("ops", true, &["ops.*"]), texts(&["ops.*"]));
        assert_eq!(of("ops", true, &["ops.db.x", "web"]), texts(&["ops.db.x"]));
        assert_eq!(of("ops", true, &["*"]), texts(&["ops.*", "ops"]));
        assert_eq!(of("a_b_c_d_e", false, &["*"]), texts(&["*"]));
        assert_eq!(of("a_b_c_d_e", false, &["a.b.*"]).unwrap().len(), 4);
        assert_eq!(of("_a__b", false, &["*"]), texts(&["_a._b", "_a_.b", "_a__b"]));
        assert_eq!(of("ops,web", false, &["ops"]), Err("web".into()));
        assert_eq!(of("ops", false, &["ops.*"]), Err("ops".into()));
        assert_eq!(of("ops.db", false, &["ops.*"]), texts(&["ops.db"]));
    }

    #[test]
    fn what_is_no_list_of_names_is_refused() {
        for bad in ["", "a,", "a b", "ops.*", "ä", ".a"] {
            assert!(Names::parse(bad, false).is_err(), "{bad}");
        }
        assert_eq!(Names::parse(&["a"; 65].join(","), false), Err(NotNames::TooMany));
        assert!(Names::parse(&["a"; 64].join(","), false).is_ok());
    }

    proptest! {
        #[test]
        fn the_patterns_select_all_that_the_names_stand_for_and_the_key_covers(
            list in prop::collection::vec("[ab]([_.]?[ab]){0,6}", 1..4),
            granted in prop::collection::vec("([ab]([_.]?[ab]){0,3}|[ab]([_.][ab]){0,1}\\.\\*|\\*)", 1..4),
            topic in "[ab]([_.]?[ab]){0,6}",
            below: bool,
        ) {
            let asked = names(&list.join(","), below);
            let granted = patterns(&granted.iter().map(String::as_str).collect::<Vec<_>>());
            let covers = |pattern: &Pattern| granted.iter().any(|own| own.covers(pattern));
            if let Ok(found) = asked.patterns(&granted) {
                prop_assert!(found.iter().all(covers), "{found:?}");
                let is_covered = granted.iter().any(|own| own.matches(&topic));
                if is_covered && asked.of(&topic.parse().unwrap()).is_some() {
                    prop_assert!(found.iter().any(|pattern| pattern.matches(&topic)), "{found:?}");
                }
            } else {
                let alone = asked.names.iter().all(|name| {
                    let is_own = names(name.as_str(), below).of(&topic.parse().unwrap()).is_some();
                    !(is_own && granted.iter().any(|own| own.matches(&topic)))
                });
                prop_assert!(alone || asked.names.len() > 1);
            }
        }
    }
}
