//! The example file and the man page, which are generated from the table of keys.

use super::*;

#[test]
fn the_shipped_files_have_the_defaults() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/alertd.example.toml");
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        fs::write(shipped, example()).unwrap();
    }
    assert_eq!(fs::read_to_string(shipped).unwrap(), example(), "run the tests once with UPDATE_EXAMPLE=1");
    let defaults = loaded("", &[]);
    for file in [example(), include_str!("../../../config/alertd.toml").to_owned()] {
        let resolved = loaded(&file, &[]);
        assert_eq!((resolved.config, resolved.warnings), (defaults.config.clone(), Vec::<String>::new()));
    }
    // With its commented settings enabled, the example still has the defaults of the system.
    let is_commented_key =
        |line: &&str| KEYS.iter().any(|key| line.starts_with(&format!("{} = ", key.name.rsplit('.').next().unwrap())));
    let uncommented: Vec<_> = example()
        .lines()
        .map(|line| line.strip_prefix("# ").filter(is_commented_key).unwrap_or(line).to_owned())
        .collect();
    let complete = loaded(&uncommented.join("\n"), &[]);
    assert_eq!(complete.config, defaults.config);
    assert_eq!(complete.sources().find(|(_, source)| **source == Source::Default), None);
}

#[test]
fn the_man_page_has_every_key_and_only_known_requests() {
    let page = man();
    for key in KEYS {
        assert!(page.contains(&format!("\n{}\n", variable(key.name))), "{}", key.name);
    }
    let requests = [".TH ", ".SH ", ".TP", ".PP", ".br", ".nf", ".fi"];
    for line in page.lines() {
        assert!(
            !line.starts_with('\'') && (!line.starts_with('.') || requests.iter().any(|r| line.starts_with(r))),
            "{line}"
        );
    }
    assert_eq!(page.matches(" (restart)\n").count(), KEYS.iter().filter(|key| key.apply == Apply::Restart).count());
}
