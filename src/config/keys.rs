//! The table of all keys: name, parser, default, effect of a reload, and explanation.
//!
//! Parsing, environment variables, hints, `config show`, the example file and the man page are derived from it. A new key is
//! a row here and a field of the same name in [`Config`].

use std::time::Duration;

use super::settings::{Config, Durability, EngineKind, Store};
use super::value::{Parsed, Raw};
use crate::alert;
use crate::api::Stage;
use crate::log::{Level, Target};

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apply {
    /// At a reload.
    Live,
    /// At a restart.
    Restart,
    /// At a reload, except that turning the feature on or off needs a restart.
    Switch,
}

pub(super) struct Key {
    /// With its section, such as `http.listen`.
    pub(super) name: &'static str,
    /// In the notation of the file; empty if it depends on the system.
    pub(super) default: &'static str,
    pub(super) apply: Apply,
    /// The explanation in the example file and the man page.
    pub(super) about: &'static str,
    /// Parses a value and assigns it to its field.
    pub(super) set: fn(&mut Config, &Raw) -> Parsed<()>,
    /// Whether the field differs between two configurations.
    pub(super) differs: fn(&Config, &Config) -> bool,
}

/// `Apply field = default, parser(arguments), explanation`. The path of the field is the name of the key.
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
const TARGETS: &[(&str, Target)] =
    &[("auto", Target::Auto), ("journald", Target::Journald), ("syslog", Target::Syslog), ("stderr", Target::Stderr)];
const ALERT_LEVELS: &[(&str, alert::Level)] =
    &[("info", alert::Level::Info), ("warn", alert::Level::Warn), ("error", alert::Level::Error)];
const LEVELS: &[(&str, Level)] = &[
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

/// All keys, by section, in the order of the file.
pub(super) static KEYS: &[Key] = &[
    key!(Live stage = "\"prod\"", one_of(STAGES),
        "\"prod\" or \"dev\". With \"dev\", anyone can read the description of the API at /docs and /openapi.json without a \
         key."),
    key!(Restart state_dir = "", path(),
        "Directory of the log of alerts. Default: systemd's StateDirectory; otherwise /var/lib/alertd for root and the user \
         alertd; otherwise alertd in $XDG_STATE_HOME or ~/.local/state."),
    key!(Restart control_socket = "", socket(),
        "Socket for alertctl. Permission to connect to it is permission to do everything. Default: control.sock in systemd's \
         RuntimeDirectory; otherwise in /run/alertd for root and the user alertd; otherwise in alertd in $XDG_RUNTIME_DIR, \
         or in state_dir."),
    key!(Restart publish_socket = "", socket(),
        "Socket for local publishers. Permission to connect to it is permission to publish. Default: publish.sock beside \
         control.sock."),
    key!(Restart http.listen = "\"127.0.0.1:8080\"", addresses(),
        "Address and port to listen on, or a list of them. Ignored if systemd passes sockets; see alertd.socket then."),
    key!(Live http.trusted_proxies = "[]", networks(),
        "Addresses or networks (10.0.0.0/8) of reverse proxies whose X-Forwarded-For or Forwarded header is trusted."),
    key!(Switch http.tls_cert = "\"\"", path_or_credential(),
        "PEM file with the certificate chain, or the name of a systemd credential; together with tls_key it turns TLS on. A \
         reload reads both files again and applies changed paths; turning TLS on or off, and a new credential, need a \
         restart."),
    key!(Switch http.tls_key = "\"\"", path_or_credential(),
        "PEM file with the private key, which may be the same file, or the name of a systemd credential; only alertd should \
         be able to read it."),
    key!(Live http.max_body = "\"64KiB\"", size(KIB, 16 * MIB),
        "Maximum size of a request body; a larger one is answered with 413."),
    key!(Restart http.max_connections = "16384", number(1, 1_000_000),
        "Maximum number of open connections. Beyond it requests are answered with 503, except those for health, readiness, \
         status and metrics."),
    key!(Live http.max_streams = "16384", number(1, 1_000_000),
        "Maximum number of open streams; further ones are answered with 429."),
    key!(Live http.heartbeat = "\"8s\"", duration(SECOND, HOUR),
        "A stream that was silent for this long gets a cursor event. Must be shorter than the idle timeout of every proxy and \
         the read timeout of every client; some give up after 10 s."),
    key!(Live http.retry = "\"1s..5s\"", span(MS100, HOUR),
        "Range of the random reconnect delay that streams are told, so that clients do not all reconnect at once."),
    key!(Live http.stream_lifetime = "\"0s\"", duration_or_zero(SECOND, YEARS),
        "Age at which a stream is ended, so that load balancers can move it; 0 means never."),
    key!(Live http.hsts = "\"0s\"", duration_or_zero(SECOND, YEARS),
        "How long browsers that have reached alertd over TLS refuse plain HTTP to this host name, on any port \
         (Strict-Transport-Security); 0 means not at all."),
    key!(Live http.cors_origins = "[]", origins(),
        "Origins whose web pages may use the API, such as \"https://dash.example.org\", or \"*\" for all."),
    key!(Restart auth.store = "", one_of(STORES),
        "Where keys are stored: \"file\" is auth.json in store_dir; \"engine\" (default with redis) is the Redis that the \
         fleet shares."),
    key!(Restart auth.store_dir = "", path(),
        "Directory of auth.json. Default: state_dir."),
    key!(Restart auth.iterations = "100_000", number(10_000, 10_000_000),
        "PBKDF2 iterations of new keys; existing keys keep theirs."),
    key!(Live auth.query_token = "false", flag(),
        "Whether a key may be sent as ?token=. Such a key ends up in the logs of proxies; POST /tickets avoids that."),
    key!(Live auth.stale_max = "\"5m\"", duration(SECOND, DAY),
        "How long a node of a fleet that cannot reach the key store trusts the keys it knows."),
    key!(Live alerts.latest_ttl = "\"30m\"", duration_or_zero(SECOND, YEARS),
        "A new stream gets the newest alert of each topic, unless it is older than this; 0 sends none."),
    key!(Live alerts.retain_age = "\"7d\"", duration_or_zero(SECOND, YEARS),
        "Age at which an alert is removed; 0 means never."),
    key!(Live alerts.retain_count = "1_000_000", number(0, 1_000_000_000),
        "Maximum number of alerts to keep; 0 means no limit."),
    key!(Live alerts.retain_bytes = "\"1GiB\"", size_or_zero(KIB, 16 * TIB),
        "Maximum bytes of alerts to keep; 0 means no limit. The log on disk takes up to one segment (64 MiB) more."),
    key!(Live alerts.topic_count = "100_000", number(0, 1_000_000_000),
        "Maximum number of alerts to keep of one topic, so that a noisy topic does not displace the others; 0 means no \
         limit."),
    key!(Live incidents.repeat_interval = "\"0s\"", duration_or_zero(SECOND, YEARS),
        "An alert of an unresolved incident with the same level and message as the last one that was broadcast is only counted \
         if it comes within this time of that one; 0 broadcasts every alert."),
    key!(Live incidents.remind_after = "\"0s\"", duration_or_zero(SECOND, YEARS),
        "An incident that nobody acknowledges is announced again each time that this long has passed since its last alert or \
         reminder; 0 means never."),
    key!(Live incidents.remind_level = "\"error\"", one_of(ALERT_LEVELS),
        "The lowest level of an incident that is announced again: \"info\", \"warn\" or \"error\"."),
    key!(Live incidents.max_open = "10_000", number(0, 100_000),
        "Maximum number of unresolved incidents. Beyond it alerts are stored and broadcast as ever, but open no incident."),
    key!(Live incidents.max_open_per_user = "2_500", number(0, 100_000),
        "The same for the incidents that the alerts of one user opened."),
    key!(Restart engine.kind = "\"embedded\"", one_of(KINDS),
        "Where the log of alerts is stored: \"embedded\" is on this machine's disk, in state_dir; \"redis\" is a Redis or \
         Valkey server that any number of alertd can share."),
    key!(Restart engine.durability = "", durability(),
        "When a publish is answered. Embedded: \"fsync\" (default) means when it is on disk; \"none\" means immediately, and a \
         power failure may lose the last 100 ms or 4 MiB. Redis: \"primary\" (default) means when the primary has it; \"replicas:N\" \
         means when N replicas have it too."),
    key!(Restart engine.redis.host = "\"\"", host(),
        "For the redis engine: host of a single server. One of host, sentinels and cluster is required."),
    key!(Restart engine.redis.port = "6379", number(1, 65_535),
        "For the redis engine: port of host."),
    key!(Restart engine.redis.sentinels = "[]", endpoints(),
        "For the redis engine: host and port of each Sentinel."),
    key!(Restart engine.redis.sentinel_service = "\"mymaster\"", text(),
        "For the redis engine: name of the primary in the configuration of the Sentinels."),
    key!(Restart engine.redis.cluster = "[]", endpoints(),
        "For the redis engine: host and port of some nodes of a Cluster."),
    key!(Restart engine.redis.username = "\"\"", text(),
        "For the redis engine: ACL user."),
    key!(Restart engine.redis.password_file = "\"\"", credential(),
        "For the redis engine: file with the password, or the name of a systemd credential. Never the password itself. A \
         reload reads the file again; a credential changes with a restart only."),
    key!(Restart engine.redis.tls = "false", flag(),
        "For the redis engine: whether to connect with TLS."),
    key!(Restart engine.redis.tls_ca = "\"\"", optional_path(),
        "For the redis engine: PEM file with the trusted certificate authorities; a reload reads it again. Default: the \
         system's."),
    key!(Restart engine.redis.key_prefix = "\"alertd\"", key_prefix(),
        "For the redis engine: prefix of all its keys; the same on each node of a fleet."),
    key!(Live hooks.max_body = "\"1MiB\"", size(KIB, 16 * MIB),
        "Maximum size of a hook's payload (/hooks/...), and of a body with several alerts as lines; a larger one is answered \
         with 413, and most senders then drop it."),
    key!(Live hooks.github_secret_file = "\"\"", credential(),
        "File with the secret of GitHub's webhook, or the name of a systemd credential; it turns /hooks/github on."),
    key!(Live hooks.github_topics = "[\"*\"]", patterns(),
        "Topics to which the GitHub hook may publish, such as \"github.*\"."),
    key!(Live ntfy.below = "false", flag(),
        "Whether a topic that a client of ntfy's protocol follows (/ntfy/...) includes the topics below it, as with ?below=1."),
    key!(Live hub.memory = "\"64MiB\"", size(MIB, TIB),
        "Bytes of all rings in memory. A stream that falls behind its ring is not ended: it continues from the log, which is \
         slower for the stream and for the disk."),
    key!(Live hub.max_subscriptions = "1024", number(1, 1_000_000),
        "Maximum number of rings, one for each distinct combination of topics, level and format; streams of \
         further combinations are served from the log."),
    key!(Live hub.max_subscriptions_per_key = "64", number(1, 1_000_000),
        "Maximum number of these rings that are created for one key."),
    key!(Live limits.publish_rate = "0", number(0, 1_000_000_000),
        "Maximum alerts per second for each key; 0 means no limit."),
    key!(Live limits.streams_per_key = "0", number(0, 1_000_000),
        "Maximum number of open streams for each key; 0 means no limit."),
    key!(Live limits.failed_auth_rate = "30", number(0, 1_000_000_000),
        "Maximum number of wrong secrets per minute from one address for one user or key, counting those that cost a PBKDF2 \
         derivation, and of wrong signatures of GitHub's hook; 0 means no limit."),
    key!(Restart log.target = "\"auto\"", one_of(TARGETS),
        "\"auto\" (the journal under systemd, otherwise standard error), \"journald\", \"syslog\" or \"stderr\"."),
    key!(Live log.level = "\"info\"", one_of(LEVELS),
        "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"."),
    key!(Live log.mirror_alerts = "false", flag(),
        "Whether each alert is also written to the log, with its own priority."),
];

impl Raw {
    /// Accepts the values of both engines; `compare` checks them against the configured engine.
    fn durability(&self) -> Parsed<Durability> {
        const REPLICAS: std::ops::RangeInclusive<u32> = 1..=100;
        if let Self::Text(text) = self
            && let Some(number) = text.strip_prefix("replicas:")
        {
            let number = number.parse().ok().filter(|number| REPLICAS.contains(number));
            return number.map(Durability::Replicas).ok_or_else(|| {
                format!(
                    "{} has no valid number of replicas; write for example \"replicas:1\", at most 100",
                    self.brief()
                )
            });
        }
        self.one_of(&[("fsync", Durability::Fsync), ("none", Durability::None), ("primary", Durability::Primary)])
            .map_err(|wrong| format!("{wrong} or \"replicas:N\""))
    }
}

pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The environment variable of a key.
pub(super) fn variable(name: &str) -> String {
    format!("ALERTD_{}", name.to_ascii_uppercase().replace('.', "_"))
}
