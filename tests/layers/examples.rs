//! Each rule, shown to fail once on a small tree in memory, and to accept what only looks like a violation.

use crate::rules;
use crate::size;
use crate::table::Layers;
use crate::tree::Tree;

const TABLE: &str = "//! | layer | module | job |\n//! |---|---|---|\n//! | top | [`web`] | a |\n//! | ground | [`text`] | b |\n//! | | [`net`] | c |\n";

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::of(files)
}

#[test]
fn a_module_outside_the_table_and_a_row_without_a_module_are_violations() {
    let tree = tree(&[("web.rs", ""), ("text.rs", ""), ("odd.rs", "")]);
    let found = rules::strangers(&tree, &Layers::read(TABLE));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("odd:") && found[1].starts_with("net:"), "{found:?}");
}

#[test]
fn an_upward_import_is_a_violation_in_any_form() {
    for text in [
        "use crate::web::Page;",
        "use crate::{net, web::Page};",
        "fn f() { crate::web::show(); }",
        "fn f() { log!(\"{}\", crate::web::NAME); }",
        "mod inner { use super::super::web::Page; }",
        "#[cfg(test)] mod tests { use crate::web::Page; }",
    ] {
        let web = "pub struct Page; pub fn show() {} pub const NAME: &str = \"\";";
        let tree = tree(&[("web.rs", web), ("text.rs", text), ("net.rs", "")]);
        assert_eq!(rules::upward_imports(&tree, &Layers::read(TABLE)).len(), 1, "{text}");
    }
}

#[test]
fn a_downward_import_is_no_violation() {
    let tree = tree(&[("web.rs", "use crate::text::cut;"), ("text.rs", "use crate::net::A;"), ("net.rs", "")]);
    assert_eq!(rules::upward_imports(&tree, &Layers::read(TABLE)), [""; 0]);
    assert_eq!(rules::module_cycles(&tree), [""; 0]);
}

#[test]
fn modules_of_one_layer_that_import_each_other_are_a_violation() {
    let text = ("text.rs", "use crate::net::A; pub struct B;");
    let tree = tree(&[("net/mod.rs", "mod a; pub struct A;"), ("net/a.rs", "use crate::text::B;"), text]);
    assert_eq!(rules::module_cycles(&tree).len(), 1);
    assert_eq!(rules::file_cycles(&tree), [""; 0], "no file is in a cycle");
}

#[test]
fn files_that_import_each_other_are_a_violation_also_through_a_parent() {
    let parent = ("net/mod.rs", "mod a; mod b; pub use a::A; use b::*;");
    let direct = [parent, ("net/a.rs", "use super::b::B; pub struct A;"), ("net/b.rs", "use super::A; pub struct B;")];
    assert_eq!(rules::file_cycles(&tree(&direct)).len(), 1);
    let glob =
        [parent, ("net/a.rs", "use super::B; pub struct A;"), ("net/b.rs", "use crate::net::a::A; pub struct B;")];
    assert_eq!(rules::file_cycles(&tree(&glob)).len(), 1);
}

#[test]
fn a_parent_that_declares_and_re_exports_its_children_is_no_cycle() {
    let parent = ("net/mod.rs", "mod a; mod b; pub use a::A; pub struct Shared;");
    let tree = tree(&[parent, ("net/a.rs", "use super::Shared; pub struct A;"), ("net/b.rs", "use super::A;")]);
    assert_eq!(rules::file_cycles(&tree), [""; 0]);
}

#[test]
fn imports_of_tests_make_no_cycle() {
    let test = "#[cfg(test)] mod tests { use crate::text::B; }";
    let tree = tree(&[("net.rs", &format!("pub struct A; {test}")), ("text.rs", "use crate::net::A; pub struct B;")]);
    assert_eq!(rules::file_cycles(&tree), [""; 0]);
}

#[test]
fn a_long_file_is_a_violation() {
    let file = |lines: usize| tree(&[("net.rs", &"\n".repeat(lines))]);
    assert_eq!(size::long_files(&file(350)), [""; 0]);
    assert_eq!(size::long_files(&file(351)), ["net.rs: 351 lines, at most 350"]);
}

#[test]
fn a_file_without_module_documentation_is_a_violation() {
    let tree = tree(&[("lib.rs", "//! Says something.\n#[cfg(test)] mod tests;"), ("tests.rs", ""), ("net.rs", "")]);
    assert_eq!(size::undocumented_files(&tree), ["net.rs: no //! at its top"]);
}

#[test]
fn a_long_function_is_a_violation_but_in_tests() {
    let lines = |lines: usize| format!("fn long() {{{}}}", "\n".repeat(lines - 1));
    assert_eq!(size::long_functions(&tree(&[("net.rs", &lines(60))])), [""; 0]);
    let found = size::long_functions(&tree(&[("net.rs", &lines(61))]));
    assert_eq!(found, ["net.rs:1: long has 61 lines, at most 60"]);
    let method = format!("struct A; impl A {{ {} }}", lines(61));
    assert_eq!(size::long_functions(&tree(&[("net.rs", &method)])).len(), 1);
    let test = format!("#[cfg(test)] mod tests {{ {} }} #[test] {}", lines(61), lines(61));
    assert_eq!(size::long_functions(&tree(&[("net.rs", &test)])), [""; 0]);
}
