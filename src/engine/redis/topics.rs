//! The names of topics, from the index of those that have alerts.

use super::{Redis, codec, script};
use crate::alert::Topic;
use crate::engine::Unavailable;
use crate::engine::topics::Run;

impl Redis {
    /// The first `most` of each run.
    pub(in crate::engine) async fn topics(&self, runs: &[Run], most: usize) -> Result<Vec<Topic>, Unavailable> {
        let shared = &self.0.shared;
        let answer = self.look(script::topics(&shared.link, shared.time_argument(), runs, most)).await?;
        codec::topics(&answer).ok_or_else(|| shared.damaged())
    }
}
