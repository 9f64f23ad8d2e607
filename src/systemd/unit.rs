//! The unit of a service, as `systemctl show` describes it: its user, its limits, and where it may write.
//!
//! Used by checks that run outside the service. systemd is asked once, when the value is made.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROPERTIES: &str = "--property=LoadState,User,SupplementaryGroups,LimitNOFILE,Environment,ProtectSystem,\
                          ReadWritePaths,StateDirectory";

/// Directories of credentials, for those without a path.
const CREDSTORES: [&str; 3] = ["/etc/credstore", "/run/credstore", "/usr/lib/credstore"];

/// A unit with its properties.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit {
    name: String,
    /// Lines `NAME=VALUE`.
    properties: String,
    /// The files of the unit, one after the other.
    files: String,
}

impl Unit {
    /// The unit that reads this configuration; `None` for a file that no unit of the package reads, and without systemd.
    #[must_use]
    pub(crate) fn of_configuration(file: &Path) -> Option<Self> {
        let name = unit_name(file, "service")?;
        let (properties, files) =
            (output("systemctl", &["show", PROPERTIES, &name])?, output("systemctl", &["cat", &name])?);
        let unit = Self { name, properties, files };
        (unit.value("LoadState") == "loaded").then_some(unit)
    }

    /// The file from which systemd takes a credential; `None` if the unit passes none of that name.
    #[must_use]
    pub(crate) fn credential(&self, name: &str) -> Option<PathBuf> {
        let instance = self.name.split_once('@').map_or("", |(_, rest)| rest.trim_end_matches(".service"));
        let lines = self.files.lines().filter_map(|line| line.strip_prefix("LoadCredential="));
        let mut sources = lines.map(|value| value.split_once(':').unwrap_or((value, value)));
        // A later line replaces an earlier one.
        let source = sources.rfind(|(known, _)| *known == name)?.1.replace("%i", instance);
        let found = CREDSTORES.iter().map(|store| Path::new(store).join(&source)).find(|path| path.exists());
        Some(found.unwrap_or_else(|| Path::new(CREDSTORES[0]).join(source)))
    }

    /// The user as which the service runs; `None` for root.
    #[must_use]
    pub(crate) fn user(&self) -> Option<String> {
        let user = self.value("User");
        (!user.is_empty() && user != "root").then(|| user.to_owned())
    }

    /// A property that is a number.
    #[must_use]
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.value(name).parse().ok()
    }

    /// The names of the variables that the unit sets.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let assignments = self.value("Environment").split([' ', '"']);
        assignments.filter_map(|assignment| Some(assignment.split_once('=')?.0))
    }

    /// Whether the service's user passes a test of test(1) for this path. True if that cannot be found out.
    #[must_use]
    pub(crate) fn may(&self, user: &str, test: &str, path: &Path) -> bool {
        let groups = output("id", &["-Gn", user]).unwrap_or_default();
        let groups: Vec<&str> =
            groups.split_whitespace().chain(self.value("SupplementaryGroups").split_whitespace()).collect();
        let Some(group) = groups.first() else { return true };
        let tested = Command::new("setpriv")
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={group}"))
            .arg(format!("--groups={}", groups.join(",")))
            .args(["--inh-caps=-all", "test", test])
            .arg(path)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        // Any other code is that of setpriv itself.
        tested.map_or(true, |status| status.code() != Some(1))
    }

    /// Whether the sandbox lets the service write below this path.
    #[must_use]
    pub(crate) fn may_write_below(&self, path: &Path) -> bool {
        let state = self.value("StateDirectory").split(' ').filter(|name| !name.is_empty());
        let mut allowed = state
            .map(|name| Path::new("/var/lib").join(name))
            .chain(
                self.value("ReadWritePaths").split(' ').map(|path| PathBuf::from(path.trim_start_matches(['-', '+']))),
            )
            .filter(|allowed| allowed.is_absolute());
        self.value("ProtectSystem") != "strict" || allowed.any(|allowed| path.starts_with(allowed))
    }

    fn value(&self, name: &str) -> &str {
        let mut pairs = self.properties.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// The unit of this kind, `service` or `socket`, that belongs to a configuration file.
#[must_use]
pub(crate) fn unit_name(file: &Path, kind: &str) -> Option<String> {
    match file.strip_prefix("/etc").ok()?.to_str()?.strip_suffix(".toml")?.split_once('/') {
        None if file == Path::new("/etc/alertd.toml") => Some(format!("alertd.{kind}")),
        Some(("alertd", instance)) if !instance.contains('/') => Some(format!("alertd@{instance}.{kind}")),
        _ => None,
    }
}

/// The socket unit that belongs to a configuration file, and where it listens; `None` if it does not.
#[must_use]
pub(crate) fn listening(file: &Path) -> Option<(String, Vec<String>)> {
    let unit = unit_name(file, "socket")?;
    let shown = output("systemctl", &["show", "--property=ActiveState,Listen", &unit])?;
    let addresses = shown.lines().filter_map(|line| line.strip_prefix("Listen=")?.strip_suffix(" (Stream)"));
    let addresses: Vec<_> = addresses.map(str::to_owned).collect();
    (shown.contains("ActiveState=active") && !addresses.is_empty()).then_some((unit, addresses))
}

/// What a program prints; `None` if it fails.
#[must_use]
pub(crate) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(properties: &str) -> Unit {
        Unit { name: "alertd.service".into(), properties: properties.into(), ..Unit::default() }
    }

    #[test]
    fn a_credential_comes_from_where_the_last_line_of_the_unit_says() {
        let files =
            "LoadCredential=alertd.a:alertd@%i.a\nLoadCredential=b\nLoadCredential=b:/root/b\nLoadCredential=c\n";
        let unit = Unit { name: "alertd@blue.service".into(), files: files.into(), ..Unit::default() };
        for (name, path) in [
            ("alertd.a", Some("/etc/credstore/alertd@blue.a")),
            ("b", Some("/root/b")),
            ("c", Some("/etc/credstore/c")),
            ("d", None),
        ] {
            assert_eq!(unit.credential(name), path.map(PathBuf::from), "{name}");
        }
    }

    #[test]
    fn only_files_that_a_unit_reads_have_a_unit() {
        for (file, unit) in [("/etc/alertd.toml", "alertd.socket"), ("/etc/alertd/blue.toml", "alertd@blue.socket")] {
            assert_eq!(unit_name(Path::new(file), "socket").as_deref(), Some(unit));
        }
        for file in ["/etc/other.toml", "/etc/alertd/a/b.toml", "/root/alertd.toml", "/etc/alertd.conf", "/etc"] {
            assert_eq!(unit_name(Path::new(file), "service"), None, "{file}");
        }
    }

    #[test]
    fn properties_are_read_as_systemctl_shows_them() {
        let set = unit(
            "LoadState=loaded\nUser=alertd\nLimitNOFILE=524288\nEnvironment=ALERTD_LOG_LEVEL=debug \"ALERTD_X=a b\" LANG=C\n",
        );
        assert_eq!((set.user().as_deref(), set.number("LimitNOFILE")), (Some("alertd"), Some(524_288)));
        assert_eq!(set.variables().collect::<Vec<_>>(), ["ALERTD_LOG_LEVEL", "ALERTD_X", "LANG"]);
        assert_eq!((unit("User=\n").user(), set.number("User")), (None, None));
    }

    #[test]
    fn the_sandbox_is_open_for_the_state_directory_and_what_the_unit_adds() {
        let strict = unit("ProtectSystem=strict\nStateDirectory=alertd\nReadWritePaths=-/srv/a /srv/b\n");
        for (path, expected) in [
            ("/var/lib/alertd", true),
            ("/var/lib/alertd/keys", true),
            ("/srv/a", true),
            ("/srv/b/c", true),
            ("/var/lib/alertd2", false),
            ("/srv", false),
        ] {
            assert_eq!(strict.may_write_below(Path::new(path)), expected, "{path}");
        }
        assert!(unit("ProtectSystem=full\n").may_write_below(Path::new("/srv")));
    }

    #[test]
    fn a_question_without_an_answer_refuses_nothing() {
        assert!(unit("").may("no-such-user", "-r", Path::new("/")));
    }
}
