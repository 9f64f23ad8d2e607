//! The check of a configuration before it is used: all that a start needs, except the stores themselves.
//!
//! Called by `alertd --check` and `alertctl config check`, and through the latter by the package before it restarts the
//! service. Run by root, it also checks what the service may do as its own user. It changes nothing.

use std::path::PathBuf;

use super::{secret, wall_clock};
use crate::config::{self, Config, EngineKind, Errors, Inputs, Resolved};
use crate::http::tls::Tls;
use crate::service::HTTP_RESERVE;
use crate::systemd::Unit;

/// Descriptors that a daemon needs besides its connections: sockets, segments of the log, and those of the runtime.
const OTHER_DESCRIPTORS: u64 = 256 + HTTP_RESERVE as u64;

/// A configuration that a start will accept, and remarks about it.
pub(crate) struct Checked {
    pub(crate) resolved: Resolved,
    pub(crate) remarks: Vec<String>,
}

/// Checks everything that a start reads before it opens the stores.
///
/// # Errors
/// All errors at once: those of the configuration, or, if it has none, those of what it refers to.
pub(crate) fn check(inputs: &Inputs) -> Result<Checked, Errors> {
    let resolved = config::load(inputs)?;
    let mut remarks: Vec<String> = resolved.ignored().into_iter().chain(resolved.warnings.iter().cloned()).collect();
    let file = resolved.file.clone().unwrap_or_else(|| inputs.default_file.clone());
    // Inside the service the process itself shows what it may read.
    let unit = is_superuser().then(|| Unit::of_configuration(&file)).flatten();
    let (mut errors, warning) = referred(&resolved.config, inputs, unit.as_ref());
    remarks.extend(warning);
    if let Some(unit) = &unit {
        errors.extend(forbidden(&resolved, unit));
        remarks.extend(unseen(inputs, unit));
    }
    let limit = unit.as_ref().map_or_else(own_descriptors, |unit| unit.number("LimitNOFILE"));
    remarks.extend(limit.and_then(|limit| too_many_connections(&resolved.config, limit)));
    if errors.is_empty() { Ok(Checked { resolved, remarks }) } else { Err(Errors(errors)) }
}

/// A remark about a limit of connections that the limit of descriptors cannot hold.
pub(super) fn too_many_connections(config: &Config, descriptors: u64) -> Option<String> {
    let connections = config.http.max_connections;
    (connections as u64 + OTHER_DESCRIPTORS > descriptors).then(|| {
        format!(
            "http.max_connections: {connections} connections need more than the {descriptors} descriptors that the \
             process may have; raise LimitNOFILE= (ulimit -n), or lower the setting"
        )
    })
}

/// The limit of descriptors of this process.
pub(super) fn own_descriptors() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// Errors in the files that the configuration refers to, and a warning about the certificate: one that has expired is no
/// reason to refuse a start, which would take away the service too.
fn referred(config: &Config, inputs: &Inputs, unit: Option<&Unit>) -> (Vec<String>, Option<String>) {
    let mut errors = Vec::new();
    let mut warning = None;
    match secret::certificate_files(config, inputs, unit) {
        Ok(None) => {}
        Ok(Some((cert, key))) => match Tls::load(&cert, &key) {
            Ok(tls) => warning = tls.certificate().and_then(|certificate| certificate.warning(wall_clock()())),
            Err(error) => errors.push(error.to_string()),
        },
        Err(error) => errors.push(error.to_string()),
    }
    let redis = &config.engine.redis;
    let mut secrets = vec![("hooks.github_secret_file", &config.hooks.github_secret_file)];
    if config.engine.kind == EngineKind::Redis {
        secrets.push(("engine.redis.password_file", &redis.password_file));
        let authorities = redis.tls_ca.as_ref().map(|path| secret::authorities(path));
        errors.extend(authorities.and_then(Result::err).map(|error| error.to_string()));
    }
    for (key, value) in secrets {
        // Outside the service, a credential is where systemd will take it from.
        let stored = unit.and_then(|unit| unit.credential(value)).map(|path| path.display().to_string());
        let read = secret::read(key, stored.as_ref().unwrap_or(value), inputs);
        errors.extend(read.err().map(|error| error.to_string()));
    }
    (errors, warning)
}

/// What the user of the service may not read or write.
fn forbidden(resolved: &Resolved, unit: &Unit) -> Vec<String> {
    let config = &resolved.config;
    let text = |path: &str| path.starts_with('/').then(|| PathBuf::from(path));
    let redis = (config.engine.kind == EngineKind::Redis).then_some(&config.engine.redis);
    let read = [
        ("the configuration", resolved.file.clone()),
        ("http.tls_cert", config.http.tls_cert.clone().filter(|path| path.is_absolute())),
        ("http.tls_key", config.http.tls_key.clone().filter(|path| path.is_absolute())),
        ("engine.redis.tls_ca", redis.and_then(|redis| redis.tls_ca.clone())),
        ("engine.redis.password_file", redis.and_then(|redis| text(&redis.password_file))),
        ("hooks.github_secret_file", text(&config.hooks.github_secret_file)),
    ];
    let written = [("state_dir", &config.state_dir), ("auth.store_dir", &config.auth.store_dir)];
    let Some(user) = unit.user() else { return Vec::new() };
    let mut errors = Vec::new();
    for (name, path) in read {
        let Some(path) = path.filter(|path| path.exists()) else { continue };
        if !unit.may(&user, "-r", &path) {
            errors.push(format!(
                "{name}: the user {user}, as which {unit} runs, may not read {}; change its owner, group or mode",
                path.display()
            ));
        }
    }
    for (name, path) in written {
        if !unit.may_write_below(path) {
            errors.push(format!(
                "{name}: {unit} may not write below {0}; add ReadWritePaths={0} to [Service] with `systemctl edit {unit}`",
                path.display()
            ));
        } else if path.exists() && !unit.may(&user, "-w", path) {
            errors.push(format!(
                "{name}: the user {user}, as which {unit} runs, may not write to {0}; chown -R {user}: {0}",
                path.display()
            ));
        }
    }
    // Both may be the same directory.
    errors.dedup_by(|a, b| a.split_once(": ").map(|(_, words)| words) == b.split_once(": ").map(|(_, words)| words));
    errors
}

/// Settings that the unit makes with variables, which only the service sees.
fn unseen(inputs: &Inputs, unit: &Unit) -> Option<String> {
    let is_known = |name: &str| inputs.env.iter().any(|(known, _)| known == name);
    let names: Vec<_> = unit.variables().filter(|name| name.starts_with("ALERTD_") && !is_known(name)).collect();
    let names = (!names.is_empty()).then(|| names.join(", "))?;
    Some(format!("not checked: {unit} also sets {names}, which this program does not see"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(text: &str) -> (tempfile::TempDir, Inputs) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("alertd.toml");
        let text = text.replace("DIR", &directory.path().display().to_string());
        std::fs::write(&file, format!("state_dir = \"{}\"\n{text}", directory.path().display())).unwrap();
        let env = vec![("HOME".into(), directory.path().into())];
        (directory, Inputs { file: Some(file), env, ..Inputs::default() })
    }

    #[test]
    fn all_errors_of_what_the_configuration_refers_to_are_reported_at_once() {
        let (_directory, inputs) = inputs(
            "[http]\ntls_cert = \"DIR/absent.pem\"\ntls_key = \"DIR/absent.key\"\n[hooks]\ngithub_secret_file = \"DIR/secret\"\n\
             [engine]\nkind = \"redis\"\n[engine.redis]\nhost = \"redis\"\ntls = true\ntls_ca = \"DIR/ca\"\npassword_file = \"password\"\n",
        );
        let errors = check(&inputs).err().unwrap().to_string();
        for name in
            ["http.tls_cert", "http.tls_key", "github_secret_file", "engine.redis.tls_ca", "engine.redis.password_file"]
        {
            assert!(errors.contains(name), "{name}: {errors}");
        }
    }

    #[test]
    fn more_connections_than_descriptors_are_remarked() {
        let (_directory, inputs) = inputs("[http]\nmax_connections = 1000000\n");
        let checked = check(&inputs).ok().unwrap();
        let config = &checked.resolved.config;
        assert!(too_many_connections(config, 20_000).unwrap().contains("20000 descriptors"));
        assert_eq!(too_many_connections(config, 1_000_000 + OTHER_DESCRIPTORS), None);
    }
}
