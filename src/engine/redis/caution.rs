//! What a server's own settings can lose of what was answered.
//!
//! Asked by the follower whenever it connects. A server that says nothing of a setting gives no reason to worry about it.

use redis::aio::MultiplexedConnection;

use super::codec::info;

/// Clocks that are further apart are worth a word, seconds.
const SKEW: u64 = 10;

/// Notes for the operator, each with its remedy. `local_ms` is the time of this node.
pub(super) async fn of(connection: &mut MultiplexedConnection, local_ms: u64) -> Vec<String> {
    let mut ask = redis::pipe();
    ask.cmd("INFO").arg("persistence");
    ask.cmd("INFO").arg("memory");
    ask.cmd("TIME");
    type Answers = (String, String, (u64, u64));
    let Ok((persistence, memory, (time, _))) = ask.query_async::<Answers>(connection).await else { return Vec::new() };
    // An ACL may well keep this one from us.
    let sync: Option<(String, String)> =
        redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(connection).await.ok();
    let mut notes = notes(&persistence, &memory, sync.as_ref().map(|(_, value)| value.as_str()));
    notes.extend(skew(time * 1000, local_ms));
    notes
}

/// Where the two clocks are far apart, milliseconds.
fn skew(server: u64, own: u64) -> Option<String> {
    let (seconds, way) = (server.abs_diff(own) / 1000, if own > server { "ahead of" } else { "behind" });
    (seconds > SKEW).then(|| {
        format!("this node's clock is {seconds} s {way} that of Redis, which counts for all nodes: set it right (timedatectl)")
    })
}

fn notes(persistence: &str, memory: &str, sync: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    if info(persistence, "loading") == Some("1") {
        // It answers as if all were off, and is connected to again.
        return notes;
    }
    if info(persistence, "aof_enabled") == Some("0") {
        notes.push("appendonly is off: a restart of Redis loses alerts that were answered; set appendonly yes".into());
    } else if sync == Some("no") {
        notes.push(
            "appendfsync is no: a power cut loses what the system had not written; set everysec or always".into(),
        );
    }
    if info(persistence, "aof_last_write_status").is_some_and(|status| status != "ok") {
        notes.push("its append-only file cannot be written: look at its disk".into());
    }
    if let Some(policy) = info(memory, "maxmemory_policy")
        && policy.starts_with("allkeys")
        && info(memory, "maxmemory").is_some_and(|bytes| bytes != "0")
    {
        notes.push(format!("maxmemory-policy is {policy}: Redis evicts alerts when memory runs short; set noeviction"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_far_apart_are_named() {
        assert_eq!((skew(100_000, 105_900), skew(105_900, 100_000)), (None, None));
        assert!(skew(100_000, 160_000).unwrap().contains("60 s ahead of that of Redis"));
        assert!(skew(160_000, 100_000).unwrap().contains("60 s behind that of Redis"));
    }

    #[test]
    fn what_can_lose_alerts_is_named() {
        let safe = "aof_enabled:1\r\naof_last_write_status:ok\r\n";
        assert!(notes(safe, "maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", Some("everysec")).is_empty());
        assert!(notes(safe, "maxmemory:100\r\nmaxmemory_policy:noeviction\r\n", None).is_empty());
        assert!(notes("aof_enabled:0\r\n", "", None)[0].contains("appendonly yes"));
        assert!(notes(safe, "", Some("no"))[0].contains("everysec"));
        assert!(notes(safe, "maxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n", None)[0].contains("noeviction"));
        assert!(notes("aof_enabled:1\r\naof_last_write_status:err\r\n", "", None)[0].contains("disk"));
    }
}
