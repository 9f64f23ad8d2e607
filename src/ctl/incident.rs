//! `alertctl incidents`, `acknowledge`, `resolve` and `reopen`.

use hyper::Method;

use super::args::{Act, Change, Incidents};
use super::client::{Client, Request, encoded, target};
use super::exit::Failure;
use super::output::{Output, Paint, note};
use super::text::{escaped, local, table};
use crate::alert::{IncidentName, Level, Pattern, Topic};
use crate::api::{self, NewNote};
use crate::incident::State;

/// # Errors
/// Those of the daemon, and [`Failure::Unresolved`] if nothing is to be printed and there is such an incident.
pub(crate) async fn list(args: Incidents, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut query: Vec<(&'static str, String)> =
        args.topics.iter().map(|topic: &Pattern| ("topic", topic.to_string())).collect();
    query.push(("state", args.state.as_str().to_owned()));
    query.extend((args.level != Level::default()).then(|| ("level", args.level.to_string())));
    query.push(("limit", if args.quiet { 1 } else { 1000 }.to_string()));
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = query.iter().cloned().chain(after.map(|after| ("after", after)));
        let request = Request::get(target("/incidents", &page.collect::<Vec<_>>()));
        let api::Incidents { incidents, next } = client.send(request).await?.json().await?;
        if args.quiet && !incidents.is_empty() {
            return Err(Failure::Unresolved);
        }
        for incident in &incidents {
            if args.json {
                output.line(&json(incident)?).await?;
            } else {
                rows.push(row(incident));
            }
        }
        let Some(next) = next else { break };
        after = Some(next.to_string());
    }
    if args.json || args.quiet {
        return Ok(());
    }
    if rows.is_empty() {
        note("no such incident");
        return Ok(());
    }
    let heading = ["TOPIC", "INCIDENT", "STATE", "LEVEL", "SINCE", "COUNT", "BY", "MESSAGE"];
    rows.insert(0, heading.map(str::to_owned).to_vec());
    let width = output.size().map_or(usize::MAX, |(columns, _)| columns);
    for line in table(&rows, width) {
        output.line(&line).await?;
    }
    Ok(())
}

/// # Errors
/// Those of the daemon.
pub(crate) async fn act(change: Change, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let (verb, args) = match change {
        Change::Acknowledge(args) => ("acknowledge", args),
        Change::Resolve(args) => ("resolve", args),
        Change::Reopen(args) => ("reopen", args),
    };
    let Act { topic, incident, note: text, json: as_json } = args;
    let changed: api::Incident = client.send(action(verb, &topic, &incident, text)?).await?.json().await?;
    if as_json {
        return output.line(&json(&changed)?).await;
    }
    let by = changed.resolved_by.as_ref().or(changed.acknowledged_by.as_ref());
    let by = by.filter(|_| changed.state != State::Open).map_or_else(String::new, |by| format!(", by {}", escaped(by)));
    note(&format!("{} on {topic} is {}{by}", escaped(incident.as_str()), changed.state));
    Ok(())
}

/// The request that acknowledges, resolves or reopens an incident.
///
/// # Errors
/// [`Failure::Failed`] if it cannot be written.
pub(crate) fn action(
    verb: &str,
    topic: &Topic,
    incident: &IncidentName,
    note: Option<String>,
) -> Result<Request, Failure> {
    let path = format!("/incidents/{}/{}/{verb}", encoded(topic.as_str()), encoded(incident.as_str()));
    let body = serde_json::to_string(&NewNote { note });
    let body = body.map_err(|e| Failure::Failed(format!("cannot write the request: {e}")))?;
    Ok(Request::new(Method::POST, path).body("application/json", body))
}

fn json(incident: &api::Incident) -> Result<String, Failure> {
    serde_json::to_string(incident).map_err(|e| Failure::Failed(format!("cannot print an incident: {e}")))
}

fn row(incident: &api::Incident) -> Vec<String> {
    let by = incident.resolved_by.as_ref().filter(|_| incident.state == State::Resolved);
    let by = by.or(incident.acknowledged_by.as_ref()).map_or_else(String::new, |by| escaped(by));
    let message = incident.message.as_deref().unwrap_or_default();
    vec![
        incident.topic.to_string(),
        escaped(incident.incident.as_str()),
        incident.state.to_string(),
        incident.level.to_string(),
        local(&incident.opened_at),
        incident.count.to_string(),
        by,
        escaped(message.lines().next().unwrap_or_default()),
    ]
}

/// A change of an incident as a stream has it, for people.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Transition {
    topic: String,
    incident: String,
    state: String,
    by: Option<String>,
    note: Option<String>,
    time: String,
}

impl Transition {
    /// One line.
    pub(crate) fn row(&self, output: &Output) -> String {
        let Self { topic, incident, state, by, note, time } = self;
        let by = by.as_ref().map_or_else(|| " because no alert came".to_owned(), |by| format!(" by {}", escaped(by)));
        let note = note.as_ref().map_or_else(String::new, |note| format!(": {}", escaped(note)));
        let time = output.paint(&local(time), Paint::Dim);
        let topic = output.paint(&escaped(topic), Paint::Bold);
        format!("{time}  --     {topic}  {} is {}{by}{note}", escaped(incident), escaped(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::args::{Command, Ctl};
    use crate::ctl::output::tests::Captured;
    use crate::ctl::testing::{Reply, Server};
    use clap::Parser;

    const ONE: &str = r#"{"topic":"ops.db","incident":"a/b","occurrence":2,"state":"acknowledged","level":"error","message":"full\nvery","title":null,"opened_at":"2026-11-23T17:33:10.123Z","updated_at":"2026-11-23T17:33:10.123Z","count":7,"alert":"5-0","acknowledged_by":"bob","acknowledged_at":"2026-11-23T17:33:10.123Z","resolved_by":null,"resolved_at":null,"note":"on it","ttl":null}"#;

    async fn run(line: &[&str], reply: Reply) -> (Result<(), Failure>, String, String) {
        let server = Server::always(reply).await;
        let captured = Captured::default();
        let mut output = Output::to(captured.clone());
        let client = Client::new(server.address(), None);
        let line = ["alertctl"].into_iter().chain(line.iter().copied());
        let done = match Ctl::try_parse_from(line).unwrap().command {
            Command::Incidents(args) => list(args, &client, &mut output).await,
            Command::Change(change) => act(change, &client, &mut output).await,
            other => panic!("{other:?}"),
        };
        output.flush().await.unwrap();
        let request = &server.requests()[0];
        (done, format!("{} {} {}", request.method, request.target, request.body), captured.text().trim_end().to_owned())
    }

    #[tokio::test]
    async fn each_form_is_one_request() {
        let page = format!(r#"{{"incidents":[{ONE}],"next":null}}"#);
        for (line, reply, asked, printed) in [
            (
                &["incidents", "-t", "ops.*", "--state", "all", "-l", "warn", "--json"][..],
                Reply::json(200, &page),
                "GET /incidents?topic=ops.*&state=all&level=warn&limit=1000 ",
                ONE,
            ),
            (
                &["acknowledge", "ops.db", "a/b", "--note", "on it", "--json"],
                Reply::json(200, ONE),
                r#"POST /incidents/ops.db/a%2Fb/acknowledge {"note":"on it"}"#,
                ONE,
            ),
            (
                &["resolve", "ops.db", "x"],
                Reply::json(200, ONE),
                r#"POST /incidents/ops.db/x/resolve {"note":null}"#,
                "",
            ),
            (&["reopen", "ops.db", "x"], Reply::json(200, ONE), r#"POST /incidents/ops.db/x/reopen {"note":null}"#, ""),
        ] {
            let (done, request, text) = run(line, reply).await;
            assert_eq!((done, request.as_str(), text.as_str()), (Ok(()), asked, printed));
        }
    }

    #[tokio::test]
    async fn the_list_shows_who_takes_care_and_the_first_line_of_the_message() {
        let (_, _, text) =
            run(&["incidents"], Reply::json(200, &format!(r#"{{"incidents":[{ONE}],"next":null}}"#))).await;
        for word in ["INCIDENT", "ops.db", "a/b", "acknowledged", "error", "7", "bob", "full"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("very"), "{text}");
    }

    #[tokio::test]
    async fn a_quiet_list_says_by_its_status_whether_there_is_one() {
        let (done, asked, _) = run(&["incidents", "-q"], Reply::json(200, r#"{"incidents":[],"next":null}"#)).await;
        assert_eq!((done, asked.as_str()), (Ok(()), "GET /incidents?state=unresolved&limit=1 "));
        let page = format!(r#"{{"incidents":[{ONE}],"next":"5-0"}}"#);
        let (done, _, text) = run(&["incidents", "-q"], Reply::json(200, &page)).await;
        let failure = done.unwrap_err();
        assert_eq!((failure.code(), text.as_str()), (10, ""));
    }

    #[test]
    fn a_change_is_one_line() {
        let json = r#"{"topic":"ops","incident":"disk\nx","state":"acknowledged","by":"bob","note":"on it","time":"2026-11-23T17:33:10.123Z"}"#;
        let change: Transition = serde_json::from_str(json).unwrap();
        let line = change.row(&Output::to(Captured::default()));
        assert!(line.contains("is acknowledged by bob: on it") && !line.contains('\n'), "{line}");
    }
}
