//! Publishing, streams, history, topics, and tickets for streams.

use hyper::{Method, Response, StatusCode};

use super::Context;
use crate::alert::Topic;
use crate::http::error::HttpError;
use crate::http::negotiate::{self, Representation};
use crate::http::publish_body;
use crate::http::query::{self, Purpose};
use crate::http::request;
use crate::http::response::{self, Body};

pub(in crate::http) async fn publish(context: Context) -> Result<Response<Body>, HttpError> {
    let Context { service, settings, caller, request, parameters, argument, .. } = context;
    let permit = service.may_publish(&caller)?;
    let options = publish_body::Options::read(parameters)?;
    let topic = argument.map(|text| text.parse::<Topic>().map_err(|e| HttpError::invalid("topic", e))).transpose()?;
    let key = request::idempotency_key(request.headers())?;
    let (head, body) = request::body(request, settings.body_limit()).await?;
    let draft = publish_body::draft(&head.headers, topic, options, &body)?;
    let stored = permit.publish(draft, key).await?;
    Ok(response::published(&stored.record))
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
    let purpose = match representation {
        Representation::History => Purpose::History,
        Representation::Stream(_) => Purpose::Stream,
    };
    let now_ms = service.now_ms();
    let query = query::read(argument.as_deref(), parameters, request.headers(), purpose, now_ms)?;
    match representation {
        Representation::History => Ok(response::history(&service.history(&caller, query).await?)),
        Representation::Stream(format) => {
            let stream = service.open_stream(&caller, query, format)?;
            let is_head = request.method() == Method::HEAD;
            let body = if is_head { Body::empty() } else { Body::Stream(stream) };
            Ok(response::stream(format, body))
        }
    }
}
