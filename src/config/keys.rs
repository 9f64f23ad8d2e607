//! The one table of keys: name, reader, default, effect of a reload, and explanation.
//!
//! Parsing, environment names, hints, `config show`, the example file and the man page all go by it. A new key is a row
//! here, and a field of the same name in [`Config`].

use std::time::Duration;

use super::settings::{Config, Durability, EngineKind, LogLevel, LogTarget, Stage, Store};
use super::value::{Parsed, Raw};

/// When a changed value comes into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apply {
    /// At a reload.
    Live,
    /// At a restart.
    Restart,
    /// At a reload, but for turning the feature on or off.
    Switch,
}

/// One key.
pub(super) struct Key {
    /// With its section, as in `http.listen`.
    pub(super) name: &'static str,
    /// As it would stand in the file; empty where it depends on the system.
    pub(super) default: &'static str,
    pub(super) apply: Apply,
    /// For a person.
    pub(super) about: &'static str,
    /// Reads a value into its field.
    pub(super) set: fn(&mut Config, &Raw) -> Parsed<()>,
    /// Whether the field has another value.
    pub(super) differs: fn(&Config, &Config) -> bool,
}

/// `Apply field = default, reader(arguments), explanation`: the path of the field is the name of the key.
macro_rules! key {
    ($apply:ident $first:ident $(. $rest:ident)* = $default:literal, $read:ident($($bound:expr),*), $about:literal) => {
        Key {
            name: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            default: $default,
            apply: Apply::$apply,
            about: $about,
            set: |config, raw| {
                config.$first $(.$rest)* = raw.$read($($bound),*)?;
                Ok(())
            },
            differs: |old, new| old.$first $(.$rest)* != new.$first $(.$rest)*,
        }
    };
}

const MS100: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEARS: Duration = Duration::from_secs(3650 * 86_400);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

const STAGES: &[(&str, Stage)] = &[("prod", Stage::Prod), ("dev", Stage::Dev)];
const KINDS: &[(&str, EngineKind)] = &[("embedded", EngineKind::Embedded), ("redis", EngineKind::Redis)];
const STORES: &[(&str, Store)] = &[("file", Store::File), ("engine", Store::Engine)];
const TARGETS: &[(&str, LogTarget)] = &[
    ("auto", LogTarget::Auto),
    ("journald", LogTarget::Journald),
    ("syslog", LogTarget::Syslog),
    ("stderr", LogTarget::Stderr),
];
const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// All keys, by section, in the order of the file.
pub(super) static KEYS: &[Key] = &[
    key!(Live stage = "\"prod\"", one_of(STAGES),
        "\"prod\" or \"dev\": \"dev\" adds the API's description at /docs and /openapi.json, for anybody without a key."),
    key!(Restart state_dir = "", path(),
        "Where the alerts are kept. Default: systemd's StateDirectory; else /var/lib/alertd for root and the user alertd; \
         else alertd under $XDG_STATE_HOME or ~/.local/state."),
    key!(Restart control_socket = "", socket(),
        "The socket of alertctl: whoever may connect to it may do everything. Default: control.sock in systemd's \
         RuntimeDirectory; else in /run/alertd for root and the user alertd; else in alertd under $XDG_RUNTIME_DIR, or in \
         state_dir."),
    key!(Restart publish_socket = "", socket(),
        "The socket of local producers: whoever may connect to it may publish. Default: publish.sock beside control.sock."),
    key!(Restart http.listen = "\"127.0.0.1:8080\"", addresses(),
        "Address and port, or a list of them. Where systemd passes sockets, alertd.socket says it instead."),
    key!(Live http.trusted_proxies = "[]", networks(),
        "Addresses or networks (10.0.0.0/8) of reverse proxies whose X-Forwarded-For is believed."),
    key!(Switch http.tls_cert = "\"\"", optional_path(),
        "PEM file with the certificate chain; with tls_key it turns TLS on. A reload reads both files again, also from \
         another place; turning TLS on or off waits for a restart."),
    key!(Switch http.tls_key = "\"\"", optional_path(),
        "PEM file with the private key; alertd alone should be able to read it."),
    key!(Live http.max_body = "\"64KiB\"", size(KIB, 16 * MIB),
        "The largest body of a request; a larger one is answered 413."),
    key!(Restart http.max_connections = "16384", number(1, 1_000_000),
        "Open connections; further ones wait in the kernel."),
    key!(Live http.max_streams = "16384", number(1, 1_000_000),
        "Open streams in all; further ones are answered 429."),
    key!(Live http.heartbeat = "\"15s\"", duration(SECOND, HOUR),
        "Silence on a stream after which it gets a cursor event. Keep it below the idle time-out of every proxy."),
    key!(Live http.retry = "\"1s..5s\"", span(MS100, HOUR),
        "Each stream is told a random reconnect delay out of this span, so that not all come back at once."),
    key!(Live http.stream_lifetime = "\"0s\"", duration_or_zero(SECOND, YEARS),
        "Age at which a stream is ended, so that load balancers can move it; 0 is never."),
    key!(Live http.cors_origins = "[]", origins(),
        "Origins whose web pages may use the API, such as \"https://dash.example.org\", or \"*\" for all."),
    key!(Restart auth.store = "", one_of(STORES),
        "Where keys are kept: \"file\" is auth.json under store_dir; \"engine\" (default with redis) is the Redis that the \
         fleet shares."),
    key!(Restart auth.store_dir = "", path(),
        "The directory of auth.json. Default: state_dir."),
    key!(Restart auth.iterations = "100_000", number(10_000, 10_000_000),
        "PBKDF2 iterations of new keys; a key keeps those it was made with."),
    key!(Live auth.query_token = "false", flag(),
        "Whether a key may come as ?token=. It ends up in the logs of proxies; POST /tickets is the way without."),
    key!(Live auth.stale_max = "\"5m\"", duration(SECOND, DAY),
        "How long a node that is cut off from the key store trusts what it knows; for a fleet."),
    key!(Live alerts.latest_ttl = "\"30m\"", duration_or_zero(SECOND, YEARS),
        "How old the newest alert of a topic may be to be sent to a new stream; 0 sends none."),
    key!(Live alerts.retain_age = "\"7d\"", duration_or_zero(SECOND, YEARS),
        "Age at which an alert is removed; 0 is never."),
    key!(Live alerts.retain_count = "1_000_000", number(0, 1_000_000_000),
        "Alerts that are kept; 0 is no limit."),
    key!(Live alerts.retain_bytes = "\"1GiB\"", size_or_zero(KIB, 16 * TIB),
        "Bytes of alerts that are kept; 0 is no limit. The file on disk takes up to three times as much."),
    key!(Live alerts.topic_count = "100_000", number(0, 1_000_000_000),
        "Alerts of one topic that are kept, so that a noisy one does not evict the rest; 0 is no limit."),
    key!(Restart engine.kind = "\"embedded\"", one_of(KINDS),
        "Where the log of alerts lives: \"embedded\" is this machine's disk, under state_dir; \"redis\" is a Redis or \
         Valkey that any number of alertd share."),
    key!(Restart engine.durability = "", durability(),
        "When a publish is answered. Embedded: \"fsync\" (default), when the disk has it, or \"none\", at once; a power \
         failure may lose the last 100 ms. Redis: \"primary\" (default), when the primary has it, or \"replicas:N\", when N \
         replicas have it too."),
    key!(Restart engine.redis.host = "\"\"", host(),
        "For the redis engine: its host, where it stands alone. One of host, sentinels and cluster is needed."),
    key!(Restart engine.redis.port = "6379", number(1, 65_535),
        "For the redis engine: the port of host."),
    key!(Restart engine.redis.sentinels = "[]", endpoints(),
        "For the redis engine: host and port of each Sentinel."),
    key!(Restart engine.redis.sentinel_service = "\"mymaster\"", text(),
        "For the redis engine: what the Sentinels call the primary."),
    key!(Restart engine.redis.cluster = "[]", endpoints(),
        "For the redis engine: host and port of some nodes of a Cluster."),
    key!(Restart engine.redis.username = "\"\"", text(),
        "For the redis engine: the ACL user."),
    key!(Restart engine.redis.password_file = "\"\"", credential(),
        "For the redis engine: a file, or the name of a systemd credential. Never the password itself."),
    key!(Restart engine.redis.tls = "false", flag(),
        "For the redis engine: whether to speak TLS with it."),
    key!(Restart engine.redis.tls_ca = "\"\"", optional_path(),
        "For the redis engine: PEM file with the authorities to trust. Default: the system's."),
    key!(Restart engine.redis.key_prefix = "\"alertd\"", key_prefix(),
        "For the redis engine: what all its keys begin with; the same on each node of a fleet."),
    key!(Live hooks.max_body = "\"1MiB\"", size(KIB, 16 * MIB),
        "The largest payload of a hook (/hooks/...); a larger one is answered 413, and is lost with most senders."),
    key!(Live hooks.github_secret_file = "\"\"", credential(),
        "A file, or the name of a systemd credential, with the secret that GitHub's webhook has; it turns /hooks/github on."),
    key!(Live hooks.github_topics = "[\"*\"]", patterns(),
        "Topics to which the GitHub hook may publish, such as \"github.*\"."),
    key!(Live hub.memory = "\"64MiB\"", size(MIB, TIB),
        "Bytes of all rings in memory. A reader that falls behind its ring is not ended: it reads on from the log, which is \
         slower for it and for the disk."),
    key!(Live hub.max_subscriptions = "1024", number(1, 1_000_000),
        "Distinct combinations of topics, level and format (SSE or NDJSON) that get a ring; the streams of further ones are \
         served from the log."),
    key!(Live hub.max_subscriptions_per_key = "64", number(1, 1_000_000),
        "The same, first asked for by one key."),
    key!(Live limits.publish_rate = "0", number(0, 1_000_000_000),
        "Alerts a second of one key; 0 is no limit."),
    key!(Live limits.streams_per_key = "0", number(0, 1_000_000),
        "Open streams of one key; 0 is no limit."),
    key!(Live limits.failed_auth_rate = "30", number(0, 1_000_000_000),
        "Refused keys a minute of one address; 0 is no limit."),
    key!(Restart log.target = "\"auto\"", one_of(TARGETS),
        "\"auto\" (the journal under systemd, else standard error), \"journald\", \"syslog\" or \"stderr\"."),
    key!(Live log.level = "\"info\"", one_of(LEVELS),
        "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"."),
    key!(Live log.mirror_alerts = "false", flag(),
        "Whether each alert is written to the log too, at its own priority."),
];

impl Raw {
    /// Which of them the engine has is seen when the engine is known.
    fn durability(&self) -> Parsed<Durability> {
        const REPLICAS: std::ops::RangeInclusive<u32> = 1..=100;
        if let Self::Text(text) = self
            && let Some(number) = text.strip_prefix("replicas:")
        {
            let number = number.parse().ok().filter(|number| REPLICAS.contains(number));
            return number.map(Durability::Replicas).ok_or_else(|| {
                format!("{} names no number of replicas; write such as \"replicas:1\", 100 at most", self.brief())
            });
        }
        self.one_of(&[("fsync", Durability::Fsync), ("none", Durability::None), ("primary", Durability::Primary)])
            .map_err(|wrong| format!("{wrong} or \"replicas:N\""))
    }
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The environment variable of a key.
pub(super) fn variable(name: &str) -> String {
    format!("ALERTD_{}", name.to_ascii_uppercase().replace('.', "_"))
}
