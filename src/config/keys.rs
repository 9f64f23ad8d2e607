//! The one table of settings: names, defaults and explanations. Parsing, environment names, the example file, the man
//! page and `config show` all go by it.

/// One setting.
pub(super) struct Key {
    /// With its section, as in `http.listen`.
    pub(super) name: &'static str,
    /// As it would stand in the file; empty where it depends on the system.
    pub(super) default: &'static str,
    /// Whether a reload puts it into force.
    pub(super) live: bool,
    /// For a person.
    pub(super) about: &'static str,
}

const fn live(name: &'static str, default: &'static str, about: &'static str) -> Key {
    Key { name, default, live: true, about }
}

const fn fixed(name: &'static str, default: &'static str, about: &'static str) -> Key {
    Key { name, default, live: false, about }
}

/// All settings, by section.
pub(super) const KEYS: &[Key] = &[
    live("stage", "\"prod\"", "\"prod\", or \"dev\", which adds /docs and /openapi.json without a key."),
    fixed(
        "state_dir",
        "",
        "Where the alerts are kept. Default: systemd's StateDirectory, else /var/lib/alertd for root, else ~/.local/state/alertd.",
    ),
    fixed(
        "control_socket",
        "",
        "The socket of alertctl: whoever may connect to it may do everything. Default: /run/alertd/control.sock, or under $XDG_RUNTIME_DIR.",
    ),
    fixed(
        "publish_socket",
        "",
        "The socket of local producers: whoever may connect to it may publish. Default: /run/alertd/publish.sock, or under $XDG_RUNTIME_DIR.",
    ),
    fixed(
        "http.listen",
        "\"127.0.0.1:8080\"",
        "Address and port, or a list of them. Where systemd passes sockets, alertd.socket says it instead.",
    ),
    live(
        "http.trusted_proxies",
        "[]",
        "Addresses or networks (10.0.0.0/8) of reverse proxies whose X-Forwarded-For is believed.",
    ),
    fixed(
        "http.tls_cert",
        "\"\"",
        "PEM file with the certificate chain; with tls_key it turns TLS on. The files are read again at a reload.",
    ),
    fixed("http.tls_key", "\"\"", "PEM file with the private key."),
    live("http.max_body", "\"64KiB\"", "The largest body of a request."),
    fixed("http.max_connections", "16384", "Open connections; further ones wait in the kernel."),
    live("http.max_streams", "16384", "Open streams in all; further ones are answered 429."),
    live("http.heartbeat", "\"15s\"", "Silence on a stream after which it gets a cursor event."),
    live("http.retry", "\"1s..5s\"", "Each stream is told a random reconnect delay out of this span."),
    live(
        "http.stream_lifetime",
        "\"0s\"",
        "Age at which a stream is ended, so that load balancers can move it; 0 is never.",
    ),
    live(
        "http.cors_origins",
        "[]",
        "Origins whose web pages may use the API, such as \"https://dash.example.org\", or \"*\".",
    ),
    fixed("auth.store", "\"file\"", "Where keys are kept: \"file\"."),
    fixed("auth.store_dir", "", "The directory of auth.json. Default: state_dir."),
    fixed("auth.iterations", "100_000", "PBKDF2 iterations of new keys; a key keeps those it was made with."),
    live("auth.query_token", "false", "Whether a key may come as ?token=. It ends up in the logs of proxies."),
    live(
        "auth.stale_max",
        "\"5m\"",
        "How long a node that is cut off from the key store trusts what it knows; for a fleet.",
    ),
    live("alerts.latest_ttl", "\"30m\"", "How old the newest alert of a topic may be to be sent to a new stream."),
    live("alerts.retain_age", "\"7d\"", "Age at which an alert is removed; 0 is never."),
    live("alerts.retain_count", "1_000_000", "Alerts that are kept; 0 is no limit."),
    live(
        "alerts.retain_bytes",
        "\"1GiB\"",
        "Bytes of alerts that are kept; 0 is no limit. The file on disk takes up to three times as much.",
    ),
    live(
        "alerts.topic_count",
        "100_000",
        "Alerts of one topic that are kept, so that a noisy one does not evict the rest; 0 is no limit.",
    ),
    fixed("engine.kind", "\"embedded\"", "Where the log of alerts lives: \"embedded\", on this machine's disk."),
    fixed(
        "engine.durability",
        "\"fsync\"",
        "\"fsync\": a publish is answered when the disk has it. \"none\": at once, the last second is lost in a crash.",
    ),
    fixed("engine.redis.host", "\"\"", "For the redis engine."),
    fixed("engine.redis.port", "6379", "For the redis engine."),
    fixed("engine.redis.sentinels", "[]", "For the redis engine."),
    fixed("engine.redis.cluster", "[]", "For the redis engine."),
    fixed("engine.redis.username", "\"\"", "For the redis engine."),
    fixed(
        "engine.redis.password_file",
        "\"\"",
        "For the redis engine: a file, or the name of a systemd credential. Never the password itself.",
    ),
    fixed("engine.redis.tls", "false", "For the redis engine."),
    fixed("engine.redis.key_prefix", "\"alertd\"", "For the redis engine."),
    live(
        "hub.memory",
        "\"64MiB\"",
        "Bytes of all rings: how far a slow reader may fall behind before it is ended with \"bye\".",
    ),
    live("hub.max_subscriptions", "1024", "Distinct combinations of topics and level with open streams."),
    live("hub.max_subscriptions_per_key", "64", "The same, first asked for by one key."),
    live("limits.publish_rate", "0", "Alerts a second of one key; 0 is no limit."),
    live("limits.streams_per_key", "0", "Open streams of one key; 0 is no limit."),
    live("limits.failed_auth_rate", "30", "Refused keys a minute of one address; 0 is no limit."),
    fixed(
        "log.target",
        "\"auto\"",
        "\"auto\" (the journal under systemd, else standard error), \"journald\", \"syslog\" or \"stderr\".",
    ),
    live("log.level", "\"info\"", "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"."),
    live("log.mirror_alerts", "false", "Whether each alert is written to the log too, at its own priority."),
];

/// The setting of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The environment variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("ALERTD_{}", name.to_ascii_uppercase().replace('.', "_"))
}

/// The known name that looks most like this one.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, best) = known.map(|k| (distance(name, k), k)).min()?;
    (distance <= 2 + name.len() / 4).then_some(best)
}

/// Insertions, deletions and replacements between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let least = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], least);
        }
    }
    row[b.len()]
}
