//! What is expected on topics.

use hyper::{Response, StatusCode};

use super::Context;
use crate::alert::{IncidentName, Topic};
use crate::http::error::HttpError;
use crate::http::query::Parameters;
use crate::http::request;
use crate::http::response::{self, Body};

pub(in crate::http) async fn list(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    Ok(response::json(StatusCode::OK, &context.service.expectations(&context.caller).await?))
}

pub(in crate::http) async fn show(mut context: Context) -> Result<Response<Body>, HttpError> {
    let (topic, incident) = subject(context.argument, &mut context.parameters)?;
    context.parameters.finish("incident")?;
    Ok(response::json(StatusCode::OK, &context.service.expectation(&context.caller, topic, incident).await?))
}

pub(in crate::http) async fn put(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let topic = topic(context.argument)?;
    let (_, body) = request::body(context.request, context.settings.body_limit()).await?;
    let expected = context.service.expect(&context.caller, topic, request::json(&body)?).await?;
    Ok(response::json(StatusCode::OK, &expected))
}

pub(in crate::http) async fn remove(mut context: Context) -> Result<Response<Body>, HttpError> {
    let (topic, incident) = subject(context.argument, &mut context.parameters)?;
    context.parameters.finish("incident")?;
    context.service.expect_nothing(&context.caller, topic, incident).await?;
    Ok(response::nothing())
}

fn subject(argument: Option<String>, parameters: &mut Parameters) -> Result<(Topic, Option<IncidentName>), HttpError> {
    let incident = parameters.one("incident")?.map(|name| name.parse());
    let incident = incident.transpose().map_err(|error| HttpError::invalid("incident", error))?;
    Ok((topic(argument)?, incident))
}

fn topic(argument: Option<String>) -> Result<Topic, HttpError> {
    argument.unwrap_or_default().parse().map_err(|error| HttpError::invalid("topic", error))
}
