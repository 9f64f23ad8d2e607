//! Damage of every kind to the key file: no key gets other rights, and each one that is gone is named, or the file is refused.

use std::collections::HashMap;
use std::fs;

use serde_json::Map;

use super::KeyringError;
use super::file_store::FileStore;
use super::record::{Algorithm, KeyRecord, derive, time};
use super::stored::StoredKeys;
use crate::key::{Scope, secret};
use crate::random::Random;

const KEYS: u8 = 24;

fn record(number: u8) -> KeyRecord {
    let scopes = [Scope::Publish, Scope::Subscribe, Scope::Admin];
    KeyRecord {
        id: secret::id([number; 10]),
        user: format!("user{}", number % 5),
        scopes: scopes[..1 + usize::from(number) % 3].to_vec(),
        topics: vec![format!("ops.t{number}").parse().unwrap(), "*".parse().unwrap()],
        label: number.is_multiple_of(2).then(|| format!("label {number}")),
        created_at: time(1_795_455_190_123),
        expires_at: number.is_multiple_of(3).then(|| time(1_895_455_190_000)),
        imported: false,
        successor: None,
        algorithm: Algorithm::default(),
        iterations: 10_000,
        salt: format!("{number:02x}").repeat(16),
        hash: derive(&number.to_string(), "", 1),
        tag: Some(format!("{number:02x}").repeat(16)),
        unknown: Map::new(),
    }
}

/// Does one kind of damage, and says which.
fn corrupt(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let at = random.index(bytes.len());
    let size = [64, 512, 4096][random.index(3)];
    let page = |at: usize| at / size * size..((at / size + 1) * size).min(bytes.len());
    let kind = random.index(7);
    match kind {
        0 => bytes[at] ^= 1 << random.index(8),
        1 => bytes[at] = u8::try_from(random.index(256)).unwrap(),
        2 => {
            let page = page(at);
            bytes[page].fill(0);
        }
        3 => page(at).for_each(|at| bytes[at] = u8::try_from(random.index(256)).unwrap()),
        4 => bytes.truncate(at),
        5 => {
            let (a, b) = (page(at), page(random.index(bytes.len())));
            if a.len() == b.len() {
                let kept = bytes[a.clone()].to_vec();
                bytes.copy_within(b.clone(), a.start);
                bytes[b].copy_from_slice(&kept);
            }
        }
        // A page of elsewhere in its place, as after a write that went astray.
        _ => {
            let (a, b) = (page(at), page(random.index(bytes.len())));
            let length = a.len().min(b.len());
            bytes.copy_within(b.start..b.start + length, a.start);
        }
    }
    format!("damage {kind} of {size} bytes at {at}")
}

#[test]
fn damage_to_the_key_file_gives_no_key_other_rights_and_takes_none_without_a_word() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, runs) = (variable("ALERTD_TEST_SEED").unwrap_or(1), variable("ALERTD_TEST_RUNS").unwrap_or(1) * 600);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.json");
    let keys: Vec<_> = (0..KEYS).map(record).collect();
    let by_id: HashMap<_, _> = keys.iter().map(|key| (key.id.clone(), key.clone())).collect();
    FileStore::open(directory.path()).unwrap().save(&StoredKeys { usable: keys, ..StoredKeys::default() }).unwrap();
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut named) = (0, 0);
    for seed in first..first + runs {
        let mut bytes = whole.clone();
        let at = format!("seed {seed}: {}", corrupt(&mut bytes, &mut Random::new(seed)));
        fs::write(&path, &bytes).unwrap();
        let found = FileStore::open(directory.path()).unwrap().load();
        assert_eq!(fs::read(&path).unwrap(), bytes, "{at}: the file was changed");
        match found {
            Ok(found) => {
                for key in &found.usable {
                    // If only the name of the checksum and that of the number of keys are damaged.
                    let known = KeyRecord { unknown: Map::new(), ..key.clone() };
                    assert!(by_id.get(&key.id) == Some(&known), "{at}: the key {} is another one", key.id);
                }
                // The journal says so then.
                assert!(
                    found.len() == usize::from(KEYS) || found.loss().is_some(),
                    "{at}: a key is gone without a word"
                );
                named += found.unusable.len();
            }
            Err(
                error @ (KeyringError::Foreign { .. } | KeyringError::Version { .. } | KeyringError::Damaged { .. }),
            ) => {
                assert!(error.to_string().contains("auth.json"), "{at}: {error}");
                refused += 1;
            }
            Err(error) => panic!("{at}: {error}"),
        }
    }
    assert!(refused > 0 && named > 0, "{refused} files were refused, and {named} keys were named");
}
