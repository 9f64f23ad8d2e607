//! Reads a whole log in order, for a backup, while alerts are still being stored.

use super::{Cause, Engine, Unavailable, embedded, redis};
use crate::backup::{Extent, Part};

/// Hands out the parts of a log in order.
pub(crate) struct Export {
    /// The name of the engine.
    pub(crate) kind: &'static str,
    /// The facts about the log as a whole.
    pub(crate) extent: Extent,
    /// Identifies a log in Redis among those that the server has had.
    pub(crate) epoch: Option<String>,
    /// About how many alerts there are.
    pub(crate) alerts: u64,
    source: Source,
}

enum Source {
    Embedded(Box<embedded::Export>),
    Redis(Box<redis::Export>),
    /// A piece is being read, or that read panicked.
    Lost,
}

impl Engine {
    /// The log as it is stored now; alerts may be stored while it is read.
    ///
    /// # Errors
    /// The log cannot be read now.
    pub(crate) async fn export(&self) -> Result<Export, Unavailable> {
        Ok(match self {
            Self::Embedded(embedded) => embedded.export().await?.into(),
            Self::Redis(redis) => redis.export().await?.into(),
        })
    }
}

impl From<embedded::Export> for Export {
    fn from(export: embedded::Export) -> Self {
        let (extent, alerts) = (export.extent, export.alerts);
        Self { kind: "embedded", extent, epoch: None, alerts, source: Source::Embedded(Box::new(export)) }
    }
}

impl From<redis::Export> for Export {
    fn from(export: redis::Export) -> Self {
        let (extent, alerts, epoch) = (export.extent, export.alerts, Some(export.epoch.clone()));
        Self { kind: "redis", extent, epoch, alerts, source: Source::Redis(Box::new(export)) }
    }
}

impl Export {
    /// The next parts; none at the end.
    ///
    /// # Errors
    /// The log cannot be read now.
    pub(crate) async fn next(&mut self) -> Result<Vec<Part>, Unavailable> {
        if let Source::Redis(redis) = &mut self.source {
            return redis.next().await;
        }
        let Source::Embedded(mut embedded) = std::mem::replace(&mut self.source, Source::Lost) else {
            return Err(Unavailable::stopping());
        };
        let read = tokio::task::spawn_blocking(move || {
            let parts = embedded.next();
            (embedded, parts)
        });
        let (embedded, parts) = read.await.map_err(|_| Unavailable::stopping())?;
        self.source = Source::Embedded(embedded);
        parts.map_err(|error| Unavailable::new(Cause::StoreFailing, format!("the log cannot be read: {error}")))
    }

    /// Records that cannot be read, each with its place.
    pub(crate) fn damage(&self) -> &[String] {
        match &self.source {
            Source::Embedded(embedded) => &embedded.damage,
            _ => &[],
        }
    }
}
