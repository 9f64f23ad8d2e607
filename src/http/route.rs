//! The table of routes. It gives dispatch, access checks, 404, 405, `Allow`, the answers to `HEAD` and `OPTIONS`, and the
//! OpenAPI document, so a new route is a row here and the functions that the row names.
//!
//! Called by [`dispatch`](super::dispatch). Always true: no two rows have a method and a path in common, and `HEAD` goes
//! with `GET`.

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Response, StatusCode};
use matchit::Router;

use super::auth::Access::{self, AnyKey, ControlSocket, Either, Key, KeyOrTicket, Open, Signature};
use super::boxed;
use super::error::HttpError;
use super::handlers::{Answer, Context, alerts, expectations, hooks, incidents, keys, ntfy, pages, state};
use super::openapi::{self, Operation, catalogue};
use super::response::{self, Body};
use crate::hooks::Sender;
use crate::key::Scope::{Admin, Metrics, Publish, Subscribe};

/// When a route is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// Also to a connection beyond the limit.
    Always,
    Normally,
    /// With `stage = "dev"` only.
    Dev,
}

/// A row of the table.
pub(crate) struct Route {
    served: Served,
    methods: &'static [Method],
    paths: &'static [&'static str],
    pub(super) access: Access,
    pub(super) handler: fn(Context) -> Answer,
    describe: fn() -> Operation,
}

impl Route {
    pub(super) fn is_served_beyond_the_limit(&self) -> bool {
        self.served == Served::Always
    }
}

/// One row: when it is served, methods, paths, access, handler and description.
macro_rules! route {
    ($served:ident, $methods:expr, $paths:expr, $access:expr, $handler:expr, $describe:expr) => {
        Route {
            served: Served::$served,
            methods: &$methods,
            paths: &$paths,
            access: $access,
            handler: |context| boxed(|| $handler(context)),
            describe: $describe,
        }
    };
}

const GET: [Method; 1] = [Method::GET];
const POST: [Method; 1] = [Method::POST];
const PUT: [Method; 1] = [Method::PUT];
const DELETE: [Method; 1] = [Method::DELETE];
const PUT_POST: [Method; 2] = [Method::PUT, Method::POST];

#[rustfmt::skip]
static ROUTES: &[Route] = &[
    route!(Normally, GET, ["/alerts", "/alerts/{topic}"], KeyOrTicket, alerts::read, catalogue::read),
    route!(Normally, PUT_POST, ["/alerts", "/alerts/{topic}"], Key(Publish), alerts::publish, openapi::publish::publish),
    route!(Normally, POST, ["/hooks/alertmanager", "/hooks/alertmanager/{topic}"], Key(Publish), hooks::alertmanager, || openapi::hooks::hook(Sender::Alertmanager)),
    route!(Normally, PUT_POST, ["/hooks/grafana", "/hooks/grafana/{topic}"], Key(Publish), hooks::grafana, || openapi::hooks::hook(Sender::Grafana)),
    route!(Normally, POST, ["/prometheus/api/v2/alerts", "/prometheus/{topic}/api/v2/alerts"], Key(Publish), hooks::prometheus, || openapi::hooks::hook(Sender::Prometheus)),
    route!(Normally, PUT_POST, ["/hooks/json", "/hooks/json/{topic}"], Key(Publish), hooks::json, || openapi::hooks::hook(Sender::Json)),
    route!(Normally, POST, ["/hooks/github", "/hooks/github/{topic}"], Signature, hooks::github, || openapi::hooks::hook(Sender::GitHub)),
    route!(Normally, PUT_POST, ["/ntfy", "/ntfy/", "/"], Key(Publish), ntfy::publish_json, openapi::ntfy::publish_json),
    route!(Normally, PUT_POST, ["/ntfy/{topic}"], Key(Publish), ntfy::publish, openapi::ntfy::publish),
    route!(Normally, GET, ["/ntfy/{topic}/publish", "/ntfy/{topic}/send", "/ntfy/{topic}/trigger"], Key(Publish), ntfy::publish, openapi::ntfy::publish_by_get),
    route!(Normally, GET, ["/ntfy/{topic}/json"], Key(Subscribe), ntfy::json, || openapi::ntfy::stream("application/x-ndjson")),
    route!(Normally, GET, ["/ntfy/{topic}/sse"], Key(Subscribe), ntfy::sse, || openapi::ntfy::stream("text/event-stream")),
    route!(Normally, GET, ["/ntfy/{topic}/raw"], Key(Subscribe), ntfy::raw, || openapi::ntfy::stream("text/plain")),
    route!(Normally, GET, ["/ntfy/{topic}/ws"], Key(Subscribe), ntfy::ws, openapi::ntfy::websocket),
    route!(Normally, GET, ["/ntfy/{topic}/auth"], Key(Subscribe), ntfy::auth, openapi::ntfy::auth),
    route!(Normally, GET, ["/ntfy/v1/health"], Open, ntfy::health, openapi::ntfy::health),
    route!(Normally, GET, ["/ntfy/v1/version"], AnyKey, ntfy::version, openapi::ntfy::version),
    route!(Normally, GET, ["/ntfy/v1/account"], AnyKey, ntfy::account, openapi::ntfy::account),
    route!(Normally, GET, ["/ntfy/v1/config"], Open, ntfy::config, openapi::ntfy::config),
    route!(Normally, GET, ["/alerts/{topic}/{id}"], Key(Subscribe), incidents::alert, openapi::incidents::alert),
    route!(Normally, DELETE, ["/alerts/{topic}/{id}"], Either(Publish, Admin), incidents::retract, openapi::incidents::retract),
    route!(Normally, GET, ["/incidents"], Key(Subscribe), incidents::list, openapi::incidents::list),
    route!(Normally, GET, ["/incidents/{topic}/{incident}"], Key(Subscribe), incidents::show, openapi::incidents::show),
    route!(Normally, POST, ["/incidents/{topic}/{incident}/acknowledge"], Key(Publish), incidents::acknowledge, openapi::incidents::acknowledge),
    route!(Normally, POST, ["/incidents/{topic}/{incident}/resolve"], Key(Publish), incidents::resolve, openapi::incidents::resolve),
    route!(Normally, POST, ["/incidents/{topic}/{incident}/reopen"], Key(Publish), incidents::reopen, openapi::incidents::reopen),
    route!(Normally, GET, ["/expectations"], Key(Subscribe), expectations::list, openapi::expectations::list),
    route!(Normally, GET, ["/expectations/{topic}"], Key(Subscribe), expectations::show, openapi::expectations::show),
    route!(Normally, PUT, ["/expectations/{topic}"], Key(Publish), expectations::put, openapi::expectations::put),
    route!(Normally, DELETE, ["/expectations/{topic}"], Key(Publish), expectations::remove, openapi::expectations::remove),
    route!(Normally, GET, ["/topics"], Key(Subscribe), alerts::topics, catalogue::topics),
    route!(Normally, POST, ["/tickets"], Key(Subscribe), alerts::ticket, catalogue::ticket),
    route!(Always, GET, ["/health"], AnyKey, state::health, catalogue::health),
    route!(Normally, GET, ["/", "/page/{file}"], Open, pages::live, || catalogue::page("Open the live page")),
    route!(Dev, GET, ["/docs", "/docs/{file}"], Open, pages::docs, || catalogue::page("Open the page of this description")),
    route!(Dev, GET, ["/openapi.json"], Open, document, catalogue::document),
    route!(Always, GET, ["/livez"], Open, state::live, catalogue::live),
    route!(Always, GET, ["/readyz"], Open, state::ready, catalogue::ready),
    route!(Always, GET, ["/status"], Key(Admin), state::status, catalogue::status),
    route!(Always, GET, ["/metrics"], Key(Metrics), state::metrics, catalogue::metrics),
    route!(Normally, GET, ["/keys"], Key(Admin), keys::list, catalogue::list_keys),
    route!(Normally, POST, ["/keys"], Key(Admin), keys::add, catalogue::add_key),
    route!(Normally, POST, ["/keys/import"], Key(Admin), keys::import, catalogue::import_keys),
    route!(Normally, DELETE, ["/keys/{id}"], Key(Admin), keys::revoke, catalogue::revoke_key),
    route!(Normally, POST, ["/keys/{id}/rotate"], Key(Admin), keys::rotate, catalogue::rotate_key),
    route!(Normally, GET, ["/backup"], ControlSocket, state::backup, catalogue::backup),
    route!(Normally, POST, ["/drain"], ControlSocket, state::drain, catalogue::drain),
    route!(Normally, DELETE, ["/drain"], ControlSocket, state::undrain, catalogue::undrain),
    route!(Normally, POST, ["/reload"], ControlSocket, state::reload, catalogue::reload),
];

/// The rows of one path, and its `Allow`.
struct Path {
    routes: Vec<&'static Route>,
    allow: String,
}

static ROUTER: LazyLock<Router<Path>> = LazyLock::new(|| {
    let mut router = Router::new();
    let paths: std::collections::BTreeSet<_> = ROUTES.iter().flat_map(|route| route.paths).collect();
    for path in paths {
        let routes: Vec<_> = ROUTES.iter().filter(|route| route.paths.contains(path)).collect();
        let allow = allow(routes.iter().flat_map(|route| route.methods));
        // Fails for two paths that collide, which a test excludes.
        let _ = router.insert(*path, Path { routes, allow });
    }
    router
});

/// The `Allow` of `OPTIONS *`.
static ALLOW_ALL: LazyLock<String> = LazyLock::new(|| allow(ROUTES.iter().flat_map(|route| route.methods)));

fn allow<'m>(methods: impl Iterator<Item = &'m Method> + Clone) -> String {
    let has = |method: &Method| match *method {
        Method::OPTIONS => true,
        Method::HEAD => methods.clone().any(|own| own == Method::GET),
        _ => methods.clone().any(|own| own == method),
    };
    let all = [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE, Method::OPTIONS];
    all.iter().filter(|method| has(method)).map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// What serves a request.
pub(crate) enum Found<'a> {
    Route {
        route: &'static Route,
        /// The variable parts of the path, at most two, still percent-encoded.
        arguments: [Option<&'a str>; 2],
    },
    /// An `OPTIONS` request, answered with the methods of its path.
    Options { allow: &'static str },
}

/// Finds the route of a request.
///
/// # Errors
/// [`HttpError::NotFound`], [`HttpError::Method`], or [`HttpError::NoDocumentation`] for a path that is served in another
/// stage.
pub(crate) fn find<'a>(method: &Method, path: &'a str, documentation: bool) -> Result<Found<'a>, HttpError> {
    if path == "*" && method == Method::OPTIONS {
        return Ok(Found::Options { allow: &ALLOW_ALL });
    }
    let found = ROUTER.at(path).map_err(|_| HttpError::not_found(path))?;
    let Path { routes, allow } = found.value;
    if !documentation && routes.iter().any(|route| route.served == Served::Dev) {
        return Err(HttpError::NoDocumentation(path.chars().take(HttpError::SHOWN_PATH).collect()));
    }
    let wanted = if method == Method::HEAD { &Method::GET } else { method };
    match routes.iter().find(|route| route.methods.contains(wanted)) {
        Some(route) => {
            let mut values = found.params.iter().map(|(_, value)| value);
            Ok(Found::Route { route, arguments: [values.next(), values.next()] })
        }
        None if method == Method::OPTIONS => Ok(Found::Options { allow }),
        None => Err(HttpError::Method { method: method.to_string(), allow }),
    }
}

/// `GET /openapi.json`.
async fn document(_: Context) -> Result<Response<Body>, HttpError> {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(format!("{}\n", openapi::document(described()))));
    let mut response = response::whole(StatusCode::OK, "application/json", TEXT.clone());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Each path and method of the table with its access and description.
fn described() -> impl Iterator<Item = openapi::Entry> {
    ROUTES.iter().flat_map(|route| {
        let pairs = route.paths.iter().flat_map(|path| route.methods.iter().map(move |method| (*path, method)));
        pairs.map(|(path, method)| openapi::Entry { path, method, access: route.access, operation: (route.describe)() })
    })
}

#[cfg(test)]
mod tests;
