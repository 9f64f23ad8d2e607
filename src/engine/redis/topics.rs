//! The names of topics, from the index of those that have alerts.

use super::{Redis, codec, script};
use crate::alert::Topic;
use crate::engine::Unavailable;
use crate::engine::topics::Run;

impl Redis {
    /// The first `limit` of each run.
    pub(in crate::engine) async fn topics(&self, runs: &[Run], limit: usize) -> Result<Vec<Topic>, Unavailable> {
        let shared = &self.0.queries.shared;
        let answer = self.0.queries.script(script::topics(&shared.link, shared.time_argument(), runs, limit)).await?;
        codec::topics(&answer).map_err(|reason| shared.link.unreadable(&reason))
    }
}
