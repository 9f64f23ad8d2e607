//! `alertctl history`: prints stored alerts, page by page.

use serde_json::value::RawValue;

use super::alert::{Alert, Rows};
use super::args;
use super::client::Client;
use super::exit::Failure;
use super::output::Output;
use super::pages::{self, MAX_PAGE};
use super::progress::Progress;
use crate::alert::Id;
use crate::api::History;

/// Number of alerts without `--since` and `-n`.
const DEFAULT_COUNT: u32 = 100;

/// Prints the alerts, oldest first.
///
/// # Errors
/// The daemon's refusal, or that it did not answer.
pub(crate) async fn run(args: args::History, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let wanted = Wanted { client, query: args.select.query(), until: args.until };
    // `None` prints the JSON unchanged.
    let rows = (!args.json).then(Rows::default);
    match args.since {
        Some(since) => wanted.forward(since, args.count, rows, output).await,
        None => wanted.newest(args.count.unwrap_or(DEFAULT_COUNT), rows, output).await,
    }
}

struct Wanted<'a> {
    client: &'a Client,
    query: Vec<(&'static str, String)>,
    /// Only alerts before this id.
    until: Option<Id>,
}

impl Wanted<'_> {
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
            let from = Some(("since", since));
            let page = pages::page(self.client, &self.query, from, left.unwrap_or(MAX_PAGE)).await?;
            for alert in &page.alerts {
                if self.until.is_some_and(|until| id(alert).is_some_and(|id| id >= until)) {
                    return Ok(());
                }
                print(alert, &mut rows, output).await?;
            }
            count_page(&mut progress, &page);
            left = left.map(|left| left.saturating_sub(u32::try_from(page.alerts.len()).unwrap_or(u32::MAX)));
            match page.next {
                // An empty page with `next` is not the end: the daemon limits how much it scans for one page.
                Some(next) if left != Some(0) && self.until.is_none_or(|until| next < until) => {
                    since = next.to_string();
                }
                _ => return Ok(()),
            }
            output.flush().await?;
        }
    }

    /// Prints the newest alerts.
    async fn newest(&self, count: u32, mut rows: Option<Rows>, output: &mut Output) -> Result<(), Failure> {
        let mut progress = Progress::begin(Some(count.into()), false);
        let count_page = |page: &History| count_page(&mut progress, page);
        let alerts = pages::newest(self.client, &self.query, self.until, count, count_page).await?;
        progress.end();
        for alert in &alerts {
            print(alert, &mut rows, output).await?;
        }
        Ok(())
    }
}

fn count_page(progress: &mut Progress, page: &History) {
    if let Some(id) = page.alerts.last().and_then(|alert| id(alert)) {
        progress.add(page.alerts.len() as u64, id);
    }
}

fn id(alert: &RawValue) -> Option<Id> {
    #[derive(serde::Deserialize)]
    struct WithId {
        id: Id,
    }
    serde_json::from_str::<WithId>(alert.get()).ok().map(|alert| alert.id)
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
    async fn nothing_from_the_end_on_is_printed_or_asked_for() {
        let server = Server::start([page(&[1, 2], Some(2)), page(&[4, 5], Some(5))]).await;
        assert_eq!(history(&["--since", "all", "--until", "5-0"], &server).await.unwrap(), ["1-0", "2-0", "4-0"]);
        let server = Server::start([page(&[1, 2], Some(9))]).await;
        assert_eq!(history(&["--since", "all", "--until", "5-0"], &server).await.unwrap(), ["1-0", "2-0"]);
        let server = Server::start([page(&[3, 4], Some(3)), page(&[2], None)]).await;
        assert_eq!(history(&["-n", "3", "--until", "5-0"], &server).await.unwrap(), ["2-0", "3-0", "4-0"]);
        let targets: Vec<String> = server.requests().into_iter().map(|r| r.target).collect();
        assert_eq!(targets, ["/alerts?topic=*&before=5-0&limit=3", "/alerts?topic=*&before=3-0&limit=1"]);
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
