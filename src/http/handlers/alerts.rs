//! Publishing, streams, history, and tickets for streams.

use hyper::{Method, Response, StatusCode};
use serde_json::value::RawValue;

use super::Context;
use crate::alert::{Record, Topic};
use crate::api::{History, Published};
use crate::http::error::HttpError;
use crate::http::negotiate::{self, Representation};
use crate::http::request;
use crate::http::response::{self, Body};
use crate::service::Query;
use crate::sse::Format;

pub(super) async fn publish(context: Context) -> Result<Response<Body>, HttpError> {
    let Context { service, settings, caller, request, mut parameters, argument } = context;
    // Before the body: a sender that may not publish, or too fast, costs no memory.
    let permit = service.may_publish(&caller)?;
    let level = parameters.level()?;
    parameters.no_topic()?;
    parameters.finish("level")?;
    let topic = argument.map(|text| text.parse::<Topic>().map_err(|e| HttpError::invalid("topic", e))).transpose()?;
    let (head, body) = request.into_parts();
    let key = request::idempotency_key(&head.headers)?;
    let body = request::body(body, &settings).await?;
    let draft = request::draft(&head.headers, topic, level, &body)?;
    let stored = permit.publish(draft, key).await?;
    Ok(response::json(StatusCode::OK, &Published { status: "alert stored".into(), alert: raw(&stored.record) }))
}

pub(super) async fn topics(mut context: Context) -> Result<Response<Body>, HttpError> {
    let prefix = context.parameters.one("prefix")?.unwrap_or_default();
    context.parameters.finish("prefix")?;
    Ok(response::json(StatusCode::OK, &context.service.topics(&context.caller, &prefix).await?))
}

pub(super) async fn ticket(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let body = request::body(context.request.into_body(), &context.settings).await?;
    if !body.is_empty() {
        return Err(HttpError::invalid("body", "must be empty: which alerts to read is said when the ticket is used"));
    }
    Ok(response::json(StatusCode::CREATED, &context.service.ticket(&context.caller).await?))
}

pub(super) async fn read(context: Context) -> Result<Response<Body>, HttpError> {
    let headers = context.request.headers();
    let accept = headers.get_all(hyper::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let representation = negotiate::choose(accept).ok_or(HttpError::NotAcceptable(negotiate::NAMES))?;
    let history = representation == Representation::History;
    let now_ms = context.service.now_ms();
    let query = request::query(context.argument.as_deref(), context.parameters, headers, history, now_ms)?;
    match representation {
        Representation::History => {
            let page = context.service.history(&context.caller, query).await?;
            let alerts = page.records.iter().map(raw).collect();
            Ok(response::json(StatusCode::OK, &History { alerts, next: page.next, gap: page.gap }))
        }
        Representation::Stream(format) => {
            let head_only = context.request.method() == Method::HEAD;
            stream(&context.service, &context.caller, query, format, head_only)
        }
    }
}

fn stream(
    service: &crate::service::Service,
    caller: &crate::service::Caller,
    query: Query,
    format: Format,
    head_only: bool,
) -> Result<Response<Body>, HttpError> {
    let stream = service.open_stream(caller, query, format)?;
    if head_only {
        return Ok(response::stream(format, Body::empty()));
    }
    Ok(response::stream(format, Body::Stream(Box::new(stream))))
}

/// A record's line is JSON already.
fn raw(record: &Record) -> Box<RawValue> {
    let text = String::from_utf8(record.json.to_vec()).unwrap_or_default();
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
