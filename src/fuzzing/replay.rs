//! The stored inputs, fed to their targets in the ordinary test run: what a fuzzer found once is never found again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{TARGETS, run};

/// More is for the machines of those who fuzz: the inputs are in the repository.
const MAX_FILES: usize = 60;
const MAX_BYTES: u64 = 120 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_target_has_a_program_and_stored_inputs() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len());
    let programs = names(&fuzz().join("targets")).into_iter().map(|name| name.replace(".rs", "")).collect();
    assert_eq!((&targets, &targets), (&programs, &names(&fuzz().join("corpus"))));
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in targets {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is not in the manifest");
        let program = fs::read_to_string(fuzz().join(format!("targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("run(\"{name}\", input)")), "the program {name} runs another target");
    }
}

#[test]
fn no_stored_input_breaks_what_must_hold() {
    for (target, _) in TARGETS {
        let directory = fuzz().join("corpus").join(target);
        let files = names(&directory);
        let bytes: u64 = files.iter().map(|name| fs::metadata(directory.join(name)).unwrap().len()).sum();
        assert!(
            (1..=MAX_FILES).contains(&files.len()) && bytes <= MAX_BYTES,
            "{target}: {} files, {bytes} bytes",
            files.len()
        );
        for file in files {
            let path = directory.join(file);
            let input = fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| run(target, &input));
            assert!(outcome.is_ok(), "the input is {}", path.display());
        }
    }
}

#[test]
#[should_panic(expected = "there is no target")]
fn an_unknown_target_is_refused() {
    run("nothing", b"");
}
