//! Payloads of other tools: their alerts are stored together or not at all.

use std::borrow::Cow;

use hyper::Response;
use hyper::http::request::Parts;

use super::Context;
use crate::alert::{Every, Topic};
use crate::hooks::form::Form;
use crate::hooks::{Entry, Sender};
use crate::http::error::HttpError;
use crate::http::forwarded;
use crate::http::media_type::{Kind, MediaType};
use crate::http::query::Parameters;
use crate::http::request;
use crate::http::response::{self, Body};
use crate::service::{Caller, PublishPermit, Refusal};

pub(in crate::http) async fn alertmanager(context: Context) -> Result<Response<Body>, HttpError> {
    receive(context, Sender::Alertmanager).await
}

pub(in crate::http) async fn grafana(context: Context) -> Result<Response<Body>, HttpError> {
    receive(context, Sender::Grafana).await
}

pub(in crate::http) async fn json(context: Context) -> Result<Response<Body>, HttpError> {
    receive(context, Sender::Json).await
}

pub(in crate::http) async fn prometheus(context: Context) -> Result<Response<Body>, HttpError> {
    let argument = context.argument.unwrap_or_else(|| Sender::Prometheus.as_str().to_owned());
    receive(Context { argument: Some(argument), ..context }, Sender::Prometheus).await
}

/// Over a local socket the caller is known already; over HTTP GitHub's signature of the body is the credential.
pub(in crate::http) async fn github(context: Context) -> Result<Response<Body>, HttpError> {
    match context.caller {
        Caller::Anonymous => receive_signed(context).await,
        _ => receive(context, Sender::GitHub).await,
    }
}

async fn receive(context: Context, sender: Sender) -> Result<Response<Body>, HttpError> {
    let Context { service, settings, caller, request, mut parameters, argument, .. } = context;
    let permit = service.may_publish(&caller).map_err(retried)?;
    let within = request::expect_within(request.headers(), &mut parameters)?;
    let topic = topic(argument, parameters)?;
    let _slot = service.hook_slot().await?;
    let (head, body) = request::body(request, settings.hook_body_limit()).await?;
    let target = Target { topic: &topic, within, now_ms: service.now_ms() };
    store(permit, sender, &target, &head, &body).await
}

async fn receive_signed(context: Context) -> Result<Response<Body>, HttpError> {
    let Context { service, settings, peer, request, mut parameters, argument, .. } = context;
    let client = forwarded::client(&settings.trusted_proxies, peer.address, request.headers());
    let within = request::expect_within(request.headers(), &mut parameters)?;
    let topic = topic(argument, parameters)?;
    let _slot = service.signed_hook_slot(client).await?;
    let body = request::body(request, settings.hook_body_limit()).await;
    let (head, body) = body.inspect_err(|_| service.count_unsigned_body(client))?;
    let caller = service.authenticate_github(header(&head, "X-Hub-Signature-256"), &body, client)?;
    let permit = service.may_publish(&caller).map_err(retried)?;
    let target = Target { topic: &topic, within, now_ms: service.now_ms() };
    store(permit, Sender::GitHub, &target, &head, &body).await
}

/// Where alerts go, and what is to be expected after them.
struct Target<'a> {
    topic: &'a Topic,
    within: Option<Every>,
    now_ms: u64,
}

async fn store(
    permit: PublishPermit<'_>,
    sender: Sender,
    &Target { topic, within, now_ms }: &Target<'_>,
    head: &Parts,
    body: &[u8],
) -> Result<Response<Body>, HttpError> {
    // Bytes that cannot be decoded become U+FFFD, so that one bad byte does not lose the alert.
    let media = MediaType::of(&head.headers);
    let text = json_of(sender, &media, body)?;
    let mut entries = sender.read(topic, |name| header(head, name), &text, now_ms)?;
    if within.is_some() {
        let expecting = |entry: Entry| Entry { draft: entry.draft.expecting(within), ..entry };
        entries = entries.into_iter().map(expecting).collect();
    }
    let stored = permit.publish_all(entries).await.map_err(retried)?;
    Ok(response::all_stored(&stored))
}

/// The payload as JSON. A form may have it in its field `payload`; any other form is an object for whoever takes any object.
fn json_of<'b>(sender: Sender, media: &MediaType<'_>, body: &'b [u8]) -> Result<Cow<'b, str>, HttpError> {
    let text = media.decoded(body);
    let kind = media.kind();
    let is_json = text.trim_ascii_start().starts_with(['{', '[']);
    match (sender, kind) {
        (Sender::Json, Kind::Parts) => {
            let boundary =
                media.boundary().ok_or_else(|| HttpError::invalid("body", "has no boundary between its parts"))?;
            Ok(Form::parse_parts(body, boundary, media.charset()).into_json().into())
        }
        (_, Kind::Form) if !is_json => match (Form::payload(body, media.charset()), sender) {
            (Some(payload), _) => Ok(payload.into()),
            (None, Sender::Json) => Ok(Form::fields(body, media.charset()).into_json().into()),
            (None, _) => {
                let wanted = "application/json, or a form with the JSON as its field payload";
                Err(HttpError::MediaType { wanted, sent: "another form".into() })
            }
        },
        _ => Ok(text),
    }
}

fn topic(argument: Option<String>, mut parameters: Parameters) -> Result<Topic, HttpError> {
    let named = parameters.one("topic")?;
    parameters.finish("topic, expect_within")?;
    if argument.is_some() && named.is_some() {
        return Err(HttpError::invalid("topic", "is in the path already: name it there or in the query, not in both"));
    }
    let parsed = argument.or(named).map(|text| text.parse().map_err(|e| HttpError::invalid("topic", e))).transpose()?;
    Ok(parsed.unwrap_or_else(Topic::fallback))
}

fn header<'h>(head: &'h Parts, name: &str) -> Option<&'h str> {
    head.headers.get(name)?.to_str().ok()
}

/// Alertmanager retries after a 5xx and drops the alerts after a 429.
fn retried(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::TooMany { what, .. } => Refusal::unavailable(what),
        other => other,
    }
}
