//! An instance `alertd@NAME.service` on this machine: the paths and variables that its unit sets, for alertctl, which
//! systemd does not start. A test compares both.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance(String);

impl std::fmt::Display for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Instance {
    type Err = String;

    /// Accepts names that need no escaping in a unit's name and that cannot lead out of a directory.
    fn from_str(name: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err("is not an instance name; use letters, digits, - and _".to_owned());
        }
        Ok(Self(name.to_owned()))
    }
}

impl Instance {
    #[must_use]
    pub(crate) fn config(&self) -> PathBuf {
        format!("/etc/alertd/{}.toml", self.0).into()
    }

    /// The path of `control.sock` or `publish.sock`.
    #[must_use]
    pub(crate) fn socket(&self, file: &str) -> PathBuf {
        format!("/run/alertd/{}/{file}", self.0).into()
    }

    /// The variables that its unit sets.
    #[must_use]
    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        vec![
            ("STATE_DIRECTORY".into(), format!("/var/lib/alertd/{}", self.0).into()),
            ("ALERTD_CONTROL_SOCKET".into(), self.socket("control.sock").into()),
            ("ALERTD_PUBLISH_SOCKET".into(), self.socket("publish.sock").into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = include_str!("../../systemd/alertd@.service");

    #[test]
    fn the_unit_sets_the_same_paths_and_variables() {
        let instance: Instance = "blue".parse().unwrap();
        let unit = SERVICE.replace("%i", "blue");
        for (name, value) in instance.environment() {
            let line = match name.to_str().unwrap() {
                "STATE_DIRECTORY" => value.to_str().unwrap().replace("/var/lib/", "StateDirectory="),
                name => format!("Environment={name}={}", value.to_str().unwrap()),
            };
            assert!(unit.lines().any(|known| known == line), "{line}");
        }
        assert!(unit.contains(&format!("--config {}\n", instance.config().display())));
        for (unit, file) in [
            (include_str!("../../systemd/alertd-control@.socket"), "control.sock"),
            (include_str!("../../systemd/alertd-publish@.socket"), "publish.sock"),
        ] {
            let line = format!("ListenStream={}", instance.socket(file).display());
            assert!(unit.replace("%i", "blue").lines().any(|known| known == line), "{line}");
        }
    }

    #[test]
    fn a_name_cannot_lead_out_of_its_directory() {
        for name in ["", "../x", "a/b", ".", ".hidden", "a b", "ä"] {
            assert!(name.parse::<Instance>().is_err(), "{name}");
        }
        assert!("blue_2.eu-west".parse::<Instance>().is_ok());
    }
}
