//! The threat model in `packaging/doc/security.md`: each row names tests, and each of them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The part of the document.
const HEADING: &str = "## Who may reach what";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the table below a heading, without its head.
fn rows<'d>(document: &'d str, heading: &str) -> Vec<Vec<&'d str>> {
    let (_, section) = document.split_once(heading).unwrap_or_else(|| panic!("{heading} is not there"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    rows.skip(2).map(|row| row.split('|').map(str::trim).collect()).collect()
}

/// What is written as code in a cell.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The functions of the source that are tests.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for directory in ["src", "tests"] {
        collect(&root().join(directory), &mut found);
    }
    found
}

fn collect(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(tests_of(&fs::read_to_string(&path).unwrap()));
        }
    }
}

fn tests_of(text: &str) -> Vec<String> {
    let mut is_test = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some(name) = function.and_then(|rest| rest.split('(').next())
            && std::mem::take(&mut is_test)
        {
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn every_threat_names_tests_and_each_of_them_exists() {
    let document = fs::read_to_string(root().join("packaging/doc/security.md")).unwrap();
    let tests = tests();
    let rows = rows(&document, HEADING);
    assert!(rows.len() >= 11, "{} rows", rows.len());
    for row in rows {
        let [who, _, _, named] = row[..] else { panic!("{row:?}") };
        let named = names(named);
        assert!(!named.is_empty(), "no test is named for {who}");
        let missing: Vec<_> = named.iter().filter(|name| !tests.contains(**name)).collect();
        assert!(missing.is_empty(), "{who}: there are no tests {missing:?}");
    }
}

#[test]
fn a_test_is_known_by_its_attribute_and_a_row_by_its_section() {
    let text =
        "#[test]\nfn one() {}\n    #[tokio::test(start_paused = true)]\n    async fn two() {}\nfn no_test() {}\n";
    assert_eq!(tests_of(text), ["one", "two"]);
    let document = "## A\n| x | y |\n|---|---|\n| a | `b`, `c` |\n\n## B\n| x |\n|---|\n| d |\n";
    assert_eq!(rows(document, "## A"), [["a", "`b`, `c`"]]);
    assert_eq!(names("`b`, `c` and d"), ["b", "c"]);
}
