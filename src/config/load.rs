//! From the inputs to the configuration, or to all that is wrong with them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::keys::{self, KEYS, Key};
use super::settings::{Config, Durability, EngineKind, Store};
use super::source::{Errors, Remarks, Source};
use super::value::Raw;
use super::{environment, file};

/// What the configuration is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    /// From `--config`; it must be there.
    pub file: Option<PathBuf>,
    /// Read if it is there.
    pub default_file: PathBuf,
    /// The environment.
    pub env: Vec<(OsString, OsString)>,
    /// Whether the system's directories are the default ones: root runs it, or the user alertd.
    pub is_root: bool,
}

impl Inputs {
    /// Those of this process, for the two programs; `file` is the one of `--config`.
    #[must_use]
    pub(crate) fn from_process(file: Option<PathBuf>) -> Self {
        // The owner of a process's directory is its effective user.
        let uid = std::fs::metadata("/proc/self").map(|own| own.uid()).ok();
        let is_root = uid.is_some_and(|uid| {
            let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            uid == 0 || uid_of("alertd", &users) == Some(uid)
        });
        Self { file, default_file: default_file().to_owned(), env: std::env::vars_os().collect(), is_root }
    }
}

impl Inputs {
    /// The directory of the credentials that systemd passed, if it passed any.
    #[must_use]
    pub(crate) fn credentials(&self) -> Option<PathBuf> {
        environment::find(&self.env, "CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// The file that is read where none is named.
#[must_use]
pub(crate) fn default_file() -> &'static Path {
    Path::new("/etc/alertd.toml")
}

/// The number of a user in the text of `/etc/passwd`.
fn uid_of(user: &str, users: &str) -> Option<u32> {
    let mut entries = users.lines().map(|line| line.split(':'));
    entries.find_map(|mut fields| (fields.next() == Some(user)).then(|| fields.nth(1)?.parse().ok()).flatten())
}

/// A configuration, and where each value comes from.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// The values.
    pub config: Config,
    /// By name: as it would stand in the file, and its source.
    pub(super) values: BTreeMap<&'static str, (Raw, Source)>,
    /// What is no error but probably not meant, a line each, with its place.
    pub warnings: Vec<String>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Resolved {
    /// Where the value of this key comes from; none for a name that is no key.
    #[must_use]
    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.values.get(name).map(|(_, source)| source)
    }

    #[cfg(test)]
    /// The source of every key, in the order of their names.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&'static str, &Source)> {
        self.values.iter().map(|(name, (_, source))| (*name, source))
    }
}

/// Reads and checks everything.
///
/// # Errors
/// All of them at once, by place.
pub(crate) fn load(inputs: &Inputs) -> Result<Resolved, Errors> {
    let mut loader = Loader::default();
    loader.defaults();
    loader.directories(inputs);
    let file = loader.file(inputs);
    loader.environment(inputs);
    let config = loader.build();
    if loader.errors.is_empty() {
        Ok(Resolved { config, values: loader.values, warnings: loader.warnings.lines(), file })
    } else {
        Err(Errors(loader.errors.lines()))
    }
}

#[cfg(test)]
/// What a key is where root sets nothing, as it would stand in the file.
pub(super) fn usual(name: &str) -> String {
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
}

impl Loader {
    fn defaults(&mut self) {
        let raw = KEYS.iter().filter_map(|key| Some((key.name, (default_of(key)?, Source::Default))));
        self.values.extend(raw);
    }

    /// The directories, where nobody sets them: systemd's, the system's, or the user's own.
    fn directories(&mut self, inputs: &Inputs) {
        let variable = |name: &str| {
            // systemd joins several directories by colons; the first is the service's own.
            let first = environment::find(&inputs.env, name)?.to_str()?.split(':').next()?;
            Some(PathBuf::from(first)).filter(|path| path.is_absolute())
        };
        let systemd = |name| variable(name).map(|path| (path, Source::Systemd(name)));
        let of_the_system = |path: &str| inputs.is_root.then(|| (PathBuf::from(path), Source::Default));
        let own = |path: PathBuf| (path.join("alertd"), Source::Default);

        let given = systemd("STATE_DIRECTORY");
        let has_systemd = given.is_some();
        let state = given
            .or_else(|| of_the_system("/var/lib/alertd"))
            .or_else(|| variable("XDG_STATE_HOME").map(own))
            .or_else(|| variable("HOME").map(|home| own(home.join(".local/state"))));
        let run = systemd("RUNTIME_DIRECTORY")
            .or_else(|| has_systemd.then(|| ("/run/alertd".into(), Source::Default)))
            .or_else(|| of_the_system("/run/alertd"))
            .or_else(|| variable("XDG_RUNTIME_DIR").map(own))
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
        let mut seed_of_redis = None;
        for set in environment::read(&inputs.env, &mut self.errors) {
            let before = self.values.get(set.name);
            // The kind of a value is that of the key's default, whatever the file made of it.
            let default = keys::find(set.name).and_then(default_of);
            let raw = Raw::from_variable(set.text, default.as_ref());
            if let Some((weaker, Source::Environment(name))) = before
                && *weaker != raw
            {
                let reason = format!("is overridden by {}; unset one of them", variable_of(&set.source));
                self.warnings.add(Source::Environment(name.clone()), reason);
            }
            if variable_of(&set.source) == "REDIS_HOST" {
                seed_of_redis = Some(set.source.clone());
            }
            self.values.insert(set.name, (raw, set.source));
        }
        // REDIS_HOST alone selects the engine; whoever names one means it.
        if let (Some(source), Some((_, Source::Default))) = (seed_of_redis, self.values.get("engine.kind")) {
            self.values.insert("engine.kind", (Raw::Text("redis".into()), source));
        }
    }

    fn build(&mut self) -> Config {
        let mut config = Config::default();
        let Self { values, errors, .. } = self;
        for key in KEYS {
            let Some((raw, source)) = values.get(key.name) else { continue };
            let checked = if raw.holds_credentials() {
                Err("holds a user or password in a URL, where others see it; \
                     take it out, secrets come from a file such as engine.redis.password_file"
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

    /// What follows from other values.
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
        let mut by_engine = |name, word: &str| {
            let is_set = self.values.contains_key(name);
            if !is_set {
                self.values.insert(name, (Raw::Text(word.into()), Source::Default));
            }
            !is_set
        };
        if by_engine("engine.durability", durability.1) {
            config.engine.durability = durability.0;
        }
        if by_engine("auth.store", store.1) {
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

/// A key's default as a value; none where it depends on the system.
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
    fn a_user_is_found_by_the_whole_name() {
        let users = "root:x:0:0::/root:/bin/sh\nalertd2:x:7:7::/:\nalertd:x:998:997::/:/usr/sbin/nologin\n";
        assert_eq!((uid_of("alertd", users), uid_of("alert", users)), (Some(998), None));
        assert_eq!(uid_of("alertd", "alertd:x\nalertd:x:many:1\n"), None);
    }
}
