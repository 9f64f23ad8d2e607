//! A store as alertd wrote it before its log had segments: a B-tree file of the library redb.

use std::path::Path;

use redb::{Database, TableDefinition};
use sha2::{Digest, Sha256};

fn id_bytes(ms: u64) -> [u8; 16] {
    (u128::from(ms) << 64).to_le_bytes()
}

/// The topic of the alert with this number.
pub fn topic(number: usize) -> String {
    format!("ops.t{}", number % 50)
}

/// The message of the alert with this number.
pub fn message(number: usize) -> String {
    format!("alert number {number} of the earlier store")
}

/// Writes a store of `count` alerts of the last minutes, and returns their ids and their JSON. The first `keyed` alerts
/// have the idempotency keys `key-0` and so on of this user.
pub fn write(path: &Path, count: usize, keyed: usize, user: &str) -> Vec<(String, String)> {
    let now = jiff::Timestamp::now().as_millisecond() as u64;
    let ms = |number: usize| now - 600_000 + number as u64;
    let transaction = Database::create(path).unwrap();
    let transaction = transaction.begin_write().unwrap();
    let mut alerts = Vec::with_capacity(count);
    {
        let mut log = transaction.open_table(TableDefinition::<u128, &[u8]>::new("log")).unwrap();
        let mut keys = transaction.open_table(TableDefinition::<&[u8; 32], &[u8]>::new("idempotency")).unwrap();
        for number in 0..count {
            let (topic, message, received) = (topic(number), message(number), ms(number));
            let time = jiff::Timestamp::from_millisecond(received as i64).unwrap();
            let json = format!(
                r#"{{"id":"{received}-0","topic":"{topic}","message":"{message}","level":"warn","metadata":{{}},"received_at":"{time:.3}"}}"#
            );
            let mut value = vec![1];
            value.extend_from_slice(&received.to_le_bytes());
            value.push(topic.len() as u8);
            value.extend_from_slice(topic.as_bytes());
            value.extend_from_slice(json.as_bytes());
            log.insert(u128::from(received) << 64, value.as_slice()).unwrap();
            if number < keyed {
                let hash: [u8; 32] = Sha256::digest(format!("{user}\0key-{number}")).into();
                let content = format!(r#"["{topic}","warn","{message}"]{{}}"#);
                let mut value = Sha256::digest(content).to_vec();
                value.extend_from_slice(&id_bytes(received));
                value.extend_from_slice(&received.to_le_bytes());
                keys.insert(&hash, value.as_slice()).unwrap();
            }
            alerts.push((format!("{received}-0"), json));
        }
        let mut topics = transaction.open_table(TableDefinition::<&str, &[u8]>::new("topics")).unwrap();
        for number in 0..50 {
            let mut row = [number as u64, (count / 50) as u64].map(u64::to_le_bytes).concat();
            // The newest of each level, and what the limit of the topic removed.
            [0, ms(count - 50 + number), 0, 0].iter().for_each(|&ms| row.extend_from_slice(&id_bytes(ms)));
            topics.insert(topic(number).as_str(), row.as_slice()).unwrap();
        }
        transaction.open_table(TableDefinition::<u128, ()>::new("removed")).unwrap();
        let mut row = [ms(count - 1), 0, 0, 0].map(id_bytes).concat();
        for value in [count as u64, 0, 50, 50, ms(count - 1), 1, 1] {
            row.extend_from_slice(&value.to_le_bytes());
        }
        let mut state = transaction.open_table(TableDefinition::<&str, &[u8]>::new("state")).unwrap();
        state.insert("v1", row.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    alerts
}
