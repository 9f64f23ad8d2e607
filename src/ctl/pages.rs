//! Pages of stored alerts.
//!
//! Called by `history`, and by a `tail` that begins with the newest alerts.

use hyper::header::ACCEPT;
use serde_json::value::RawValue;

use super::client::{Client, ClientError, Request, target};
use super::output::note;
use crate::alert::Id;
use crate::api::History;
use crate::sse::Gap;

/// The daemon's limit for the alerts on one page.
pub(crate) const MAX_PAGE: u32 = 1000;

/// The parameters of a request that select alerts.
pub(crate) type Query = [(&'static str, String)];

/// One page: `from` is its `since` or `before`.
///
/// # Errors
/// The daemon's refusal, or that it did not answer.
pub(crate) async fn page(
    client: &Client,
    query: &Query,
    from: Option<(&'static str, String)>,
    limit: u32,
) -> Result<History, ClientError> {
    let limit = ("limit", limit.min(MAX_PAGE).to_string());
    let query: Vec<_> = query.iter().cloned().chain(from).chain([limit]).collect();
    let request = Request::get(target("/alerts", &query)).header(ACCEPT, "application/json");
    let page: History = client.send(request).await?.json().await?;
    if let Some(gap) = &page.gap {
        note(&gap_message(gap));
    }
    Ok(page)
}

/// The newest alerts, of those before an id if one is given, oldest first. Their pages come newest first, so all are
/// collected.
///
/// # Errors
/// Those of [`page`].
pub(crate) async fn newest(
    client: &Client,
    query: &Query,
    before: Option<Id>,
    count: u32,
    mut on_page: impl FnMut(&History),
) -> Result<Vec<Box<RawValue>>, ClientError> {
    let (mut pages, mut left, mut before) = (Vec::new(), count, before);
    loop {
        let page = page(client, query, before.map(|id| ("before", id.to_string())), left).await?;
        on_page(&page);
        left = left.saturating_sub(u32::try_from(page.alerts.len()).unwrap_or(u32::MAX));
        pages.push(page.alerts);
        before = page.next;
        if left == 0 || before.is_none() {
            return Ok(pages.into_iter().rev().flatten().collect());
        }
    }
}

#[must_use]
pub(crate) fn gap_message(gap: &Gap) -> String {
    let oldest =
        gap.oldest.map_or_else(|| "none is retained".to_owned(), |oldest| format!("none is missing from {oldest} on"));
    format!("alerts after {} may be missing: {oldest}, the newest was {}", gap.requested, gap.head)
}
