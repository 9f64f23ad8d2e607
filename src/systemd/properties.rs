//! Properties of a unit, as `systemctl show` prints them.

use super::unit::output;

/// Some properties of one unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties {
    pub name: String,
    /// Lines `NAME=VALUE`.
    lines: String,
}

impl Properties {
    /// Asks systemd for the properties in this list; `None` without systemd.
    #[must_use]
    pub(crate) fn of(unit: &str, list: &str) -> Option<Self> {
        let lines = output("systemctl", &["show", &format!("--property={list}"), unit])?;
        Some(Self { name: unit.to_owned(), lines })
    }

    /// Reads what systemd prints of several units; a unit's name is the property `Id`, which must be asked for.
    pub(crate) fn of_several(shown: &str) -> impl Iterator<Item = Self> {
        shown.split("\n\n").filter_map(|lines| {
            let unit = Self { name: String::new(), lines: lines.to_owned() };
            let name = unit.get("Id").to_owned();
            (!name.is_empty()).then_some(Self { name, ..unit })
        })
    }

    /// The value of a property; empty if it has none.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// The values of a property that has a line for each.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.lines.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_may_have_several_lines() {
        let lines = "Listen=127.0.0.1:80 (Stream)\nListen=[::1]:80 (Stream)\nListenX=no\nUser=\n".to_owned();
        let unit = Properties { name: "a.socket".into(), lines };
        assert_eq!(unit.all("Listen").collect::<Vec<_>>(), ["127.0.0.1:80 (Stream)", "[::1]:80 (Stream)"]);
        assert_eq!((unit.get("User"), unit.get("None")), ("", ""));
    }

    #[test]
    fn units_are_told_apart_by_their_ids() {
        let shown = "Id=a.service\nActiveState=failed\n\nActiveState=active\nId=b.mount\n\n\n";
        let units: Vec<_> = Properties::of_several(shown).collect();
        let read: Vec<_> = units.iter().map(|unit| (unit.name.as_str(), unit.get("ActiveState"))).collect();
        assert_eq!(read, [("a.service", "failed"), ("b.mount", "active")]);
    }
}
