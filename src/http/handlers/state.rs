//! Health, readiness, status, metrics, backup, drain and reload.

use bytes::Bytes;
use hyper::{Method, Response, StatusCode};

use super::Context;
use crate::api::{Drain, Health};
use crate::http::error::HttpError;
use crate::http::negotiate;
use crate::http::request;
use crate::http::response::{self, Body};

pub(in crate::http) async fn health(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    Ok(response::json(StatusCode::OK, &Health { status: "ok".into() }))
}

pub(in crate::http) async fn live(context: Context) -> Result<Response<Body>, HttpError> {
    Ok(probe(context.service.is_live(), "alive", "stuck"))
}

/// Leaves out the reason, which is for operators: this route needs no key.
pub(in crate::http) async fn ready(context: Context) -> Result<Response<Body>, HttpError> {
    let service = context.service;
    Ok(probe(service.not_ready().is_none() && service.is_live(), "ready", "not ready"))
}

fn probe(is_good: bool, yes: &'static str, no: &'static str) -> Response<Body> {
    let (status, word) = if is_good { (StatusCode::OK, yes) } else { (StatusCode::SERVICE_UNAVAILABLE, no) };
    response::whole(status, "text/plain; charset=utf-8", Bytes::from(format!("{word}\n")))
}

pub(in crate::http) async fn status(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    Ok(response::json(StatusCode::OK, &context.service.status(&context.caller).await?))
}

pub(in crate::http) async fn metrics(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let exposition = negotiate::exposition(context.request.headers());
    let measured = context.service.measure(&context.caller).await?;
    Ok(response::whole(StatusCode::OK, exposition.content_type(), exposition.write(measured).into()))
}

pub(in crate::http) async fn backup(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let is_head = context.request.method() == Method::HEAD;
    let body = if is_head { Body::empty() } else { Body::Blocks(context.service.backup(&context.caller).await?) };
    Ok(response::backup(body))
}

pub(in crate::http) async fn drain(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let (_, body) = request::body(context.request, context.settings.body_limit()).await?;
    let wish: Drain = if body.is_empty() { Drain::default() } else { request::json(&body)? };
    Ok(response::json(StatusCode::OK, &context.service.begin_drain(&context.caller, wish).await?))
}

pub(in crate::http) async fn undrain(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    Ok(response::json(StatusCode::OK, &context.service.end_drain(&context.caller).await?))
}

pub(in crate::http) async fn reload(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    Ok(response::json(StatusCode::OK, &context.service.reload(&context.caller).await?))
}
