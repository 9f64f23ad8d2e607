//! Queries, which share one connection with the follower. A bounded number runs at the same time, and fewer of those
//! that keep Redis busy.
//!
//! Used by the engine's handle for reads, and by [`Fleet`](super::Fleet). While the follower has no connection, a query
//! fails at once with the follower's reason.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::sync::Semaphore;

use super::{Shared, script};
use crate::engine::Unavailable;

const MAX_QUERIES: usize = 8;
/// Reads of the log at the same time: a publish waits in Redis for all of them. Two, so that Redis need not wait for
/// the node.
const MAX_READS: usize = 2;

pub(super) struct Queries {
    pub(super) shared: Arc<Shared>,
    permits: Semaphore,
    reads: Semaphore,
}

impl Queries {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, permits: Semaphore::new(MAX_QUERIES), reads: Semaphore::new(MAX_READS) }
    }

    pub(super) async fn script(&self, call: script::Arguments) -> Result<Vec<Vec<u8>>, Unavailable> {
        self.ask(&self.permits, async move |connection| call.run(connection).await).await
    }

    /// Runs a script that reads the log.
    pub(super) async fn read(&self, call: script::Arguments) -> Result<Vec<Vec<u8>>, Unavailable> {
        self.reading(async move |connection| call.run(connection).await).await
    }

    /// Runs a query that keeps Redis busy for a moment.
    pub(super) async fn reading<T>(
        &self,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, redis::RedisError>,
    ) -> Result<T, Unavailable> {
        self.ask(&self.reads, ask).await
    }

    pub(super) async fn command<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Unavailable> {
        self.ask(&self.permits, async |connection| command.query_async(connection).await).await
    }

    async fn ask<T>(
        &self,
        permits: &Semaphore,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, redis::RedisError>,
    ) -> Result<T, Unavailable> {
        let _permit = permits.acquire().await.map_err(|_| Unavailable::stopping())?;
        let Some((server, mut connection)) = self.shared.state(|state| state.connection.clone()) else {
            return Err(self.shared.trouble());
        };
        if self.shared.is_replaced(&server) {
            // The follower is about to leave this server.
            return Err(self.shared.link.replaced());
        }
        ask(&mut connection).await.map_err(|error| self.shared.link.failed(&error))
    }
}
