//! Finds the server that holds the log, by asking the Sentinels or the nodes of a Cluster.
//!
//! Called for each new connection, and by the watcher four times a second. All configured Sentinels or nodes are asked
//! at once, so that their order does not matter and one that does not answer costs little. Always: the highest
//! configuration epoch wins. A majority of the Sentinels must have answered; a node of a Cluster speaks for a majority
//! unless it reports `fail`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, Value};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::belief::{Address, Claim};
use super::link::{Access, LinkError, Topology, shown};

/// The time limit for one answer, including the connection.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);
/// How long to wait for the others once enough have answered: a single one may be the first to know of a failover.
const GRACE: Duration = Duration::from_millis(100);

impl Access {
    /// The server that holds the log now.
    pub(super) async fn server(self: &Arc<Self>) -> Result<Address, LinkError> {
        match &self.topology {
            Topology::Alone { host, port } => Ok((host.clone(), *port)),
            Topology::Sentinel { sentinels, .. } => self.ask_all(sentinels, sentinels.len() / 2 + 1).await,
            Topology::Cluster { nodes } => self.ask_all(nodes, 1).await,
        }
    }

    /// Asks all of these; at least `enough` must answer.
    async fn ask_all(self: &Arc<Self>, asked: &[Address], enough: usize) -> Result<Address, LinkError> {
        let mut asking = JoinSet::new();
        for address in asked {
            let (access, address) = (Arc::clone(self), address.clone());
            asking.spawn(async move {
                let answer = timeout(ASK_TIMEOUT, access.ask(&address)).await;
                answer.unwrap_or_else(|_| Err(LinkError::TimedOut(shown(&address))))
            });
        }
        let (mut claims, mut reasons) = (Vec::new(), Vec::new());
        let mut deadline = Instant::now() + 2 * ASK_TIMEOUT;
        while let Ok(Some(answer)) = timeout_at(deadline, asking.join_next()).await {
            match answer {
                Ok(Ok(claim)) => claims.push(claim),
                Ok(Err(reason)) => reasons.push(reason.to_string()),
                Err(_) => {}
            }
            if claims.len() == enough {
                deadline = Instant::now() + GRACE;
            }
        }
        if claims.len() < enough {
            let detail = format!("{} of {} answered, and {enough} are needed", claims.len(), asked.len());
            reasons.insert(0, detail);
            return Err(LinkError::Unknown(reasons.join("; ")));
        }
        let believed = self.belief.lock().hear(&claims, Instant::now());
        believed.ok_or_else(|| LinkError::Unknown(reasons.join("; ")))
    }

    async fn ask(&self, address: &Address) -> Result<Claim, LinkError> {
        // Removed until it has answered, so that a connection that hangs is not used again.
        let kept = self.asked.lock().remove(address);
        if let Some(kept) = kept
            && let Ok(claim) = self.ask_on(kept, address).await
        {
            return Ok(claim);
        }
        self.ask_on(self.open_to_ask(address).await?, address).await
    }

    async fn ask_on(&self, mut connection: MultiplexedConnection, address: &Address) -> Result<Claim, LinkError> {
        let claim = match &self.topology {
            Topology::Sentinel { service, .. } => ask_sentinel(&mut connection, address, service).await?,
            _ => ask_node(&mut connection, address, &self.key("log")).await?,
        };
        self.asked.lock().insert(address.clone(), connection);
        Ok(claim)
    }
}

async fn query<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    address: &Address,
    words: &[&str],
) -> Result<T, LinkError> {
    let failed = |error: RedisError| LinkError::Server(shown(address), error);
    let (name, arguments) = words.split_first().unwrap_or((&"PING", &[]));
    redis::cmd(name).arg(arguments).query_async(connection).await.map_err(failed)
}

async fn ask_sentinel(
    connection: &mut MultiplexedConnection,
    address: &Address,
    service: &str,
) -> Result<Claim, LinkError> {
    let does_not_know = || LinkError::Unknown(format!("{} does not know {service:?}", shown(address)));
    // Asked in this order, because a failover in between then gives an older address a newer epoch, not the other way
    // round. A user without the right to ask gets no answer.
    let known: HashMap<String, String> =
        query(connection, address, &["SENTINEL", "MASTER", service]).await.unwrap_or_default();
    let named: Option<Address> = query(connection, address, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service]).await?;
    let epoch = known.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Ok(Claim { server: named.ok_or_else(does_not_know)?, epoch })
}

async fn ask_node(connection: &mut MultiplexedConnection, address: &Address, key: &str) -> Result<Claim, LinkError> {
    // A user without the right to ask gets no answer; then the node is believed.
    let info: Result<String, _> = query(connection, address, &["CLUSTER", "INFO"]).await;
    if info.is_ok_and(|info| super::codec::info(&info, "cluster_state").is_some_and(|state| state != "ok")) {
        let detail = format!("{} is cut off from the majority of its Cluster (cluster_state:fail)", shown(address));
        return Err(LinkError::Unknown(detail));
    }
    let slot = query(connection, address, &["CLUSTER", "KEYSLOT", key]).await?;
    let slots: Value = query(connection, address, &["CLUSTER", "SLOTS"]).await?;
    let (server, id) = owner_of(slot, &slots, address)
        .ok_or_else(|| LinkError::Unknown(format!("{} does not know the owner of the slot", shown(address))))?;
    let nodes: String = query(connection, address, &["CLUSTER", "NODES"]).await.unwrap_or_default();
    Ok(Claim { server, epoch: epoch_of(&id, &nodes) })
}

/// Reads `CLUSTER SLOTS`: ranges of first slot, last slot and nodes, the primary first. A node without an address is
/// the one that was asked. Also returns the id of the owner.
fn owner_of(slot: i64, answer: &Value, asked: &Address) -> Option<(Address, String)> {
    let Value::Array(ranges) = answer else { return None };
    ranges.iter().find_map(|range| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice() else { return None };
        if !(*first..=*last).contains(&slot) {
            return None;
        }
        let host: Option<String> = redis::from_redis_value_ref(primary.first()?).ok()?;
        let port: u16 = redis::from_redis_value_ref(primary.get(1)?).ok()?;
        let id = primary.get(2).and_then(|id| redis::from_redis_value_ref(id).ok()).unwrap_or_default();
        Some(((host.filter(|host| !host.is_empty()).unwrap_or_else(|| asked.0.clone()), port), id))
    })
}

/// Reads `CLUSTER NODES`: a line for each node, with its id first and its configuration epoch as the seventh word.
fn epoch_of(id: &str, nodes: &str) -> u64 {
    let line = nodes.lines().find(|line| line.split(' ').next() == Some(id));
    line.and_then(|line| line.split(' ').nth(6)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_slot_and_its_epoch_are_read() {
        let text = |text: &str| Value::BulkString(text.into());
        let node = |host: &str, id: &str| Value::Array(vec![text(host), Value::Int(7000), text(id)]);
        let range = |first, last, node| Value::Array(vec![Value::Int(first), Value::Int(last), node]);
        let slots = Value::Array(vec![range(0, 9, node("a", "ia")), range(10, 19, node("", "ib"))]);
        let asked = ("asked".to_owned(), 1);
        assert_eq!(owner_of(5, &slots, &asked), Some((("a".into(), 7000), "ia".into())));
        assert_eq!(owner_of(10, &slots, &asked), Some((("asked".into(), 7000), "ib".into())));
        assert_eq!(owner_of(20, &slots, &asked), None);
        let nodes =
            "ia h:7000@17000 master - 0 0 3 connected 0-9\nib :7000@17000 myself,master - 0 0 12 connected 10-19\n";
        assert_eq!((epoch_of("ia", nodes), epoch_of("ib", nodes), epoch_of("ic", nodes)), (3, 12, 0));
    }
}
