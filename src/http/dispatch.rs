//! One request from its arrival to its answer: route, caller, access, handler, and the headers that every answer has.
//!
//! Called by [`serve`](super::serve) for each request of each connection.

use std::sync::Arc;

use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HeaderValue, ORIGIN, STRICT_TRANSPORT_SECURITY};
use hyper::{Method, Request, Response, StatusCode};

use super::auth::{self, Access, Dialect};
use super::error::{Audience, HttpError};
use super::handlers::Context;
use super::query::{self, Parameters};
use super::request_body::RequestBody;
use super::request_id::RequestId;
use super::response::Body;
use super::route::{self, Found, Route};
use super::{ListenerKind, Peer, Settings, cors};
use crate::service::{Admission, Caller, Service};

/// Answers one request; every error becomes an answer. What the answer depends on is read before the future is made: an `async fn`
/// has room for its arguments twice, and a request is large.
pub(crate) fn answer(
    service: Arc<Service>,
    settings: Arc<Settings>,
    peer: Peer,
    request: Request<RequestBody>,
    request_id: RequestId,
) -> impl Future<Output = Response<Body>> + Send {
    let origin = request.headers().get(ORIGIN).cloned();
    let (is_head, is_options) = (request.method() == Method::HEAD, request.method() == Method::OPTIONS);
    // HTTP/2 has no such header, and hyper leaves it out.
    let is_last = peer.admission == Admission::Reserve;
    // Never the query: it may hold a key.
    let logged =
        tracing::enabled!(tracing::Level::DEBUG).then(|| (request.method().clone(), request.uri().path().to_owned()));
    let audience = if peer.listener == ListenerKind::Control { Audience::Operator } else { Audience::Client };
    let dialect = Dialect::of(request.method(), request.uri().path());
    async move {
        let answered = match admit(&service, &settings, peer, &request).await {
            Ok(Admitted::Options { allow }) => Ok(options(allow)),
            Ok(Admitted::Route { route, caller, parameters, arguments: [argument, second] }) => {
                let settings = Arc::clone(&settings);
                (route.handler)(Context { service, settings, peer, caller, request, parameters, argument, second })
                    .await
            }
            Err(error) => Err(error),
        };
        let mut response = match answered {
            Ok(response) => response,
            Err(error) => {
                if let Some(detail) = error.detail() {
                    tracing::debug!(request_id = request_id.as_str(), "{error}: {detail}");
                }
                match dialect {
                    Dialect::Own => error.response(request_id.as_str(), audience),
                    Dialect::Ntfy => error.ntfy_response(request_id.as_str(), audience),
                }
            }
        };
        if let Some((method, path)) = logged {
            let (request_id, status) = (request_id.as_str(), response.status().as_u16());
            tracing::debug!(request_id, %method, path, status, "answered");
        }
        if is_head {
            strip_body(&mut response);
        }
        if is_last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // A browser ignores it over plain HTTP, where anybody on the way could have added it.
        if peer.is_tls && !settings.hsts.is_zero() {
            let value = HeaderValue::try_from(format!("max-age={}", settings.hsts.as_secs()));
            response.headers_mut().extend(value.map(|value| (STRICT_TRANSPORT_SECURITY, value)));
        }
        cors::apply(&settings.cors_origins, origin.as_ref(), is_options, response.headers_mut());
        request_id.set(&mut response);
        response
    }
}

/// The answer to `HEAD` is that to `GET` without the body; its length stays.
fn strip_body(response: &mut Response<Body>) {
    if let Body::Whole(Some(bytes)) = response.body() {
        let length = HeaderValue::from(bytes.len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    *response.body_mut() = Body::empty();
}

/// What becomes of a request that is not refused.
enum Admitted {
    Options {
        allow: &'static str,
    },
    Route {
        route: &'static Route,
        caller: Caller,
        parameters: Parameters,
        /// The variable parts of the path.
        arguments: [Option<String>; 2],
    },
}

/// Finds the route of a request, and the caller that it is for. The request itself goes only to its handler, because it is
/// large.
async fn admit(
    service: &Service,
    settings: &Settings,
    peer: Peer,
    request: &Request<RequestBody>,
) -> Result<Admitted, HttpError> {
    let (route, arguments) = match route::find(request.method(), request.uri().path(), settings.documentation)? {
        Found::Options { allow } => return Ok(Admitted::Options { allow }),
        Found::Route { route, arguments } => (route, arguments),
    };
    if peer.admission == Admission::Reserve && !route.is_served_beyond_the_limit() {
        return Err(HttpError::Overloaded(peer.listener.limit(service.connections()).refuse()));
    }
    let [argument, second] = arguments;
    let (argument, second, mut parameters) = match route.access {
        // Pages and probes ignore the query, and the names of their files need no encoding.
        Access::Open => (argument.map(str::to_owned), None, Parameters::default()),
        _ => {
            let decode = |argument: Option<&str>| argument.map(query::decode_path).transpose();
            (decode(argument)?, decode(second)?, Parameters::parse(request.uri().query()))
        }
    };
    if [Method::GET, Method::HEAD].contains(request.method()) {
        parameters.ignore_cache_busters();
    }
    let dialect = Dialect::of(request.method(), request.uri().path());
    let presented = auth::Presented { headers: request.headers(), parameters: &mut parameters, dialect };
    let caller = auth::authorize(service, settings, peer, presented, route.access).await?;
    Ok(Admitted::Route { route, caller, parameters, arguments: [argument, second] })
}

fn options(allow: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
