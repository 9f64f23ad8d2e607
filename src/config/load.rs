//! Builds the configuration from its inputs, or reports all their errors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::keys::{self, KEYS, Key};
use super::settings::{Config, Durability, EngineKind, Store};
use super::source::{Errors, Remarks, Source};
use super::value::Raw;
use super::{environment, file};

/// Everything from which the configuration is built.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    /// The file given by `--config`, which must exist.
    pub file: Option<PathBuf>,
    /// The file that is read without `--config`, if it exists.
    pub default_file: PathBuf,
    pub env: Vec<(OsString, OsString)>,
    /// Whether root or the user alertd runs the program, so that the system's directories are the defaults.
    pub is_root: bool,
}

impl Inputs {
    /// The inputs of this process; `file` is the one given by `--config`.
    #[must_use]
    pub(crate) fn from_process(file: Option<PathBuf>) -> Self {
        // The directory of a process belongs to its effective user.
        let uid = std::fs::metadata("/proc/self").map(|own| own.uid()).ok();
        let is_root = uid.is_some_and(|uid| {
            let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            uid == 0 || uid_of("alertd", &users) == Some(uid)
        });
        Self { file, default_file: default_file().to_owned(), env: std::env::vars_os().collect(), is_root }
    }

    /// The directory of the credentials that systemd passed, if it passed any.
    #[must_use]
    pub(crate) fn credentials(&self) -> Option<PathBuf> {
        environment::find(&self.env, "CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

#[must_use]
pub(crate) fn default_file() -> &'static Path {
    Path::new("/etc/alertd.toml")
}

/// The user id of a user, from the text of `/etc/passwd`.
fn uid_of(user: &str, users: &str) -> Option<u32> {
    let mut entries = users.lines().map(|line| line.split(':'));
    entries.find_map(|mut fields| (fields.next() == Some(user)).then(|| fields.nth(1)?.parse().ok()).flatten())
}

/// A configuration with the source of each value.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub config: Config,
    /// Raw value and source of each key.
    pub(super) values: BTreeMap<&'static str, (Raw, Source)>,
    /// Settings that are valid but probably a mistake, one per line, with their position.
    pub warnings: Vec<String>,
    /// Ignored variables that look like settings, but were set by a container platform for other services.
    foreign: Vec<String>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Resolved {
    /// The source of a key's value; `None` if there is no such key.
    #[must_use]
    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.values.get(name).map(|(_, source)| source)
    }

    /// A line about the ignored variables of a container platform, if there are any.
    #[must_use]
    pub(crate) fn ignored(&self) -> Option<String> {
        let names = self.foreign.join(", ");
        let words = "the environment has variables that a container platform sets for other services; ignored";
        (!names.is_empty()).then(|| format!("{words}: {names}"))
    }

    /// The source of every key, in the order of their names.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&'static str, &Source)> {
        self.values.iter().map(|(name, (_, source))| (*name, source))
    }
}

/// Reads and checks all inputs.
///
/// # Errors
/// All errors, in the order of their positions.
pub(crate) fn load(inputs: &Inputs) -> Result<Resolved, Errors> {
    let mut loader = Loader::default();
    loader.defaults();
    loader.directories(inputs);
    let file = loader.file(inputs);
    loader.environment(inputs);
    let config = loader.build();
    if loader.errors.is_empty() {
        let Loader { values, warnings, foreign, .. } = loader;
        Ok(Resolved { config, values, warnings: warnings.lines(), foreign, file })
    } else {
        Err(Errors(loader.errors.lines()))
    }
}

/// The default of a key for root, in the notation of the file.
#[cfg(test)]
pub(super) fn default_for_root(name: &str) -> String {
    let mut loader = Loader::default();
    loader.defaults();
    loader.directories(&Inputs { is_root: true, ..Inputs::default() });
    loader.build();
    loader.values.get(name).map_or_else(String::new, |(raw, _)| raw.show())
}

#[derive(Default)]
pub(super) struct Loader {
    pub(super) values: BTreeMap<&'static str, (Raw, Source)>,
    pub(super) errors: Remarks,
    pub(super) warnings: Remarks,
    foreign: Vec<String>,
}

impl Loader {
    fn defaults(&mut self) {
        let raw = KEYS.iter().filter_map(|key| Some((key.name, (default_of(key)?, Source::Default))));
        self.values.extend(raw);
    }

    /// The default directories: those of systemd, otherwise those of the system or of the user.
    fn directories(&mut self, inputs: &Inputs) {
        let variable = |name: &str| {
            // systemd separates several directories by colons; the first is the main one.
            let first = environment::find(&inputs.env, name)?.to_str()?.split(':').next()?;
            Some(PathBuf::from(first)).filter(|path| path.is_absolute())
        };
        let systemd = |name| variable(name).map(|path| (path, Source::Systemd(name)));
        let for_root = |path: &str| inputs.is_root.then(|| (PathBuf::from(path), Source::Default));
        let for_user = |path: PathBuf| (path.join("alertd"), Source::Default);

        let given = systemd("STATE_DIRECTORY");
        let has_systemd = given.is_some();
        let state = given
            .or_else(|| for_root("/var/lib/alertd"))
            .or_else(|| variable("XDG_STATE_HOME").map(for_user))
            .or_else(|| variable("HOME").map(|home| for_user(home.join(".local/state"))));
        let run = systemd("RUNTIME_DIRECTORY")
            .or_else(|| has_systemd.then(|| ("/run/alertd".into(), Source::Default)))
            .or_else(|| for_root("/run/alertd"))
            .or_else(|| variable("XDG_RUNTIME_DIR").map(for_user))
            .or_else(|| state.as_ref().map(|(path, _)| (path.clone(), Source::Default)));

        let mut put = |name, path: PathBuf, source| {
            self.values.insert(name, (Raw::Text(path.display().to_string()), source));
        };
        if let Some((path, source)) = state {
            put("state_dir", path, source);
        }
        if let Some((path, source)) = run {
            put("control_socket", path.join("control.sock"), source.clone());
            put("publish_socket", path.join("publish.sock"), source);
        }
    }

    fn file(&mut self, inputs: &Inputs) -> Option<PathBuf> {
        let path = inputs.file.as_ref().unwrap_or(&inputs.default_file);
        let text = file::open(path, inputs.file.is_some(), &mut self.errors)?;
        let found = file::read(path, &text, &mut self.errors);
        self.values.extend(found.into_iter().map(|found| (found.name, (found.raw, found.source))));
        Some(path.clone())
    }

    fn environment(&mut self, inputs: &Inputs) {
        let mut redis_host = None;
        let found = environment::read(&inputs.env, &mut self.errors);
        self.foreign = found.foreign;
        for set in found.set {
            let before = self.values.get(set.name);
            // The type of the value is that of the key's default, whatever type the file has.
            let default = keys::find(set.name).and_then(default_of);
            let raw = Raw::from_variable(set.text, default.as_ref());
            if let Some((overridden, Source::Environment(name))) = before
                && *overridden != raw
            {
                let reason = format!("is overridden by {}; unset one of them", variable_of(&set.source));
                self.warnings.add(Source::Environment(name.clone()), reason);
            }
            if variable_of(&set.source) == "REDIS_HOST" {
                redis_host = Some(set.source.clone());
            }
            self.values.insert(set.name, (raw, set.source));
        }
        // REDIS_HOST selects the redis engine, unless engine.kind is set.
        if let (Some(source), Some((_, Source::Default))) = (redis_host, self.values.get("engine.kind")) {
            self.values.insert("engine.kind", (Raw::Text("redis".into()), source));
        }
    }

    fn build(&mut self) -> Config {
        let mut config = Config::default();
        let Self { values, errors, .. } = self;
        for key in KEYS {
            let Some((raw, source)) = values.get(key.name) else { continue };
            let checked = if raw.holds_credentials() {
                Err("contains a user or password in a URL, where others can see it; \
                     remove it and use a file, such as engine.redis.password_file"
                    .to_owned())
            } else {
                (key.set)(&mut config, raw)
            };
            if let Err(reason) = checked {
                errors.add(source.clone(), format!("{}: {reason}", key.name));
            }
        }
        self.complete(&mut config);
        self.compare(&config);
        config
    }

    /// Sets the defaults that depend on other values.
    fn complete(&mut self, config: &mut Config) {
        for name in ["state_dir", "control_socket", "publish_socket"] {
            if !self.values.contains_key(name) {
                let reason = format!("{name}: has no default without $HOME; set {name}, or $HOME");
                self.errors.add(Source::Default, reason);
            }
        }
        let (durability, store) = match config.engine.kind {
            EngineKind::Embedded => ((Durability::Fsync, "fsync"), (Store::File, "file")),
            EngineKind::Redis => ((Durability::Primary, "primary"), (Store::Engine, "engine")),
        };
        let mut set_default = |name, word: &str| {
            let is_set = self.values.contains_key(name);
            if !is_set {
                self.values.insert(name, (Raw::Text(word.into()), Source::Default));
            }
            !is_set
        };
        if set_default("engine.durability", durability.1) {
            config.engine.durability = durability.0;
        }
        if set_default("auth.store", store.1) {
            config.auth.store = store.0;
        }
        if !self.values.contains_key("auth.store_dir") {
            config.auth.store_dir.clone_from(&config.state_dir);
            let shown = Raw::Text(config.state_dir.display().to_string());
            self.values.insert("auth.store_dir", (shown, Source::Default));
        }
    }

    pub(super) fn refuse(&mut self, name: &str, reason: &str) {
        let source = self.values.get(name).map_or(Source::Default, |(_, source)| source.clone());
        self.errors.add(source, format!("{name}: {reason}"));
    }
}

/// The default of a key as a value; `None` if it depends on the system.
pub(super) fn default_of(key: &Key) -> Option<Raw> {
    let text = format!("{} = {}\n", key.name, key.default);
    let found = (!key.default.is_empty()).then(|| file::read(Path::new("default"), &text, &mut Remarks::default()))?;
    found.into_iter().next().map(|found| found.raw)
}

fn variable_of(source: &Source) -> &str {
    if let Source::Environment(name) = source { name } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_full_name() {
        let users = "root:x:0:0::/root:/bin/sh\nalertd2:x:7:7::/:\nalertd:x:998:997::/:/usr/sbin/nologin\n";
        assert_eq!((uid_of("alertd", users), uid_of("alert", users)), (Some(998), None));
        assert_eq!(uid_of("alertd", "alertd:x\nalertd:x:many:1\n"), None);
    }
}
