//! The apt repository of `make apt-repository`, as a machine uses it that trusts its key and no other.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::machine::{Machine, newer, package};
use super::on_each_release;
use crate::harness::told;

/// Fetches from the repository alone; a machine has no network to reach another one.
const APT: &str =
    "apt-get -q -o Dir::Etc::SourceList=/etc/apt/sources.list.d/alertd.sources -o Dir::Etc::SourceParts=/dev/null";

/// A repository below a directory of its own, and the keys of who maintains it.
struct Repository {
    directory: tempfile::TempDir,
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.keys()).args(["--kill", "all"]).output();
    }
}

impl Repository {
    fn new() -> Self {
        let repository = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::create_dir(repository.keys()).unwrap();
        let made = Command::new("chmod").arg("700").arg(repository.keys()).status().unwrap();
        assert!(made.success());
        for user in ["releases@alertd.test", "stranger@alertd.test"] {
            let made = repository.gpg(&["--passphrase", "", "--quick-generate-key", user, "ed25519", "sign", "never"]);
            assert!(made.status.success(), "{}", told(&made));
        }
        repository
    }

    fn keys(&self) -> PathBuf {
        self.directory.path().join("keys")
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("repository")
    }

    fn gpg(&self, arguments: &[&str]) -> Output {
        Command::new("gpg").arg("--batch").env("GNUPGHOME", self.keys()).args(arguments).output().unwrap()
    }

    /// Runs `make apt-repository` where this package is the only one that was built.
    fn try_add(&self, key: &str, package: &Path) -> Output {
        let target = tempfile::tempdir().unwrap();
        let built = target.path().join("debian");
        std::fs::create_dir(&built).unwrap();
        std::fs::copy(package, built.join(package.file_name().unwrap())).unwrap();
        self.make(target.path(), &[&format!("DIRECTORY={}", self.path().display()), &format!("KEY={key}")])
    }

    fn make(&self, target: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new("make");
        command.args(["--silent", "-C", env!("CARGO_MANIFEST_DIR"), "apt-repository"]).args(arguments);
        command.env("CARGO_TARGET_DIR", target).env("GNUPGHOME", self.keys()).env_remove("MAKEFLAGS").output().unwrap()
    }

    fn add(&self, key: &str, package: &Path) {
        let added = self.try_add(key, package);
        assert!(added.status.success(), "{}", told(&added));
    }

    /// Copies it to the machine, as a web server has it.
    fn publish(&self, machine: &Machine) {
        let archive = self.directory.path().join("archive.tar");
        let made = Command::new("tar").arg("-C").arg(self.path()).arg("-cf").arg(&archive).arg(".").status().unwrap();
        assert!(made.success());
        machine.put(&archive, "/root/archive.tar");
        machine.sh("rm -rf /srv/apt; mkdir -p /srv/apt; tar -C /srv/apt --no-same-owner -xf /root/archive.tar");
    }
}

/// Lists the repository on the machine; the key is the one that is there at this time.
fn trust(machine: &Machine) {
    machine.sh("install -D -m 644 /srv/apt/alertd.asc /etc/apt/keyrings/alertd.asc
        sed 's|https://ADDRESS|file:/srv/apt|' /srv/apt/alertd.sources >/etc/apt/sources.list.d/alertd.sources");
}

fn refused(machine: &Machine, command: &str, words: &[&str]) {
    let output = machine.try_sh(&format!("{APT} {command} 2>&1"));
    let text = told(&output);
    assert!(!output.status.success() && words.iter().any(|word| text.contains(word)), "{command}: {text}");
}

on_each_release! {
    fn alertd_is_installed_and_upgraded_from_a_signed_repository_and_nothing_else_is_taken(machine: &Machine) {
        let repository = Repository::new();
        repository.add("releases@alertd.test", package());
        repository.publish(machine);
        trust(machine);
        machine.sh(&format!("{APT} -o APT::Update::Error-Mode=any update && {APT} install -y alertd"));
        assert_eq!(machine.sh("curl -sS http://127.0.0.1:8080/livez"), "alive");
        let shown = machine.sh("apt-cache policy alertd");
        assert!(shown.contains("0.1.0-1") && shown.contains("file:/srv/apt stable/main"), "{shown}");
        // The next version comes beside it, and both can be had.
        repository.add("releases@alertd.test", newer());
        repository.publish(machine);
        machine.sh(&format!("{APT} update && {APT} upgrade -y"));
        assert_eq!(machine.sh("dpkg-query -W -f '${Version}' alertd"), "0.2.0-1");
        machine.sh(&format!("{APT} install -y --allow-downgrades alertd=0.1.0-1"));
        // A package whose bytes are not the ones that were signed.
        machine.sh("printf x >>/srv/apt/pool/main/a/alertd/alertd_0.2.0-1_amd64.deb");
        refused(machine, "install -y alertd=0.2.0-1", &["Hash Sum mismatch", "unexpected size", "File has unexpected size"]);
        assert_eq!(machine.sh("dpkg-query -W -f '${Version}' alertd"), "0.1.0-1");
        // A list that was changed, and one that somebody else signed.
        repository.publish(machine);
        machine.sh("sed -i 's/^Suite: .*/Suite: other/' /srv/apt/dists/stable/InRelease && rm /srv/apt/dists/stable/Release.gpg");
        refused(machine, "-o APT::Update::Error-Mode=any update", &["signature", "not signed", "BADSIG", "OpenPGP"]);
        repository.add("stranger@alertd.test", package());
        repository.publish(machine);
        refused(machine, "-o APT::Update::Error-Mode=any update", &["NO_PUBKEY", "Missing key", "not signed"]);
    }
}

#[test]
fn a_version_in_a_repository_never_gets_other_bytes_and_a_key_has_to_be_there() {
    let repository = Repository::new();
    let unknown = repository.try_add("nobody@alertd.test", package());
    assert!(
        !unknown.status.success() && told(&unknown).contains("no secret key nobody@alertd.test"),
        "{}",
        told(&unknown)
    );
    repository.add("releases@alertd.test", package());
    repository.add("releases@alertd.test", package());
    let changed = repository.directory.path().join("alertd_changed.deb");
    let mut bytes = std::fs::read(package()).unwrap();
    bytes.push(b'\n');
    std::fs::write(&changed, bytes).unwrap();
    let refused = repository.try_add("releases@alertd.test", &changed);
    assert!(!refused.status.success() && told(&refused).contains("higher version"), "{}", told(&refused));
    // Without a directory, a key or a package it says what it takes.
    let nothing_is_built = repository.keys();
    let directory = format!("DIRECTORY={}", repository.path().display());
    for arguments in [&[][..], &[&*directory], &[&*directory, "KEY=releases@alertd.test"]] {
        let usage = repository.make(&nothing_is_built, arguments);
        let said = told(&usage);
        assert!(!usage.status.success() && said.contains("apt-repository DIRECTORY KEY PACKAGE..."), "{said}");
    }
    // What is there is as it was.
    let packages = std::fs::read_to_string(repository.path().join("dists/stable/main/binary-amd64/Packages")).unwrap();
    assert_eq!(packages.matches("Package: alertd").count(), 1);
}
