//! Payloads of other tools: alerts that are stored together or not at all.

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode, body::Incoming};

use super::Context;
use crate::alert::Topic;
use crate::api::HookStored;
use crate::hooks::Sender;
use crate::http::auth;
use crate::http::error::HttpError;
use crate::http::request::{self, Parameters};
use crate::http::response::{self, Body};
use crate::http::{Peer, Settings};
use crate::service::{PublishPermit, Refusal, Service};

/// From a caller with a key, or on a local socket.
pub(super) async fn receive(context: Context, sender: Sender) -> Result<Response<Body>, HttpError> {
    let Context { service, settings, caller, request, parameters, argument } = context;
    let permit = service.may_publish(&caller).map_err(later)?;
    let topic = topic(argument, parameters)?;
    let _place = service.hook_place().await?;
    let (head, body) = read(request, &settings).await?;
    store(permit, sender, &topic, &head, &body).await
}

/// From GitHub, whose signature of the body is the credential.
pub(super) async fn receive_signed(
    service: &Service,
    settings: &Settings,
    peer: Peer,
    request: Request<Incoming>,
    parameters: Parameters,
    argument: Option<String>,
) -> Result<Response<Body>, HttpError> {
    let client = auth::client(settings, peer.address, request.headers());
    let topic = topic(argument, parameters)?;
    let _place = service.signed_place(client).await?;
    let (head, body) = read(request, settings).await.inspect_err(|_| service.unsigned_body(client))?;
    let signature = header(&head, "X-Hub-Signature-256");
    let caller = service.authenticate_github(signature, &body, client)?;
    let permit = service.may_publish(&caller).map_err(later)?;
    store(permit, Sender::GitHub, &topic, &head, &body).await
}

async fn read(request: Request<Incoming>, settings: &Settings) -> Result<(Parts, Bytes), HttpError> {
    let (head, body) = request.into_parts();
    let body = request::bounded(body, settings.max_hook_body, "hooks.max_body").await?;
    Ok((head, body))
}

async fn store(
    permit: PublishPermit<'_>,
    sender: Sender,
    topic: &Topic,
    head: &Parts,
    body: &[u8],
) -> Result<Response<Body>, HttpError> {
    if header(head, "Content-Type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
        && !body.trim_ascii_start().starts_with(b"{")
    {
        return Err(HttpError::MediaType { wanted: "application/json", sent: "a form".into() });
    }
    let entries = sender.read(topic, |name| header(head, name), body)?;
    let stored = permit.publish_all(entries).await.map_err(later)?;
    let repeated = stored.iter().filter(|stored| stored.repeated).count();
    let answer = HookStored { status: "alerts stored".into(), stored: stored.len() - repeated, repeated };
    Ok(response::json(StatusCode::OK, &answer))
}

fn topic(argument: Option<String>, mut parameters: Parameters) -> Result<Topic, HttpError> {
    let named = parameters.one("topic")?;
    parameters.finish("topic")?;
    if argument.is_some() && named.is_some() {
        return Err(HttpError::invalid("topic", "is in the path already: name it there or in the query, not in both"));
    }
    let parsed = argument.or(named).map(|text| text.parse().map_err(|e| HttpError::invalid("topic", e))).transpose()?;
    Ok(parsed.unwrap_or_else(Topic::fallback))
}

fn header<'h>(head: &'h Parts, name: &str) -> Option<&'h str> {
    head.headers.get(name)?.to_str().ok()
}

/// Alertmanager sends again after a 5xx, and gives up after a 429.
fn later(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::TooMany { what, .. } => Refusal::Unavailable(what),
        other => other,
    }
}
