//! Detects sockets that systemd passed to another process: a wrapper that starts alertd without `exec` gets them
//! instead.

use std::ffi::OsString;

/// systemd passed sockets, but to another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PassedToAnother {
    /// The process that `$LISTEN_PID` names.
    passed_to: u32,
    own: u32,
}

impl PassedToAnother {
    /// Reads the environment. Must be called before the sockets are taken, which removes the variables.
    #[must_use]
    pub(crate) fn from_environment() -> Option<Self> {
        Self::new(|name| std::env::var_os(name), std::process::id())
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>, own: u32) -> Option<Self> {
        let number = |name| variable(name)?.to_str()?.parse::<u32>().ok();
        let passed_to = number("LISTEN_PID")?;
        let has_sockets = number("LISTEN_FDS")? > 0;
        (has_sockets && passed_to != own).then_some(Self { passed_to, own })
    }
}

impl std::fmt::Display for PassedToAnother {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { passed_to, own } = self;
        write!(
            f,
            "systemd passed its sockets to process {passed_to} ($LISTEN_PID), but alertd is process {own}: a wrapper started it \
             as a child; write exec before alertd in the wrapper, or alertd itself into ExecStart="
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_another_process_are_recognized() {
        let found = |environment: &'static [(&str, &str)]| {
            let variable = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
            PassedToAnother::new(variable, 815)
        };
        let other = found(&[("LISTEN_PID", "812"), ("LISTEN_FDS", "3")]).unwrap().to_string();
        assert!(other.contains("process 812") && other.contains("process 815") && other.contains("exec"), "{other}");
        assert_eq!(found(&[("LISTEN_PID", "815"), ("LISTEN_FDS", "3")]), None);
        assert_eq!(found(&[("LISTEN_PID", "812"), ("LISTEN_FDS", "0")]), None);
        assert_eq!(found(&[("LISTEN_PID", "812")]), None);
        assert_eq!(found(&[("LISTEN_PID", "x"), ("LISTEN_FDS", "1")]), None);
        assert_eq!(found(&[]), None);
    }
}
