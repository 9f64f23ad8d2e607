//! Warnings about settings of a server that may lose acknowledged alerts.
//!
//! The follower asks whenever it connects. A setting that the server does not reveal gives no warning.

use redis::aio::MultiplexedConnection;

use super::codec::info;

/// Clocks that are further apart than this are reported, seconds.
const MAX_CLOCK_SKEW_S: u64 = 10;

/// Warnings for the operator, each with its remedy. `local_ms` is the time of this node.
pub(super) async fn ask(connection: &mut MultiplexedConnection, local_ms: u64) -> Vec<String> {
    let mut questions = redis::pipe();
    questions.cmd("INFO").arg("persistence");
    questions.cmd("INFO").arg("memory");
    questions.cmd("TIME");
    type Answers = (String, String, (u64, u64));
    let Ok((persistence, memory, (time, _))) = questions.query_async::<Answers>(connection).await else {
        return Vec::new();
    };
    // An ACL may forbid this one.
    let sync: Option<(String, String)> =
        redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(connection).await.ok();
    let mut warnings = warnings(&persistence, &memory, sync.as_ref().map(|(_, value)| value.as_str()));
    warnings.extend(skew(time * 1000, local_ms));
    warnings
}

/// A warning if the two clocks, in milliseconds, are far apart.
fn skew(server: u64, own: u64) -> Option<String> {
    let (seconds, way) = (server.abs_diff(own) / 1000, if own > server { "ahead of" } else { "behind" });
    (seconds > MAX_CLOCK_SKEW_S).then(|| {
        format!("this node's clock is {seconds} s {way} that of Redis, which all nodes use: correct it (timedatectl)")
    })
}

fn warnings(persistence: &str, memory: &str, sync: Option<&str>) -> Vec<String> {
    let mut warnings = Vec::new();
    if info(persistence, "loading") == Some("1") {
        // While the server loads its data, it answers as if all were off; the follower connects again later.
        return warnings;
    }
    if info(persistence, "aof_enabled") == Some("0") {
        warnings.push("appendonly is off: a restart of Redis loses acknowledged alerts; set appendonly yes".into());
    } else if sync == Some("no") {
        warnings.push(
            "appendfsync is no: a power cut loses alerts that the system has not written to disk; set everysec or always".into(),
        );
    }
    if info(persistence, "aof_last_write_status").is_some_and(|status| status != "ok") {
        warnings.push("its append-only file cannot be written: check its disk".into());
    }
    if let Some(policy) = info(memory, "maxmemory_policy")
        && policy.starts_with("allkeys")
        && info(memory, "maxmemory").is_some_and(|bytes| bytes != "0")
    {
        warnings
            .push(format!("maxmemory-policy is {policy}: Redis evicts alerts when memory runs short; set noeviction"));
    }
    warnings
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
    fn settings_that_may_lose_alerts_are_named() {
        let safe = "aof_enabled:1\r\naof_last_write_status:ok\r\n";
        assert!(warnings(safe, "maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", Some("everysec")).is_empty());
        assert!(warnings(safe, "maxmemory:100\r\nmaxmemory_policy:noeviction\r\n", None).is_empty());
        assert!(warnings("aof_enabled:0\r\n", "", None)[0].contains("appendonly yes"));
        assert!(warnings(safe, "", Some("no"))[0].contains("everysec"));
        assert!(warnings(safe, "maxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n", None)[0].contains("noeviction"));
        assert!(warnings("aof_enabled:1\r\naof_last_write_status:err\r\n", "", None)[0].contains("disk"));
    }
}
