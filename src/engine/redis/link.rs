//! Connections to the server that holds the log.
//!
//! Used by the writer and the follower, which drop a connection after any failure and make a new one here. The server
//! is looked up each time ([`primary`](super::primary)).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo,
    RedisError,
};
use redis::{IntoConnectionInfo, TlsCertificates};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::belief::{Address, Belief};
use super::{Settings, Tls};
use crate::engine::{Cause, Unavailable};

/// The time limit for one connection, including TLS and the greeting.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(700);
/// The time limit for any answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Announcements that may wait for the follower; beyond that it reads the log instead.
const MAX_PUSHES: usize = 1024;

/// How the server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server without a failover.
    Alone { host: String, port: u16 },
    /// Sentinels know which server is the primary.
    Sentinel {
        /// Host and port of each.
        sentinels: Vec<(String, u16)>,
        /// The name by which the Sentinels know the server.
        service: String,
    },
    /// Any node of a Cluster knows which one holds the slot of the keys.
    Cluster {
        /// Host and port of some nodes.
        nodes: Vec<(String, u16)>,
    },
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[(String, u16)]| {
            nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Alone { host, port } => write!(f, "Redis at {host}:{port}"),
            Self::Sentinel { sentinels, service } => {
                write!(f, "Redis \"{service}\" of the Sentinels {}", list(sentinels))
            }
            Self::Cluster { nodes } => write!(f, "the Redis Cluster of {}", list(nodes)),
        }
    }
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("Redis at {0}: {1}")]
    Server(String, RedisError),
    #[error("none of them names the server: {0}")]
    Unknown(String),
    #[error("Redis at {0} did not answer in time")]
    TimedOut(String),
}

impl From<LinkError> for Unavailable {
    fn from(error: LinkError) -> Self {
        Self::new(Cause::NotReached, error.to_string())
    }
}

/// Makes connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Link(Arc<Access>);

/// How servers are reached.
pub(super) struct Access {
    pub(super) topology: Topology,
    username: Option<String>,
    secrets: Mutex<Secrets>,
    prefix: String,
    /// The server that Sentinels or Cluster nodes named.
    pub(super) belief: Mutex<Belief>,
    /// Connections to Sentinels or Cluster nodes that have answered.
    pub(super) asked: Mutex<HashMap<Address, MultiplexedConnection>>,
}

/// Secrets from files, which a reload reads again; open connections keep the old ones.
#[derive(Clone)]
struct Secrets {
    password: Option<Zeroizing<String>>,
    tls: Option<Tls>,
}

impl Secrets {
    fn of(settings: &Settings) -> Self {
        Self { password: settings.password.clone(), tls: settings.tls.clone() }
    }
}

/// A connection, and the address of its server.
pub(super) struct Connected {
    pub(super) redis: MultiplexedConnection,
    pub(super) address: Address,
    /// Set as soon as the server has closed the connection.
    pub(super) is_closed: Arc<AtomicBool>,
}

impl Link {
    pub(super) fn new(settings: &Settings) -> Self {
        if settings.tls.is_some() {
            // The client takes the process's choice of cryptography; it fails where one was made already.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        Self(Arc::new(Access {
            topology: settings.topology.clone(),
            username: settings.username.clone(),
            secrets: Mutex::new(Secrets::of(settings)),
            prefix: settings.key_prefix.clone(),
            belief: Mutex::default(),
            asked: Mutex::default(),
        }))
    }

    /// Replaces the secrets after their files were read again.
    pub(super) fn set_secrets(&self, settings: &Settings) {
        *self.0.secrets.lock() = Secrets::of(settings);
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.0.topology
    }

    /// The full name of a key; because of the braces all keys are in one slot of a Cluster.
    pub(super) fn key(&self, name: &str) -> String {
        self.0.key(name)
    }

    /// The channel on which a node sends probes to itself. Other nodes need not read them: each second there are as many
    /// as nodes.
    pub(super) fn probes(&self, node: &str) -> String {
        self.key(&format!("live:{node}"))
    }

    /// The servers and the prefix, which tell one log from another.
    pub(super) fn log_name(&self) -> String {
        format!("{} with the prefix {}", self.topology(), self.0.prefix)
    }

    /// The server that holds the log now.
    pub(super) async fn server(&self) -> Result<Address, LinkError> {
        self.0.server().await
    }

    pub(super) async fn connect_to(&self, address: &Address) -> Result<MultiplexedConnection, LinkError> {
        self.0.open(address, config()).await
    }

    /// A connection to the server that holds the log. It notices when it is closed.
    pub(super) async fn connect_watched(&self) -> Result<Connected, LinkError> {
        let address = self.server().await?;
        let is_closed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_closed);
        let push = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                flag.store(true, Ordering::Release);
            }
            Ok::<_, redis::aio::SendError>(())
        };
        let redis = self.0.open(&address, config().set_push_sender(push)).await?;
        Ok(Connected { redis, address, is_closed })
    }

    /// A connection, subscribed to the announcements and to the probes of this node. The receiver ends with the connection;
    /// a message that found it full is replaced by `None`.
    pub(super) async fn subscribe(
        &self,
        address: &Address,
        node: &str,
    ) -> Result<(MultiplexedConnection, mpsc::Receiver<Option<PushInfo>>), LinkError> {
        let (sender, receiver) = mpsc::channel(MAX_PUSHES);
        let push = move |push: PushInfo| {
            // The last place in the channel is kept for the `None` after which messages are missing.
            let fits = sender.capacity() > 1;
            match sender.try_send(fits.then_some(push)) {
                Err(mpsc::error::TrySendError::Closed(_)) => Err(redis::aio::SendError),
                _ => Ok(()),
            }
        };
        let mut connection = self.0.open(address, config().set_push_sender(push)).await?;
        // Both on one connection, so that a probe comes after the announcements that were sent before it.
        connection
            .subscribe(&[self.key("live"), self.probes(node)])
            .await
            .map_err(|error| LinkError::Server(shown(address), error))?;
        Ok((connection, receiver))
    }
}

impl Access {
    pub(super) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.prefix)
    }

    async fn open(&self, address: &Address, config: AsyncConnectionConfig) -> Result<MultiplexedConnection, LinkError> {
        self.open_as(address, config, true).await
    }

    async fn open_as(
        &self,
        address: &Address,
        config: AsyncConnectionConfig,
        authenticate: bool,
    ) -> Result<MultiplexedConnection, LinkError> {
        let failed = |error| LinkError::Server(shown(address), error);
        let client = self.client(address, authenticate).map_err(failed)?;
        // The timeout of the library does not cover TLS and the greeting.
        let opened =
            tokio::time::timeout(CONNECT_TIMEOUT, client.get_multiplexed_async_connection_with_config(&config)).await;
        opened.map_err(|_| LinkError::TimedOut(shown(address)))?.map_err(failed)
    }

    /// Sentinels often have no password although their servers have one, and then refuse a connection that sends one.
    pub(super) async fn open_to_ask(&self, address: &Address) -> Result<MultiplexedConnection, LinkError> {
        match self.open(address, config()).await {
            Err(LinkError::Server(_, error))
                if matches!(self.topology, Topology::Sentinel { .. })
                    && error.kind() == ErrorKind::AuthenticationFailed =>
            {
                self.open_as(address, config(), false).await
            }
            opened => opened,
        }
    }

    fn client(&self, (host, port): &Address, authenticate: bool) -> Result<Client, RedisError> {
        let Secrets { password, tls } = self.secrets.lock().clone();
        let mut redis = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(username) = self.username.as_ref().filter(|_| authenticate) {
            redis = redis.set_username(username);
        }
        if let Some(password) = password.as_ref().filter(|_| authenticate) {
            redis = redis.set_password(password.as_str());
        }
        let address = match &tls {
            None => ConnectionAddr::Tcp(host.clone(), *port),
            Some(_) => ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None },
        };
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = address.into_connection_info()?.set_redis_settings(redis).set_tcp_settings(tcp);
        match &tls {
            None => Client::open(info),
            Some(tls) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: tls.ca.clone() }),
        }
    }
}

fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT))
}

pub(super) fn shown((host, port): &Address) -> String {
    format!("{host}:{port}")
}
