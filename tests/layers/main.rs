//! The shape of the source: imports point downwards only, files have no import cycle, and files and functions are
//! short. `src/lib.rs` says what the layers are; `examples` shows each check failing, on a small tree in memory.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod examples;
mod imports;
mod rules;
mod size;
mod table;
mod tree;

use std::path::Path;

use table::Layers;
use tree::Tree;

fn source() -> Tree {
    Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

fn layers(tree: &Tree) -> Layers {
    Layers::read(&tree.source("lib.rs").text)
}

#[track_caller]
fn none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn the_table_names_every_module() {
    let source = source();
    none(&rules::strangers(&source, &layers(&source)));
}

#[test]
fn each_module_imports_only_what_lies_below_it_or_beside_it() {
    let source = source();
    none(&rules::upward_imports(&source, &layers(&source)));
}

#[test]
fn modules_do_not_import_each_other() {
    none(&rules::module_cycles(&source()));
}

#[test]
fn files_do_not_import_each_other() {
    none(&rules::file_cycles(&source()));
}

#[test]
fn files_are_short() {
    none(&size::long_files(&source()));
}

#[test]
fn files_say_what_they_own() {
    none(&size::undocumented_files(&source()));
}

#[test]
fn functions_are_short() {
    none(&size::long_functions(&source()));
}

#[test]
fn pure_values_know_no_clock_environment_or_file() {
    let pure = ["alert", "api", "chunked", "hooks", "key", "sse"];
    let banned =
        ["std::env", "std::fs", "std::net", "std::time::", "Timestamp::now", "tokio::", "getrandom", "tracing::"];
    for source in source().sources {
        let Some(module) = source.module.first().filter(|module| pure.contains(&module.as_str())) else { continue };
        for banned in banned {
            assert!(!source.text.contains(banned), "{}: {module} uses {banned}", source.name);
        }
    }
}
