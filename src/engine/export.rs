//! Reads a whole log in order, for a backup, while alerts are still being stored.

use super::{Cause, Engine, Unavailable, embedded};
use crate::backup::{Extent, Part};

/// Hands out the parts of a log in order.
pub(crate) struct Export {
    /// The facts about the log as a whole.
    pub(crate) extent: Extent,
    /// About how many alerts there are.
    pub(crate) alerts: u64,
    /// None while a piece is being read, and after a panic of that read.
    source: Option<Box<embedded::Export>>,
}

impl Engine {
    /// The log as it is stored now; alerts may be stored while it is read.
    ///
    /// # Errors
    /// The log cannot be read now, or is in Redis.
    pub(crate) async fn export(&self) -> Result<Export, Unavailable> {
        let Self::Embedded(embedded) = self else {
            let detail = "the log is in Redis, which has its own backups: copy its file after BGSAVE";
            return Err(Unavailable::new(Cause::StoreFailing, detail));
        };
        let source = Box::new(embedded.export().await?);
        Ok(Export { extent: source.extent, alerts: source.alerts, source: Some(source) })
    }
}

impl Export {
    /// The next parts; none at the end.
    ///
    /// # Errors
    /// The log cannot be read now.
    pub(crate) async fn next(&mut self) -> Result<Vec<Part>, Unavailable> {
        let Some(mut source) = self.source.take() else { return Err(Unavailable::stopping()) };
        let read = tokio::task::spawn_blocking(move || {
            let parts = source.next();
            (source, parts)
        });
        let (source, parts) = read.await.map_err(|_| Unavailable::stopping())?;
        self.source = Some(source);
        parts.map_err(|error| Unavailable::new(Cause::StoreFailing, format!("the log cannot be read: {error}")))
    }
}
