//! What each route does: typed requests to the service, its answers to the wire.

mod alerts;
mod hooks;
mod keys;
mod state;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, HeaderName, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};

use super::error::HttpError;
use super::request::{self, Parameters};
use super::response::Body;
use super::route::{self, Route};
use super::{Door, Peer, Settings, auth, cors, openapi, page};
use crate::hooks::Sender;
use crate::service::{Caller, Service};

/// A request whose caller is known.
struct Context {
    service: Arc<Service>,
    settings: Arc<Settings>,
    caller: Caller,
    request: Request<Incoming>,
    parameters: Parameters,
    argument: Option<String>,
}

/// Answers one request; never fails.
pub(crate) async fn answer(
    service: Arc<Service>,
    settings: Arc<Settings>,
    peer: Peer,
    request: Request<Incoming>,
    request_id: String,
) -> Response<Body> {
    let origin = request.headers().get(ORIGIN).cloned();
    let head_only = request.method() == Method::HEAD;
    let preflight = request.method() == Method::OPTIONS;
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let origins = Arc::clone(&settings);
    let mut response = match dispatch(service, settings, peer, request).await {
        Ok(response) => response,
        Err(error) => error.response(&request_id),
    };
    // Never the query: it may hold a key.
    tracing::debug!(request_id, %method, path, status = response.status().as_u16(), "answered");
    if head_only {
        strip_body(&mut response);
    }
    let headers = response.headers_mut();
    cors::apply(&origins.cors_origins, origin.as_ref(), preflight, headers);
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    response
}

/// A HEAD has the head of the answer alone; what its GET would have as its length stays.
fn strip_body(response: &mut Response<Body>) {
    if let Body::Whole(Some(bytes)) = response.body() {
        let length = HeaderValue::from(bytes.len());
        response.headers_mut().insert(hyper::header::CONTENT_LENGTH, length);
    }
    *response.body_mut() = Body::empty();
}

async fn dispatch(
    service: Arc<Service>,
    settings: Arc<Settings>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    let found = route::find(request.method(), request.uri().path(), settings.documentation)?;
    let route = found.route;
    match route {
        Route::Options => return Ok(options(found.allow)),
        Route::Live => return Ok(state::live(&service)),
        Route::Ready => return Ok(state::ready(&service)),
        Route::OpenApi => return Ok(openapi::answer()),
        Route::Page | Route::Docs => {
            let site = if route == Route::Docs { &page::DOCS } else { &page::LIVE };
            let file = site.answer(found.argument.unwrap_or_default(), request.headers());
            return file.ok_or_else(|| HttpError::NotFound(request.uri().path().chars().take(200).collect()));
        }
        _ => {}
    }
    let argument = found.argument.map(|text| request::decode(text, false)).transpose()?;
    let mut parameters = Parameters::parse(request.uri().query())?;
    if route == Route::Hook(Sender::GitHub) && peer.door == Door::Http {
        return hooks::receive_signed(&service, &settings, peer, request, parameters, argument).await;
    }
    let caller = auth::caller(&service, &settings, peer, request.headers(), &mut parameters, route).await?;
    let context = Context { service, settings, caller, request, parameters, argument };
    match route {
        Route::Publish => alerts::publish(context).await,
        Route::Read => alerts::read(context).await,
        Route::Topics => alerts::topics(context).await,
        Route::Ticket => alerts::ticket(context).await,
        Route::Hook(sender) => hooks::receive(context, sender).await,
        Route::Health => state::health(context),
        Route::Status => state::status(context).await,
        Route::Metrics => state::metrics(context).await,
        Route::Reload => state::reload(context).await,
        Route::ListKeys => keys::list(context),
        Route::AddKey => keys::add(context).await,
        Route::ImportKeys => keys::import(context).await,
        Route::RevokeKey => keys::revoke(context).await,
        Route::RotateKey => keys::rotate(context).await,
        Route::Options | Route::Page | Route::Docs | Route::OpenApi | Route::Live | Route::Ready => {
            Err(HttpError::NotFound(String::new()))
        }
    }
}

fn options(allow: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
