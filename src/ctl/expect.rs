//! `alertctl expect`: makes, lists and removes what is expected on topics.

use hyper::Method;

use super::args::Expect;
use super::client::{Client, Request, encoded, target};
use super::exit::Failure;
use super::output::{Output, note};
use super::text::{escaped, local, table};
use crate::api::{Expectation, Expectations, NewExpectation};

/// # Errors
/// Those of the daemon.
pub(crate) async fn run(args: Expect, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let Some(topic) = args.topic else { return list(client, args.json, output).await };
    let path = format!("/expectations/{}", encoded(topic.as_str()));
    let subject = match &args.incident {
        Some(name) => format!("{topic} (incident {})", escaped(name.as_str())),
        None => topic.to_string(),
    };
    let Some(every) = args.every else {
        let incident: Vec<_> = args.incident.iter().map(|name| ("incident", name.to_string())).collect();
        client.send(Request::new(Method::DELETE, target(&path, &incident))).await?;
        note(&format!("nothing is expected on {subject} any more"));
        return Ok(());
    };
    let new = NewExpectation { every, level: args.level, incident: args.incident };
    let body = serde_json::to_string(&new).map_err(|e| Failure::Failed(format!("cannot write the request: {e}")))?;
    let request = Request::new(Method::PUT, path).body("application/json", body);
    let expected: Expectation = client.send(request).await?.json().await?;
    if args.json {
        return output.line(&json(&expected)?).await;
    }
    note(&format!("something is expected on {subject} every {every}, the next by {}", local(&expected.due)));
    Ok(())
}

fn json(expected: &Expectation) -> Result<String, Failure> {
    serde_json::to_string(expected).map_err(|e| Failure::Failed(format!("cannot print an expectation: {e}")))
}

async fn list(client: &Client, as_json: bool, output: &mut Output) -> Result<(), Failure> {
    let Expectations { expectations } = client.send(Request::get("/expectations")).await?.json().await?;
    if as_json {
        for expected in &expectations {
            output.line(&json(expected)?).await?;
        }
        return Ok(());
    }
    if expectations.is_empty() {
        note("nothing is expected; expect something with: alertctl expect TOPIC --every DURATION");
        return Ok(());
    }
    let heading = ["TOPIC", "INCIDENT", "EVERY", "LEVEL", "LAST", "DUE", "STATE"].map(str::to_owned).to_vec();
    let row = |expected: &Expectation| {
        vec![
            expected.topic.to_string(),
            expected.incident.as_ref().map_or_else(|| "-".to_owned(), |name| escaped(name.as_str())),
            expected.every.to_string(),
            expected.level.to_string(),
            expected.last.as_deref().map_or_else(|| "never".to_owned(), local),
            local(&expected.due),
            escaped(if expected.missed { "missed" } else { "waiting" }),
        ]
    };
    let rows: Vec<Vec<String>> = [heading].into_iter().chain(expectations.iter().map(row)).collect();
    let width = output.size().map_or(usize::MAX, |(columns, _)| columns);
    for line in table(&rows, width) {
        output.line(&line).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::args::{Command, Ctl};
    use crate::ctl::output::tests::Captured;
    use crate::ctl::testing::{Reply, Server};
    use clap::Parser;

    const ONE: &str = r#"{"topic":"ops.db","incident":null,"every":"25h","level":"warn","last":null,"due":"2026-11-23T17:33:10.123Z","missed":true}"#;

    fn args(line: &[&str]) -> Result<Expect, clap::Error> {
        let line = ["alertctl", "expect"].into_iter().chain(line.iter().copied());
        let Command::Expect(expect) = Ctl::try_parse_from(line)?.command else { panic!() };
        Ok(expect)
    }

    #[tokio::test]
    async fn each_form_is_one_request() {
        for (line, reply, asked, printed) in [
            (
                &["ops.db", "--every", "25h", "-l", "warn", "--json"][..],
                Reply::json(200, ONE),
                r#"PUT /expectations/ops.db {"every":"25h","level":"warn","incident":null}"#,
                ONE,
            ),
            (&["ops.db", "--remove"], Reply::json(204, ""), "DELETE /expectations/ops.db ", ""),
            (
                &["ops.db", "--incident", "a b", "--every", "25h"],
                Reply::json(200, &ONE.replace("null", "\"a b\"")),
                r#"PUT /expectations/ops.db {"every":"25h","level":"error","incident":"a b"}"#,
                "",
            ),
            (
                &["ops.db", "--incident", "a&b", "--remove"],
                Reply::json(204, ""),
                "DELETE /expectations/ops.db?incident=a%26b ",
                "",
            ),
            (
                &["--list", "--json"],
                Reply::json(200, &format!(r#"{{"expectations":[{ONE}]}}"#)),
                "GET /expectations ",
                ONE,
            ),
        ] {
            let server = Server::always(reply).await;
            let captured = Captured::default();
            let mut output = Output::to(captured.clone());
            run(args(line).unwrap(), &Client::new(server.address(), None), &mut output).await.unwrap();
            output.flush().await.unwrap();
            let request = &server.requests()[0];
            assert_eq!(format!("{} {} {}", request.method, request.target, request.body), asked);
            assert_eq!(captured.text().trim_end(), printed);
        }
    }

    #[tokio::test]
    async fn the_list_shows_what_was_missed() {
        let server = Server::always(Reply::json(200, &format!(r#"{{"expectations":[{ONE}]}}"#))).await;
        let captured = Captured::default();
        let mut output = Output::to(captured.clone());
        run(args(&["--list"]).unwrap(), &Client::new(server.address(), None), &mut output).await.unwrap();
        output.flush().await.unwrap();
        let text = captured.text();
        for word in ["TOPIC", "ops.db", "25h", "warn", "never", "missed"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for line in [
            &[][..],
            &["ops"],
            &["--every", "25h"],
            &["ops", "--every", "5s"],
            &["ops", "--list"],
            &["--incident", "x", "--list"],
            &["ops", "--remove", "--every", "25h"],
            &["ops", "--remove", "--level", "warn"],
            &["ops", "--remove", "--json"],
        ] {
            assert_eq!(args(line).unwrap_err().exit_code(), 2, "{line:?}");
        }
    }
}
