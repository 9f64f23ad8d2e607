//! Incidents, and single alerts.

use hyper::{Response, StatusCode};

use super::Context;
use crate::alert::{Id, IncidentName, Topic};
use crate::api::NewNote;
use crate::http::error::HttpError;
use crate::http::query;
use crate::http::request;
use crate::http::response::{self, Body};
use crate::incident::{Action, Key};

pub(in crate::http) async fn list(context: Context) -> Result<Response<Body>, HttpError> {
    let query = query::incidents::read(context.parameters)?;
    Ok(response::json(StatusCode::OK, &context.service.incidents(&context.caller, query).await?))
}

pub(in crate::http) async fn show(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let key = key(context.argument, context.second)?;
    Ok(response::json(StatusCode::OK, &context.service.incident(&context.caller, key).await?))
}

pub(in crate::http) async fn acknowledge(context: Context) -> Result<Response<Body>, HttpError> {
    act(context, Action::Acknowledge).await
}

pub(in crate::http) async fn resolve(context: Context) -> Result<Response<Body>, HttpError> {
    act(context, Action::Resolve).await
}

pub(in crate::http) async fn reopen(context: Context) -> Result<Response<Body>, HttpError> {
    act(context, Action::Reopen).await
}

async fn act(context: Context, action: Action) -> Result<Response<Body>, HttpError> {
    let Context { service, settings, caller, request, parameters, argument, second, .. } = context;
    let permit = service.may_publish(&caller)?;
    parameters.finish("none")?;
    let key = key(argument, second)?;
    let (_, body) = request::body(request, settings.body_limit()).await?;
    let NewNote { note } = if body.is_empty() { NewNote::default() } else { request::json(&body)? };
    Ok(response::json(StatusCode::OK, &permit.act(key, action, note).await?))
}

pub(in crate::http) async fn alert(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let (topic, id) = alert_of(context.argument, context.second)?;
    Ok(response::record(&context.service.alert(&context.caller, topic, id).await?))
}

pub(in crate::http) async fn retract(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let (topic, id) = alert_of(context.argument, context.second)?;
    context.service.retract(&context.caller, topic, id).await?;
    Ok(response::nothing())
}

fn alert_of(topic_text: Option<String>, id: Option<String>) -> Result<(Topic, Id), HttpError> {
    let id = id.unwrap_or_default().parse().map_err(|error| HttpError::invalid("id", error))?;
    Ok((topic(topic_text)?, id))
}

fn key(topic_text: Option<String>, name: Option<String>) -> Result<Key, HttpError> {
    let name = name.unwrap_or_default().parse::<IncidentName>();
    Ok(Key { topic: topic(topic_text)?, name: name.map_err(|error| HttpError::invalid("incident", error))? })
}

fn topic(text: Option<String>) -> Result<Topic, HttpError> {
    text.unwrap_or_default().parse().map_err(|error| HttpError::invalid("topic", error))
}
