//! Layers point downwards only: each module imports modules of lower layers, or of its own.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom to the top; modules of one layer do not know each other.
const LAYERS: &[&[&str]] = &[
    &["text"],
    &["alert", "log", "systemd"],
    &["chunked", "histogram", "hooks", "key", "sse"],
    &["api"],
    &["engine", "hub", "keyring"],
    &["service"],
    &["metrics"],
    &["config", "http"],
    &["ctl", "daemon"],
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The modules of this crate that a text names: `crate::x`, `crate::{x, y::…}`.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let group = rest.strip_prefix('{').map_or(rest, |rest| rest.split('}').next().unwrap());
        let is_group = rest.starts_with('{');
        for item in group.split(',').take(if is_group { usize::MAX } else { 1 }) {
            let name = item.trim().split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn each_module_imports_only_what_lies_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "bin"].contains(&module) {
            continue;
        }
        let own = layer(module).unwrap_or_else(|| panic!("{module} is in no layer"));
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            let Some(other) = layer(&import) else { continue };
            if import != module && other >= own {
                wrong.push(format!("{}: imports {import}, which is not below {module}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pure_values_know_no_clock_environment_or_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![root.join("sse.rs"), root.join("chunked.rs")];
    sources(&root.join("api"), &mut files);
    sources(&root.join("alert"), &mut files);
    sources(&root.join("hooks"), &mut files);
    sources(&root.join("key"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for banned in
            ["std::env", "std::fs", "std::net", "std::time::", "Timestamp::now", "tokio::", "getrandom", "tracing::"]
        {
            assert!(!text.contains(banned), "{} uses {banned}", file.display());
        }
    }
}

#[test]
fn a_file_is_one_idea() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let long: Vec<_> = files
        .iter()
        .map(|file| (fs::read_to_string(file).unwrap().lines().count(), file))
        .filter(|(lines, _)| *lines > 600)
        .collect();
    assert!(long.is_empty(), "over 600 lines: {long:?}");
    let undocumented: Vec<_> = files
        .iter()
        .filter(|file| !file.ends_with("tests.rs") && !fs::read_to_string(file).unwrap().starts_with("//!"))
        .collect();
    assert!(undocumented.is_empty(), "without a word on what they own: {undocumented:?}");
}
