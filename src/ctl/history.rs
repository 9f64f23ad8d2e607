//! `alertctl history`: prints stored alerts, page by page.

use hyper::header::ACCEPT;
use serde_json::value::RawValue;

use super::alert::{Alert, Rows};
use super::args;
use super::client::{Client, Request, target};
use super::exit::Failure;
use super::output::{Output, note};
use super::progress::Progress;
use super::tail::gap_message;
use crate::alert::Id;
use crate::api::History;

/// The daemon's limit for the alerts on one page.
const MAX_PAGE: u32 = 1000;
/// Number of alerts without `--since` and `-n`.
const DEFAULT_COUNT: u32 = 100;

/// Prints the alerts, oldest first.
///
/// # Errors
/// The daemon's refusal, or that it did not answer.
pub(crate) async fn run(args: args::History, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let pages = Pages { client, query: args.select.query() };
    // `None` prints the JSON unchanged.
    let rows = (!args.json).then(Rows::default);
    match args.since {
        Some(since) => pages.forward(since, args.count, rows, output).await,
        None => pages.newest(args.count.unwrap_or(DEFAULT_COUNT), rows, output).await,
    }
}

struct Pages<'a> {
    client: &'a Client,
    query: Vec<(&'static str, String)>,
}

impl Pages<'_> {
    async fn page(&self, from: Option<(&'static str, String)>, limit: u32) -> Result<History, Failure> {
        let limit = ("limit", limit.min(MAX_PAGE).to_string());
        let query: Vec<_> = self.query.iter().cloned().chain(from).chain([limit]).collect();
        let response =
            self.client.send(Request::get(target("/alerts", &query)).header(ACCEPT, "application/json")).await?;
        let page: History = response.json().await?;
        if let Some(gap) = &page.gap {
            note(&gap_message(gap));
        }
        Ok(page)
    }

    /// Prints the alerts from `since` on, each page as it arrives.
    async fn forward(
        &self,
        since: String,
        count: Option<u32>,
        mut rows: Option<Rows>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let (mut since, mut left) = (since, count);
        let mut progress = Progress::begin(count.map(u64::from), output.is_visible());
        loop {
            let page = self.page(Some(("since", since)), left.unwrap_or(MAX_PAGE)).await?;
            for alert in &page.alerts {
                print(alert, &mut rows, output).await?;
            }
            count_page(&mut progress, &page);
            left = left.map(|left| left.saturating_sub(u32::try_from(page.alerts.len()).unwrap_or(u32::MAX)));
            match page.next {
                // An empty page with `next` is not the end: the daemon limits how much it scans for one page.
                Some(next) if left != Some(0) => since = next.to_string(),
                _ => return Ok(()),
            }
            output.flush().await?;
        }
    }

    /// Prints the newest alerts. Their pages come newest first, so all are collected before the first is printed.
    async fn newest(&self, count: u32, mut rows: Option<Rows>, output: &mut Output) -> Result<(), Failure> {
        let (mut pages, mut left, mut from) = (Vec::new(), count, None);
        let mut progress = Progress::begin(Some(count.into()), false);
        loop {
            let page = self.page(from, left).await?;
            count_page(&mut progress, &page);
            left = left.saturating_sub(u32::try_from(page.alerts.len()).unwrap_or(u32::MAX));
            pages.push(page.alerts);
            match page.next {
                Some(next) if left > 0 => from = Some(("before", next.to_string())),
                _ => break,
            }
        }
        progress.end();
        for alert in pages.iter().rev().flatten() {
            print(alert, &mut rows, output).await?;
        }
        Ok(())
    }
}

fn count_page(progress: &mut Progress, page: &History) {
    #[derive(serde::Deserialize)]
    struct WithId {
        id: Id,
    }
    let last = page.alerts.last().and_then(|alert| serde_json::from_str::<WithId>(alert.get()).ok());
    if let Some(WithId { id }) = last {
        progress.add(page.alerts.len() as u64, id);
    }
}

async fn print(alert: &RawValue, rows: &mut Option<Rows>, output: &mut Output) -> Result<(), Failure> {
    let Some(rows) = rows else { return output.line(alert.get()).await };
    let alert: Alert = serde_json::from_str(alert.get())
        .map_err(|e| Failure::Failed(format!("cannot parse an alert ({e}); update alertctl, or use --json")))?;
    output.line(&rows.row(&alert, output)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::output::tests::Captured;
    use crate::ctl::testing::{Reply, Server};
    use clap::Parser;

    async fn history(line: &[&str], server: &Server) -> Result<Vec<String>, Failure> {
        let line = ["alertctl", "history", "--json"].into_iter().chain(line.iter().copied());
        let args::Command::History(args) = args::Ctl::try_parse_from(line).unwrap().command else { panic!() };
        let captured = Captured::default();
        let mut output = Output::to(captured.clone());
        run(args, &Client::new(server.address(), None), &mut output).await?;
        output.flush().await?;
        let id =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
        Ok(captured.text().lines().map(id).collect())
    }

    fn page(ids: &[u64], next: Option<u64>) -> Reply {
        let alerts: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}-0"}}"#)).collect();
        let next = next.map_or("null".to_owned(), |id| format!("\"{id}-0\""));
        Reply::json(200, &format!(r#"{{"alerts":[{}],"next":{next},"gap":null}}"#, alerts.join(",")))
    }

    #[tokio::test]
    async fn forward_pages_follow_next_over_empty_ones_to_the_end() {
        let server = Server::start([page(&[1, 2], Some(2)), page(&[], Some(9)), page(&[10], None)]).await;
        assert_eq!(history(&["--since", "all", "ops.*", "-l", "warn"], &server).await.unwrap(), ["1-0", "2-0", "10-0"]);
        let targets: Vec<String> = server.requests().into_iter().map(|r| r.target).collect();
        assert_eq!(targets[0], "/alerts?topic=ops.*&level=warn&since=all&limit=1000");
        assert!(targets[1].contains("since=2-0") && targets[2].contains("since=9-0"), "{targets:?}");
    }

    #[tokio::test]
    async fn the_newest_are_collected_backwards_and_printed_forwards() {
        let server = Server::start([page(&[8, 9], Some(8)), page(&[6, 7], Some(6))]).await;
        assert_eq!(history(&["-n", "4"], &server).await.unwrap(), ["6-0", "7-0", "8-0", "9-0"]);
        let targets: Vec<String> = server.requests().into_iter().map(|r| r.target).collect();
        assert_eq!(targets, ["/alerts?topic=*&limit=4", "/alerts?topic=*&before=8-0&limit=2"]);
    }

    #[tokio::test]
    async fn a_refusal_includes_the_daemons_detail() {
        let server = Server::always(Reply::problem(403, "this key may not use the topic *")).await;
        let failure = history(&[], &server).await.unwrap_err();
        assert!(failure.code() == 77 && failure.to_string().contains("may not use the topic"), "{failure}");
        let server = Server::always(Reply::json(200, "<html>")).await;
        assert_eq!(history(&[], &server).await.unwrap_err().code(), 1);
    }
}
