//! `alertctl retract`, and how a retraction is shown.

use hyper::Method;

use super::args::Retract;
use super::client::{Client, Request, encoded};
use super::exit::Failure;
use super::output::{Output, Paint, note};
use super::text::{escaped, local};

/// # Errors
/// Those of the daemon.
pub(crate) async fn run(Retract { topic, id }: Retract, client: &Client) -> Result<(), Failure> {
    let path = format!("/alerts/{}/{id}", encoded(topic.as_str()));
    client.send(Request::new(Method::DELETE, path)).await?;
    note(&format!("the alert {id} on {topic} is retracted"));
    Ok(())
}

/// A retraction as a stream has it, for people.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Retraction {
    topic: String,
    alert: String,
    by: String,
    time: String,
}

impl Retraction {
    /// One line.
    pub(crate) fn row(&self, output: &Output) -> String {
        let Self { topic, alert, by, time } = self;
        let (time, topic) = (output.paint(&local(time), Paint::Dim), output.paint(&escaped(topic), Paint::Bold));
        format!("{time}  --     {topic}  the alert {} was retracted by {}", escaped(alert), escaped(by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::output::tests::Captured;
    use crate::ctl::testing::{Reply, Server};

    #[tokio::test]
    async fn a_retraction_is_one_request_and_says_why_it_is_refused() {
        for (reply, is_done) in [(Reply::json(204, ""), true), (Reply::problem(403, "not yours"), false)] {
            let server = Server::always(reply).await;
            let args = Retract { topic: "ops.db".parse().unwrap(), id: "5-1".parse().unwrap() };
            let done = run(args, &Client::new(server.address(), None)).await;
            let request = &server.requests()[0];
            assert_eq!((request.method.as_str(), request.target.as_str()), ("DELETE", "/alerts/ops.db/5-1"));
            assert_eq!(done.is_ok(), is_done);
            assert!(is_done || done.unwrap_err().to_string().contains("not yours"));
        }
    }

    #[test]
    fn a_retraction_is_one_line() {
        let json = r#"{"topic":"ops","alert":"5-1","by":"bob\nx","time":"2026-11-23T17:33:10.123Z"}"#;
        let line = serde_json::from_str::<Retraction>(json).unwrap().row(&Output::to(Captured::default()));
        assert!(line.contains("5-1 was retracted by bob") && !line.contains('\n'), "{line}");
    }
}
