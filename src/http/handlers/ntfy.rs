//! ntfy's protocol: reading, publishing, and what its clients ask beside that.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use super::Context;
use crate::alert::{Draft, Level, Record, Start, Topic, duration, rfc3339};
use crate::hooks::ntfy::is_http_priority;
use crate::http::error::HttpError;
use crate::http::media_type::MediaType;
use crate::http::query::{FALSE, Parameters};
use crate::http::request;
use crate::http::response::{self, Body};
use crate::http::websocket::Handshake;
use crate::ntfy::{Names, Selection, Shape, View, publish};
use crate::service::Query;
use crate::sse::Format;
use crate::text;

pub(in crate::http) async fn json(context: Context) -> Result<Response<Body>, HttpError> {
    subscribe(context, Shape::Json)
}

pub(in crate::http) async fn sse(context: Context) -> Result<Response<Body>, HttpError> {
    subscribe(context, Shape::Sse)
}

pub(in crate::http) async fn raw(context: Context) -> Result<Response<Body>, HttpError> {
    subscribe(context, Shape::Raw)
}

pub(in crate::http) async fn ws(context: Context) -> Result<Response<Body>, HttpError> {
    // Before the stream is opened, which costs more.
    let handshake = Handshake::read(&context.request)?;
    let mut response = subscribe(context, Shape::Ws)?;
    match std::mem::replace(response.body_mut(), Body::empty()) {
        Body::Stream(stream) => Ok(handshake.accept(stream)),
        body => Ok(response.map(|_| body)),
    }
}

fn subscribe(context: Context, shape: Shape) -> Result<Response<Body>, HttpError> {
    let Context { service, settings, caller, request, mut parameters, argument, .. } = context;
    let names = names(argument.as_deref(), &mut parameters, settings.ntfy_below)?;
    let is_poll = is_set(parameters.first(&["poll", "x-poll", "po"])?);
    let start = start(&mut parameters, request.headers(), is_poll, service.now_ms())?;
    let selection = Selection::read(|names| parameters.first(names))?;
    let selection = selection.map_err(|(field, reason)| HttpError::invalid(field, reason))?;
    let patterns = service.patterns_of(&caller, &names)?;
    let query =
        Query { patterns, level: Level::Info, start: Some(start), before: None, limit: 0, includes_incidents: true };
    let format = Format::Ntfy(Arc::new(View { shape, names, selection, retained_s: service.retained_s() }));
    let open = if is_poll {
        service.poll(&caller, query, format.clone())
    } else {
        service.open_stream(&caller, query, format.clone())
    };
    let stream = open?;
    let is_head = request.method() == Method::HEAD;
    let mut response = response::stream(&format, if is_head { Body::empty() } else { Body::Stream(stream) });
    if is_poll {
        // The connection goes with the stream. HTTP/2 has no such header, and hyper leaves it out.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Whether a key may read topics, for apps that then ask for a password.
pub(in crate::http) async fn auth(mut context: Context) -> Result<Response<Body>, HttpError> {
    let names = names(context.argument.as_deref(), &mut context.parameters, context.settings.ntfy_below)?;
    context.service.patterns_of(&context.caller, &names)?;
    Ok(response::json(StatusCode::OK, &json!({ "success": true })))
}

pub(in crate::http) async fn publish(context: Context) -> Result<Response<Body>, HttpError> {
    let Context { service, settings, caller, request, mut parameters, argument, .. } = context;
    if request.method() == Method::HEAD {
        return Err(HttpError::Method { method: "HEAD".into(), allow: "GET" });
    }
    let permit = service.may_publish(&caller)?;
    let topic = argument.unwrap_or_default().parse::<Topic>().map_err(|error| HttpError::invalid("topic", error))?;
    let key = request::idempotency_key(request.headers())?;
    let within = request::expect_within(request.headers(), &mut parameters)?;
    let incident = request::incident(request.headers(), &mut parameters)?;
    let (head, body) = request::body(request, settings.body_limit()).await?;
    let (given, media) = (parameters.pairs()?, MediaType::of(&head.headers));
    let draft: Draft = publish::text(topic, &media.decoded(&body), |names| {
        let is_markdown = names.contains(&"markdown") && media.essence() == "text/markdown";
        first(names, &head.headers, &given).or_else(|| is_markdown.then(|| "yes".to_owned()))
    })?;
    let stored = permit.publish(draft.expecting(within).reporting(incident).cut_to_frame(), key).await?;
    Ok(published(&stored.record, service.retained_s()))
}

pub(in crate::http) async fn publish_json(context: Context) -> Result<Response<Body>, HttpError> {
    let Context { service, settings, caller, request, mut parameters, .. } = context;
    let permit = service.may_publish(&caller)?;
    let key = request::idempotency_key(request.headers())?;
    let within = request::expect_within(request.headers(), &mut parameters)?;
    let incident = request::incident(request.headers(), &mut parameters)?;
    let (head, body) = request::body(request, settings.body_limit()).await?;
    let given = parameters.pairs()?;
    let body = MediaType::of(&head.headers).decoded(&body).into_owned();
    let draft = publish::json(&body, |names| first(names, &head.headers, &given))?;
    let stored = permit.publish(draft.expecting(within).reporting(incident).cut_to_frame(), key).await?;
    Ok(published(&stored.record, service.retained_s()))
}

/// The answer to a publish: the message as its subscribers get it.
fn published(record: &Record, retained_s: Option<u64>) -> Response<Body> {
    response::whole(StatusCode::OK, "application/json", Bytes::from(publish::answer(record, retained_s)))
}

pub(in crate::http) async fn health(context: Context) -> Result<Response<Body>, HttpError> {
    Ok(response::json(StatusCode::OK, &json!({ "healthy": context.service.not_ready().is_none() })))
}

pub(in crate::http) async fn version(_: Context) -> Result<Response<Body>, HttpError> {
    // Set where packages are built reproducibly.
    let built_s = option_env!("SOURCE_DATE_EPOCH").and_then(|seconds| seconds.parse::<u64>().ok()).unwrap_or_default();
    let date = rfc3339(built_s.saturating_mul(1000));
    Ok(response::json(StatusCode::OK, &json!({ "version": env!("CARGO_PKG_VERSION"), "commit": "", "date": date })))
}

/// The user of the key. Clients also require numbers of what the user has used; alertd counts none of it, so they are 0.
pub(in crate::http) async fn account(context: Context) -> Result<Response<Body>, HttpError> {
    let counted = ["messages", "emails", "calls", "reservations", "attachment_total_size"];
    let mut answer = json!({ "username": context.caller.user(), "role": "user", "stats": {} });
    for name in counted {
        answer["stats"][name] = 0.into();
        answer["stats"][format!("{name}_remaining")] = 0.into();
    }
    Ok(response::json(StatusCode::OK, &answer))
}

/// What a client may offer its user: nothing but a login.
pub(in crate::http) async fn config(_: Context) -> Result<Response<Body>, HttpError> {
    let off = ["signup", "payments", "calls", "emails", "reservations", "web_push"];
    let mut answer = json!({
        "base_url": "", "app_root": "", "enable_login": true, "require_login": true, "disallowed_topics": [],
        "billing_contact": "", "web_push_public_key": "",
    });
    off.iter().for_each(|name| answer[format!("enable_{name}")] = false.into());
    Ok(response::json(StatusCode::OK, &answer))
}

fn names(list: Option<&str>, parameters: &mut Parameters, is_below: bool) -> Result<Names, HttpError> {
    let below = is_below || is_set(parameters.first(&["below"])?);
    Names::parse(list.unwrap_or_default(), below).map_err(|error| HttpError::invalid("topic", error))
}

/// Where a client wants to begin.
fn start(parameters: &mut Parameters, headers: &HeaderMap, is_poll: bool, now_ms: u64) -> Result<Start, HttpError> {
    let since = parameters.first(&["since", "x-since", "si"])?.filter(|since| !since.is_empty());
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).map(Start::After);
    match (resumed, since) {
        (Some(start), _) => Ok(start),
        (None, None) if is_poll => Ok(Start::All),
        (None, None) => Ok(Start::Live),
        (None, Some(since)) => since_of(&since, now_ms).ok_or_else(|| {
            HttpError::invalid("since", "takes all, latest, none, an id, a duration such as 10m, or seconds since 1970")
        }),
    }
}

fn since_of(text: &str, now_ms: u64) -> Option<Start> {
    match (text.parse::<u64>(), duration::parse(text)) {
        (Ok(0), _) => Some(Start::All),
        (Ok(seconds), _) => Some(Start::Time(seconds.saturating_mul(1000))),
        (_, Some(_)) => Start::since(text, now_ms).ok(),
        // The id of another server, which an app was moved from.
        _ if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Some(Start::cursor(text)),
        _ => Start::since(text, now_ms).ok(),
    }
}

fn is_set(flag: Option<String>) -> bool {
    flag.is_some_and(|word| !word.is_empty() && !FALSE.contains(&word.as_str()))
}

/// The first of several names that is given, as a header or else in the query.
fn first(names: &[&str], headers: &HeaderMap, query: &[(String, String)]) -> Option<String> {
    let header = |name: &&str| {
        let value = text::header(headers.get(*name)?.as_bytes());
        // Browsers and proxies send a header of this name that means something else.
        Some(value.into_owned()).filter(|value| *name != "priority" || !is_http_priority(value))
    };
    let in_query =
        |name: &&str| query.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    names.iter().find_map(header).or_else(|| names.iter().find_map(in_query))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Id;

    #[test]
    fn since_takes_what_ntfys_clients_send() {
        let of = |text| since_of(text, 1_000_000);
        assert_eq!(of("all"), Some(Start::All));
        assert_eq!(of("latest"), Some(Start::Latest));
        assert_eq!(of("none"), Some(Start::Live));
        assert_eq!(of("10m"), Some(Start::Time(400_000)));
        assert_eq!(of("1795455190"), Some(Start::Time(1_795_455_190_000)));
        assert_eq!(of("0"), Some(Start::All));
        assert_eq!(of("1795455190123-4"), Some(Start::After(Id { ms: 1_795_455_190_123, seq: 4 })));
        assert_eq!(of("sPs71M8A2Twb"), Some(Start::Unreadable("sPs71M8A2Twb".into())));
        assert_eq!((of("yesterday"), of("-5"), of("10 m")), (None, None, None));
    }

    #[test]
    fn a_header_wins_over_the_query_and_https_own_priority_is_none() {
        let mut headers = HeaderMap::new();
        headers.insert("priority", HeaderValue::from_static("u=1, i"));
        let query = vec![("Title".to_owned(), "q".to_owned()), ("priority".to_owned(), "5".to_owned())];
        assert_eq!(first(&["x-title", "title"], &headers, &query).as_deref(), Some("q"));
        assert_eq!(first(&["priority"], &headers, &query).as_deref(), Some("5"));
        headers.insert("title", HeaderValue::from_static("h"));
        assert_eq!(first(&["x-title", "title"], &headers, &query).as_deref(), Some("h"));
    }
}
