//! What the package itself says: its description, its documents and their links, and the notes for upgrades.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::machine::package;
use crate::harness::told;

/// What a command prints about the package or a file of it.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The package, unpacked.
fn unpacked() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    output("dpkg-deb", &["-x", package().to_str().unwrap(), directory.path().to_str().unwrap()]);
    directory
}

/// The targets of the links in a document, without those in code.
fn links(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        if !is_code && !line.starts_with("    ") {
            let ends = plain.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            found.extend(ends.map(|(target, _)| target.to_owned()));
        }
    }
    found
}

/// The fragment that leads to a heading.
fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    kept.replace(' ', "-")
}

fn assert_leads_somewhere(document: &Path, target: &str) {
    let (file, fragment) = target.split_once('#').map_or((target, None), |(file, fragment)| (file, Some(fragment)));
    let path = if file.is_empty() { document.to_owned() } else { document.parent().unwrap().join(file) };
    assert!(path.exists(), "{}: {target}", document.display());
    if let Some(fragment) = fragment {
        let text = std::fs::read_to_string(&path).unwrap();
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let mut slugs = headings.map(|line| slug(line.trim_start_matches('#').trim()));
        assert!(slugs.any(|slug| slug == fragment), "{}: {target}", document.display());
    }
}

/// F20.
#[test]
fn every_relative_link_of_the_installed_documents_leads_to_a_file_that_is_installed() {
    let tree = unpacked();
    let documents = tree.path().join("usr/share/doc/alertd");
    let mut followed = BTreeSet::new();
    for entry in std::fs::read_dir(&documents).unwrap() {
        let path = entry.unwrap().path();
        let is_changelog = path.ends_with("changelog.gz");
        if is_changelog || path.extension().is_some_and(|extension| extension == "md") {
            // zcat -f prints what is not compressed as it is.
            let text = output("zcat", &["-f", path.to_str().unwrap()]);
            for target in links(&text).into_iter().filter(|target| !target.contains("://")) {
                assert_leads_somewhere(&path, &target);
                followed.insert(target);
            }
        }
    }
    for expected in ["operations.md", "changelog.gz", "copyright", "examples/alertd.toml", "overview.svg", "page.png"] {
        assert!(followed.contains(expected), "{expected}: {followed:?}");
    }
}

/// F20: apt shows one line of at most 80 characters, which ended in the middle of the sentence.
#[test]
fn the_synopsis_is_one_whole_line() {
    let description = output("dpkg-deb", &["-f", package().to_str().unwrap(), "Description"]);
    assert_eq!(description.lines().next().unwrap(), env!("CARGO_PKG_DESCRIPTION"));
    assert!(env!("CARGO_PKG_DESCRIPTION").len() <= 80);
}

/// cargo-deb leaves out the one of `libgcc_s.so.1`.
#[test]
fn it_depends_on_the_package_of_each_library_that_its_programs_load() {
    let tree = unpacked();
    std::fs::create_dir(tree.path().join("debian")).unwrap();
    std::fs::write(tree.path().join("debian/control"), "").unwrap();
    let found =
        Command::new("dpkg-shlibdeps").args(["-O", "usr/bin/alertd", "usr/bin/alertctl"]).current_dir(&tree).output();
    let found = String::from_utf8(found.unwrap().stdout).unwrap();
    let needed =
        found.trim().strip_prefix("shlibs:Depends=").unwrap().split(", ").map(|one| one.split(' ').next().unwrap());
    let depends = output("dpkg-deb", &["-f", package().to_str().unwrap(), "Depends"]);
    let packages: BTreeSet<_> = depends.split(", ").map(|one| one.trim().split(' ').next().unwrap()).collect();
    for package in needed.chain(["libc6", "libgcc-s1"]) {
        assert!(packages.contains(package), "{package}: {depends}");
    }
}

#[test]
fn the_notes_for_upgrades_are_those_of_a_version_in_the_changelog() {
    let tree = unpacked();
    let file = |name: &str| tree.path().join("usr/share/doc/alertd").join(name).to_str().unwrap().to_owned();
    let read = |name: &str| {
        let plain = file(&name.replace(".gz", ""));
        std::fs::write(&plain, output("zcat", &[&file(name)])).unwrap();
        output("dpkg-parsechangelog", &["-l", &plain, "--all", "--show-field", "Version"])
    };
    let (notes, changes) = (read("NEWS.Debian.gz"), read("changelog.Debian.gz"));
    let changes: Vec<_> = changes.lines().collect();
    assert!(!notes.trim().is_empty() && notes.lines().all(|version| changes.contains(&version)), "{notes} {changes:?}");
    // What a person has to know before an upgrade is in the changelog, word for word where it has a name.
    let notes = output("zcat", &[&file("NEWS.Debian.gz")]);
    let changelog =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/CHANGELOG.md")).unwrap();
    for name in [
        "alertd_streams{transport}",
        "alertd_pbkdf2_queue{pool}",
        "engine.server_warnings",
        "hub.streams",
        "limits.failed_auth_rate",
        "http.heartbeat",
        "PrivateUsers=yes",
    ] {
        assert!(notes.contains(name) && changelog.contains(name), "{name}");
    }
}
