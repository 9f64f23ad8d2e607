//! The package's own tests, run by Debian's autopkgtest on a booted machine of each release.

use std::path::Path;
use std::process::Command;

use super::machine::{Machine, package};
use super::on_each_release;
use crate::harness::told;

/// What autopkgtest reads of a source package: the names of its packages, the version, and the tests.
fn source(directory: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let debian = directory.join("debian");
    std::fs::create_dir_all(debian.join("tests")).unwrap();
    for test in ["control", "smoke"] {
        std::fs::copy(root.join("packaging/debian/tests").join(test), debian.join("tests").join(test)).unwrap();
    }
    let control =
        "Source: alertd\nMaintainer: nobody <nobody@localhost>\n\nPackage: alertd\nArchitecture: any\nDescription: x\n";
    std::fs::write(debian.join("control"), control).unwrap();
    // With this file the source counts as built, so that no tools to unpack it are needed on the machine.
    std::fs::write(debian.join("files"), "").unwrap();
    let changelog = Command::new(root.join("packaging/changelog")).output().unwrap();
    assert!(changelog.status.success(), "{}", told(&changelog));
    std::fs::write(debian.join("changelog"), changelog.stdout).unwrap();
}

on_each_release! {
    fn the_packages_own_tests_pass_under_autopkgtest(machine: &Machine) {
        // The machine only made sure that its release is there; autopkgtest boots one of its own.
        let directory = tempfile::tempdir().unwrap();
        source(directory.path());
        let output = Command::new("autopkgtest")
            .arg("--no-built-binaries")
            .arg(package())
            .arg(directory.path())
            .arg("--")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/systemd/autopkgtest-virt-box"))
            .arg(machine.release)
            .output()
            .unwrap();
        let said = told(&output);
        assert!(output.status.success() && said.contains("smoke                PASS"), "{said}");
    }
}
