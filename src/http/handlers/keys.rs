//! The management of keys.

use hyper::{Response, StatusCode};

use super::Context;
use crate::api::{ImportedKeys, NewKey, Rotate};
use crate::http::error::{BodyLimit, HttpError};
use crate::http::request;
use crate::http::response::{self, Body};

/// A file of keys is larger than an alert, and only the scope `admin` may send one.
const KEY_FILE: BodyLimit = BodyLimit { bytes: 16 << 20, set_by: "for a file of keys" };

pub(in crate::http) async fn list(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    Ok(response::json(StatusCode::OK, &context.service.keys(&context.caller)?))
}

pub(in crate::http) async fn add(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let (_, body) = request::body(context.request, context.settings.body_limit()).await?;
    let new: NewKey = request::json(&body)?;
    Ok(response::secret_json(StatusCode::CREATED, &context.service.add_key(&context.caller, new).await?))
}

pub(in crate::http) async fn import(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let (_, body) = request::body(context.request, KEY_FILE).await?;
    let imported = context.service.import_keys(&context.caller, body).await?;
    let answer = ImportedKeys { added: imported.added, skipped: imported.skipped };
    Ok(response::json(StatusCode::OK, &answer))
}

pub(in crate::http) async fn revoke(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let id = context.argument.unwrap_or_default();
    Ok(response::json(StatusCode::OK, &context.service.revoke_key(&context.caller, id).await?))
}

pub(in crate::http) async fn rotate(context: Context) -> Result<Response<Body>, HttpError> {
    context.parameters.finish("none")?;
    let (_, body) = request::body(context.request, context.settings.body_limit()).await?;
    let wish: Rotate = if body.is_empty() { Rotate::default() } else { request::json(&body)? };
    let id = context.argument.unwrap_or_default();
    let created = context.service.rotate_key(&context.caller, id, wish.overlap).await?;
    Ok(response::secret_json(StatusCode::CREATED, &created))
}
