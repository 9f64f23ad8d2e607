//! Managing keys.

use hyper::{Response, StatusCode};

use super::Context;
use crate::api::{ImportedKeys, Keys, NewKey, Rotate};
use crate::http::error::HttpError;
use crate::http::request;
use crate::http::response::{self, Body};

pub(super) fn list(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    Ok(response::json(StatusCode::OK, &Keys { keys: context.service.keys(&context.caller)? }))
}

pub(super) async fn add(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    context.service.may_manage(&context.caller)?;
    let body = request::body(context.request.into_body(), &context.settings).await?;
    let new: NewKey = request::json(&body)?;
    Ok(response::json(StatusCode::CREATED, &context.service.add_key(&context.caller, new).await?))
}

pub(super) async fn import(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    /// A file of keys is larger than an alert, and comes from a caller who may do everything.
    const MAX_FILE: usize = 16 << 20;
    let settings = crate::http::Settings { max_body: MAX_FILE, ..(*context.settings).clone() };
    context.service.may_manage(&context.caller)?;
    let body = request::body(context.request.into_body(), &settings).await?;
    let imported = context.service.import_keys(&context.caller, body).await?;
    let answer = ImportedKeys { added: imported.added, skipped: imported.skipped };
    Ok(response::json(StatusCode::OK, &answer))
}

pub(super) async fn revoke(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let id = context.argument.unwrap_or_default();
    Ok(response::json(StatusCode::OK, &Keys { keys: context.service.revoke_key(&context.caller, id).await? }))
}

pub(super) async fn rotate(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    context.service.may_manage(&context.caller)?;
    let body = request::body(context.request.into_body(), &context.settings).await?;
    let wish: Rotate = if body.is_empty() { Rotate::default() } else { request::json(&body)? };
    let id = context.argument.unwrap_or_default();
    let created = context.service.rotate_key(&context.caller, id, wish.overlap).await?;
    Ok(response::json(StatusCode::CREATED, &created))
}
