//! The live page and the page of the documentation.

use hyper::Response;

use super::Context;
use crate::http::error::HttpError;
use crate::http::page::{DOCS, LIVE, Site};
use crate::http::response::Body;

pub(in crate::http) async fn live(context: Context) -> Result<Response<Body>, HttpError> {
    file(&LIVE, &context)
}

pub(in crate::http) async fn docs(context: Context) -> Result<Response<Body>, HttpError> {
    file(&DOCS, &context)
}

fn file(site: &Site, context: &Context) -> Result<Response<Body>, HttpError> {
    let name = context.argument.as_deref().unwrap_or_default();
    let file = site.answer(name, context.request.headers());
    file.ok_or_else(|| HttpError::not_found(context.request.uri().path()))
}
