//! Turns a [`ClientError`] into the [`Failure`] of a command, and says what the user can do about it.
//!
//! The daemon's own messages are about HTTP. These name the options, files and commands of `alertctl`.

use std::path::Path;

use super::error::{Cause, ClientError};
use super::{KeySource, service};
use crate::api::About;
use crate::ctl::exit::Failure;

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        match error {
            ClientError::Unreachable { cause, address, .. } => {
                Self::Unavailable(format!("{text}; {}", unreachable(cause, &address)))
            }
            ClientError::Down { service, .. } => Self::Unavailable(format!("{text}; {}", service.remedy())),
            ClientError::Forbidden { address } => {
                let group = if address.ends_with("publish.sock") { "alertd-publish" } else { "alertd" };
                Self::NotPermitted(format!(
                    "{text}; join its group (usermod -aG {group} USER, then log in again), or use sudo"
                ))
            }
            ClientError::Broken { .. } => Self::Unavailable(format!("{text}; try again")),
            ClientError::Foreign { .. } => {
                Self::Failed(format!("{text}; check the URL (--url, ALERTCTL_URL) and any proxy in between"))
            }
            ClientError::Unsendable { .. } => Self::Failed(text),
            ClientError::Refused { status: 401, address, key, .. } => Self::NotPermitted(unauthorized(&address, key)),
            ClientError::Refused { status: 403, address, detail, about, key, .. } => {
                Self::NotPermitted(not_permitted(&address, &detail, *about, key))
            }
            ClientError::Refused { status: 422, address, detail, about, .. } => {
                Self::Usage(invalid(&address, &detail, about.field))
            }
            ClientError::Refused { status: 408 | 425 | 429 | 500 | 502..=504, retry_after, .. } => match retry_after {
                Some(time) => Self::Unavailable(format!("{text}; try again in {} s", time.as_secs())),
                None => Self::Unavailable(format!("{text}; try again later")),
            },
            ClientError::Refused { .. } => Self::Failed(text),
        }
    }
}

fn unreachable(cause: Cause, address: &str) -> String {
    let text = match cause {
        Cause::NoDaemon => {
            let unit = service::unit_of(Path::new(address)).unwrap_or_default();
            let unit = unit.strip_suffix(".service").unwrap_or("alertd");
            return format!("start it (systemctl start {unit}), or name another with --socket, --instance or --url");
        }
        Cause::NoListener => {
            "start alertd there, or correct the port in --url or ALERTCTL_URL; http.listen and alertd.socket on that \
             machine set the address, which by default is reachable from the machine itself only"
        }
        Cause::NoHost => "correct the host in --url or ALERTCTL_URL",
        Cause::Tls => {
            "use a host name that the certificate is valid for; if your own authority issued it, set SSL_CERT_FILE to \
             the file of that authority"
        }
        Cause::NoTls => {
            "alertd speaks plain HTTP there: write http:// in --url or ALERTCTL_URL, or the port of a proxy with TLS"
        }
        Cause::IsAuthority => {
            "the server's certificate is one of an authority (openssl req -x509 makes such): make it again with -addext \
             basicConstraints=critical,CA:FALSE, and set SSL_CERT_FILE to the new file"
        }
        Cause::Socket => "try again; systemctl status shows the state of the service",
        Cause::Network => "check --url or ALERTCTL_URL, the network and firewalls",
    };
    text.to_owned()
}

fn unauthorized(address: &str, key: Option<KeySource>) -> String {
    match key {
        None => format!(
            "{address} requires a key; give one with --key-file or ALERTCTL_KEY (to create one, run alertctl key add \
             USER on the daemon's machine)"
        ),
        Some(source) => format!(
            "{address} rejects the key in {source}: it is mistyped, revoked or expired; ask for a new one (see alertctl \
             key list and alertctl key add USER on the daemon's machine)"
        ),
    }
}

fn not_permitted(address: &str, detail: &str, about: About, key: Option<KeySource>) -> String {
    let key = key.map_or_else(|| "this user".to_owned(), |source| format!("the key in {source}"));
    match about {
        About { scope: Some(scope), .. } => format!(
            "{key} does not have the scope {scope} at {address}; use a key that has it (to create one, run alertctl key \
             add USER --scope {scope} on the daemon's machine)"
        ),
        About { topic: Some(topic), topics: Some(permitted), .. } => format!(
            "{key} may not use the topic {topic} at {address}, only {}; use one of these, or a key for {topic} (to \
             create one, run alertctl key add USER --topic '{topic}' on the daemon's machine)",
            permitted.join(", ")
        ),
        _ => format!("{detail} ({address})"),
    }
}

/// The option of `alertctl` from which a field or parameter of a request comes.
fn option(field: &str) -> Option<&'static str> {
    Some(match field {
        "topic" => "the topic",
        "level" => "--level",
        "message" => "the message",
        "since" => "--since",
        "limit" => "--count",
        "Idempotency-Key" => "--idempotency-key",
        "user" => "the user",
        "scopes" => "--scope",
        "topics" => "--topic",
        "label" => "--label",
        "expires_in" => "--expires",
        "overlap" => "--overlap",
        "every" => "--every",
        "expect_within" => "--expect-within",
        "incident" => "the incident",
        "ttl" => "--ttl",
        "note" => "--note",
        "state" => "--state",
        field if field == "metadata" || field.starts_with("metadata.") => "--metadata",
        _ => return None,
    })
}

fn invalid(address: &str, detail: &str, field: Option<String>) -> String {
    let Some((field, option)) = field.and_then(|field| option(&field).map(|option| (field, option))) else {
        return format!("{detail} ({address})");
    };
    let reason = detail.strip_prefix(&format!("{field}: ")).unwrap_or(detail);
    format!("{address} rejects {option}: {reason}; see --help")
}
