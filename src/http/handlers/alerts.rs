//! Publishing, streams, history, topics, and tickets for streams.

use hyper::{Method, Response, StatusCode};

use super::Context;
use crate::alert::Topic;
use crate::http::error::HttpError;
use crate::http::media_type::{Kind, MediaType};
use crate::http::negotiate;
use crate::http::query::{self, Purpose};
use crate::http::request;
use crate::http::response::{self, Body};
use crate::http::{publish_body, publish_lines};

pub(in crate::http) async fn publish(context: Context) -> Result<Response<Body>, HttpError> {
    if MediaType::of(context.request.headers()).kind() == Kind::Lines {
        // Boxed, because the task of each request is as large as its largest branch.
        return Box::pin(publish_lines(context)).await;
    }
    let Context { service, settings, caller, request, parameters, argument, .. } = context;
    let permit = service.may_publish(&caller)?;
    let options = publish_body::Options::read(parameters, request.headers())?;
    let topic = topic(argument)?;
    let key = request::idempotency_key(request.headers())?;
    let draft = {
        let (head, body) = request::body(request, settings.body_limit()).await?;
        publish_body::draft(&head.headers, topic, options, &body)?
    };
    let stored = permit.publish(draft, key).await?;
    Ok(response::published(&stored))
}

/// Several alerts, stored together or not at all. Such a body is as large as a hook's, so it counts among them.
async fn publish_lines(context: Context) -> Result<Response<Body>, HttpError> {
    let Context { service, settings, caller, request, mut parameters, argument, .. } = context;
    let permit = service.may_publish(&caller)?;
    let topic = topic(argument)?;
    let within = request::expect_within(request.headers(), &mut parameters)?;
    publish_lines::refuse_options(parameters, request.headers().contains_key("idempotency-key"))?;
    let _slot = service.hook_slot().await?;
    let (_, body) = request::body(request, settings.hook_body_limit()).await?;
    let stored = permit.publish_lines(publish_lines::read(topic.as_ref(), within, &body)?).await?;
    Ok(response::all_stored(&stored))
}

fn topic(argument: Option<String>) -> Result<Option<Topic>, HttpError> {
    argument.map(|text| text.parse::<Topic>().map_err(|e| HttpError::invalid("topic", e))).transpose()
}

pub(in crate::http) async fn topics(mut context: Context) -> Result<Response<Body>, HttpError> {
    let prefix = context.parameters.one("prefix")?.unwrap_or_default();
    context.parameters.finish("prefix")?;
    Ok(response::json(StatusCode::OK, &context.service.topics(&context.caller, &prefix).await?))
}

pub(in crate::http) async fn ticket(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let (_, body) = request::body(context.request, context.settings.body_limit()).await?;
    if !body.is_empty() {
        return Err(HttpError::invalid("body", "must be empty: topics and level go into the request with the ticket"));
    }
    Ok(response::json(StatusCode::CREATED, &context.service.ticket(&context.caller).await?))
}

pub(in crate::http) async fn read(context: Context) -> Result<Response<Body>, HttpError> {
    let Context { service, caller, request, parameters, argument, .. } = context;
    let representation =
        negotiate::alerts(request.headers()).ok_or(HttpError::NotAcceptable(negotiate::ALERTS_OFFERED))?;
    let format = representation.format();
    let purpose = if format.is_some() { Purpose::Stream } else { Purpose::History };
    let now_ms = service.now_ms();
    let query = query::read(argument.as_deref(), parameters, request.headers(), purpose, now_ms)?;
    match format {
        // Boxed, because a stream would have room for it too.
        None => Ok(response::history(&Box::pin(service.history(&caller, query)).await?)),
        Some(format) => {
            let stream = service.open_stream(&caller, query, format.clone())?;
            let is_head = request.method() == Method::HEAD;
            let body = if is_head { Body::empty() } else { Body::Stream(stream) };
            Ok(response::stream(&format, body))
        }
    }
}
