//! Who changed something, and from where, for the entries of the log that an audit reads.
//!
//! The service makes an [`Actor`] from the caller before it writes such an entry. Always: `Display` is one line that says who
//! and from where, because forwarders of logs often pass on nothing but the message; the fields have the same in parts.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::Caller;
use super::auth_log::named;
use crate::account::Account;

/// How long the name service may take to tell a user's name. The number is known without it.
const NAME_TIMEOUT: Duration = Duration::from_secs(1);

/// Who asked for something.
#[derive(Clone, Debug)]
pub(crate) enum Actor {
    /// The owner of a key.
    Key { id: String, user: String, address: Option<IpAddr> },
    /// A local user, none if the system does not tell which, and the name of the socket.
    Local(Option<Account>, &'static str),
    /// Whoever sent the process a signal.
    Signal,
    /// A caller who may change nothing.
    Nobody(&'static str),
}

impl Actor {
    pub(super) async fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Key(grant, address) => {
                Self::Key { id: grant.key_id.clone(), user: grant.user.to_string(), address: *address }
            }
            Caller::Control(None) | Caller::Publisher(None) => Self::Local(None, caller.static_name()),
            Caller::Control(Some(uid)) | Caller::Publisher(Some(uid)) => {
                let uid = *uid;
                let named = tokio::task::spawn_blocking(move || Account::of(uid));
                let named = tokio::time::timeout(NAME_TIMEOUT, named).await;
                let account = named.ok().and_then(Result::ok).unwrap_or(Account { uid, name: None });
                Self::Local(Some(account), caller.static_name())
            }
            Caller::Anonymous => Self::Nobody(caller.static_name()),
        }
    }

    /// The key's id, or the name of the local socket: the field `by`.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Key { id, .. } => id,
            Self::Local(_, socket) => socket,
            Self::Signal => "(signal)",
            Self::Nobody(name) => name,
        }
    }

    /// The user of the key, or the local user, by name or number: who acted, for others to read.
    pub(super) fn person(&self) -> String {
        match self {
            Self::Key { user, .. } => user.clone(),
            Self::Local(Some(Account { name: Some(name), .. }), _) => name.clone(),
            Self::Local(Some(Account { uid, .. }), _) => format!("uid {uid}"),
            other => other.id().to_owned(),
        }
    }

    /// The user of the key, or the local user, if that has a name: the field `by_user`.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::Key { user, .. } => Some(user),
            Self::Local(account, _) => account.as_ref()?.name.as_deref(),
            Self::Signal | Self::Nobody(_) => None,
        }
    }

    /// The local user: the field `by_uid`.
    pub(crate) fn uid(&self) -> Option<u32> {
        match self {
            Self::Local(account, _) => account.as_ref().map(|account| account.uid),
            _ => None,
        }
    }

    /// The client's address: the field `address`.
    pub(super) fn address(&self) -> Option<String> {
        match self {
            Self::Key { address, .. } => Some(named(*address)),
            _ => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id, user, address } => write!(f, "key {id} of {user} from {}", named(*address)),
            Self::Local(account, socket) => {
                let socket = socket.trim_matches(['(', ')']);
                match account {
                    Some(account) => write!(f, "{account} on the {socket}"),
                    None => write!(f, "an unknown user on the {socket}"),
                }
            }
            Self::Signal => f.write_str("a signal"),
            Self::Nobody(name) => f.write_str(name),
        }
    }
}
