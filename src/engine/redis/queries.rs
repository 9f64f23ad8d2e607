//! Queries beside the writer: they share one connection with the follower, a bounded number at the same time.
//!
//! Used by the engine's handle for reads, and by [`Fleet`](super::Fleet). While the follower has no connection, a query
//! fails at once with the follower's reason.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::sync::Semaphore;

use super::{Shared, script};
use crate::engine::Unavailable;

/// Queries at the same time.
const MAX_QUERIES: usize = 8;

pub(super) struct Queries {
    pub(super) shared: Arc<Shared>,
    permits: Semaphore,
}

impl Queries {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, permits: Semaphore::new(MAX_QUERIES) }
    }

    pub(super) async fn script(&self, call: script::Arguments) -> Result<Vec<Vec<u8>>, Unavailable> {
        self.with_connection(async move |connection| call.run(connection).await).await
    }

    pub(super) async fn command<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Unavailable> {
        self.with_connection(async |connection| command.query_async(connection).await).await
    }

    async fn with_connection<T>(
        &self,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, redis::RedisError>,
    ) -> Result<T, Unavailable> {
        let _permit = self.permits.acquire().await.map_err(|_| Unavailable::stopping())?;
        let Some(mut connection) = self.shared.state(|state| state.connection.clone()) else {
            return Err(self.shared.trouble());
        };
        ask(&mut connection).await.map_err(|error| self.shared.failed(&error))
    }
}
