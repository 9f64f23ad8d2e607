//! Each crate that is compiled into the programs and has `unsafe` code, or that runs code of its own while it is compiled,
//! has a reason in `reasons.toml`. A new one has none, so that this fails until somebody has looked at it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::{TokenStream, TokenTree};
use serde_json::Value;

/// What a program prints.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What cargo prints. It needs no network: the crates were compiled before.
fn cargo(arguments: &[&str]) -> String {
    output(env!("CARGO"), &[arguments, &["--locked", "--offline"]].concat())
}

/// This machine's platform. Sources of crates for others need not be here.
fn platform() -> String {
    let about = output("rustc", &["-vV"]);
    about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// Name and version of each crate that is compiled for the programs, without alertd itself.
fn compiled() -> BTreeSet<(String, String)> {
    let tree = cargo(&["tree", "-e", "normal,build", "--prefix", "none", "-f", "{p}"]);
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    crates.filter(|(name, _)| name != env!("CARGO_PKG_NAME")).collect()
}

/// Whether a text of Rust has the word as code, not in a comment or a text.
fn has_unsafe(text: &str) -> bool {
    fn is_in(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Group(group) => is_in(group.stream()),
            TokenTree::Ident(word) => word == "unsafe",
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
    // What cannot be read counts as unsafe.
    text.contains("unsafe") && text.parse().map_or(true, is_in)
}

fn is_unsafe(directory: &Path) -> bool {
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            directories.push(path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    let has = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| has_unsafe(&text));
    files.iter().any(has) || directories.iter().any(|path| is_unsafe(path))
}

/// Why a crate needs a reason; none if it does not.
fn kinds(package: &Value) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for target in package["targets"].as_array().unwrap() {
        let is = |kind: &str| target["kind"].as_array().unwrap().iter().any(|own| own == kind);
        if is("custom-build") {
            kinds.push("a build script");
        } else if is("lib") || is("rlib") || is("proc-macro") {
            if is("proc-macro") {
                kinds.push("a procedural macro");
            }
            if is_unsafe(Path::new(target["src_path"].as_str().unwrap()).parent().unwrap()) {
                kinds.push("unsafe code");
            }
        }
    }
    kinds
}

#[test]
fn every_crate_with_unsafe_code_or_code_that_runs_when_it_is_compiled_has_a_reason() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/security");
    let reasons = fs::read_to_string(directory.join("reasons.toml")).unwrap();
    let mut reasons: BTreeMap<String, String> = toml::from_str(&reasons).unwrap();
    let metadata = cargo(&["metadata", "--format-version", "1", "--filter-platform", &platform()]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let compiled = compiled();
    assert!(compiled.len() > 100, "{}", compiled.len());
    let (mut missing, mut needed) = (Vec::new(), BTreeSet::new());
    for package in metadata["packages"].as_array().unwrap() {
        let [name, version] = ["name", "version"].map(|field| package[field].as_str().unwrap().to_owned());
        if !compiled.contains(&(name.clone(), version)) {
            continue;
        }
        let kinds = kinds(package);
        if !kinds.is_empty() && !reasons.contains_key(&name) {
            missing.push(format!("{name} ({})", kinds.join(", ")));
        }
        if !kinds.is_empty() {
            needed.insert(name);
        }
    }
    assert!(missing.is_empty(), "look at these and say in tests/security/reasons.toml why they may: {missing:#?}");
    reasons.retain(|name, reason| !needed.contains(name) || reason.len() < 12);
    assert!(reasons.is_empty(), "these need no reason, or have none: {reasons:#?}");
}

#[test]
fn the_word_counts_as_code_alone() {
    assert!(has_unsafe("fn f() { unsafe { g() } }") && has_unsafe("unsafe impl Send for X {}"));
    assert!(!has_unsafe("#![forbid(unsafe_code)]\n// unsafe\n/// unsafe\nfn f() -> &'static str { \"unsafe\" }"));
}
