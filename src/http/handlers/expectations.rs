//! What is expected on topics.

use hyper::{Response, StatusCode};

use super::Context;
use crate::alert::Topic;
use crate::http::error::HttpError;
use crate::http::request;
use crate::http::response::{self, Body};

pub(in crate::http) async fn list(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    Ok(response::json(StatusCode::OK, &context.service.expectations(&context.caller).await?))
}

pub(in crate::http) async fn show(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let topic = topic(context.argument)?;
    Ok(response::json(StatusCode::OK, &context.service.expectation(&context.caller, &topic).await?))
}

pub(in crate::http) async fn put(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let topic = topic(context.argument)?;
    let (_, body) = request::body(context.request, context.settings.body_limit()).await?;
    let expected = context.service.expect(&context.caller, topic, request::json(&body)?).await?;
    Ok(response::json(StatusCode::OK, &expected))
}

pub(in crate::http) async fn remove(mut context: Context) -> Result<Response<Body>, HttpError> {
    let incident = context.parameters.one("incident")?;
    context.parameters.finish("incident")?;
    let topic = topic(context.argument)?;
    context.service.expect_nothing(&context.caller, topic, incident).await?;
    Ok(response::nothing())
}

fn topic(argument: Option<String>) -> Result<Topic, HttpError> {
    argument.unwrap_or_default().parse().map_err(|error| HttpError::invalid("topic", error))
}
