//! Programs in Python that are not in the distribution.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{announce, told};

/// The programs of a virtual environment below `target/` with these packages; kept between runs.
pub fn python(directory: &str, packages: &[&str]) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(directory);
    let programs = directory.join("bin");
    std::fs::create_dir_all(&directory).unwrap();
    // Another test that wants the same packages waits: a half-installed environment looks complete.
    let lock = File::create(directory.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !programs.join("pip").exists() {
        announce(&format!("installing Python packages into {}: {}", directory.display(), packages.join(", ")));
        run(Command::new("python3").args(["-m", "venv"]).arg(&directory));
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(programs.join("python")).args(install).args(packages));
    programs
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", told(&output));
}
