//! Health, readiness, status, metrics and reload.

use bytes::Bytes;
use hyper::header::ACCEPT;
use hyper::{Response, StatusCode};

use super::Context;
use crate::api::Health;
use crate::http::error::HttpError;
use crate::http::response::{self, Body};
use crate::metrics::Exposition;
use crate::service::Service;

pub(super) fn health(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    context.service.health(&context.caller)?;
    Ok(response::json(StatusCode::OK, &Health { status: "ok".into() }))
}

pub(super) fn live(service: &Service) -> Response<Body> {
    word(service.is_live(), "alive", "stuck")
}

pub(super) fn ready(service: &Service) -> Response<Body> {
    // The reason may name paths, and nobody has shown a key here: it is in the status and in the journal.
    word(service.not_ready().is_none() && service.is_live(), "ready", "not ready")
}

fn word(good: bool, yes: &'static str, no: &'static str) -> Response<Body> {
    let (status, word) = if good { (StatusCode::OK, yes) } else { (StatusCode::SERVICE_UNAVAILABLE, no) };
    response::whole(status, "text/plain; charset=utf-8", Bytes::from(format!("{word}\n")))
}

pub(super) async fn status(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    Ok(response::json(StatusCode::OK, &context.service.status(&context.caller).await?))
}

pub(super) async fn metrics(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let accept = context.request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let exposition = Exposition::choose(accept);
    let measured = context.service.measure(&context.caller).await?;
    Ok(response::whole(StatusCode::OK, exposition.content_type(), exposition.write(measured).into()))
}

pub(super) async fn reload(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    Ok(response::json(StatusCode::OK, &context.service.reload(&context.caller).await?))
}
