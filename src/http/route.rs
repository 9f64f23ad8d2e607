//! The table of paths and methods: one place gives the handlers, 404, and 405 with `Allow`.

use std::sync::LazyLock;

use hyper::Method;
use matchit::Router;

use super::error::HttpError;
use crate::hooks::Sender;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `PUT`, `POST /alerts`.
    Publish,
    /// `GET /alerts`.
    Read,
    /// `POST /hooks/alertmanager` and the like.
    Hook(Sender),
    /// `GET /topics`.
    Topics,
    /// `POST /tickets`.
    Ticket,
    /// `GET /health`.
    Health,
    /// `GET /`, and the files of the live page.
    Page,
    /// `GET /docs`, and the files of that page.
    Docs,
    /// `GET /openapi.json`.
    OpenApi,
    /// `GET /livez`.
    Live,
    /// `GET /readyz`.
    Ready,
    /// `GET /status`.
    Status,
    /// `GET /metrics`.
    Metrics,
    /// `GET /keys`.
    ListKeys,
    /// `POST /keys`.
    AddKey,
    /// `POST /keys/import`.
    ImportKeys,
    /// `DELETE /keys/{id}`.
    RevokeKey,
    /// `POST /keys/{id}/rotate`.
    RotateKey,
    /// `POST /reload`.
    Reload,
    /// `OPTIONS` of any path.
    Options,
}

/// A path: which method does what. `HEAD` goes with `GET`, `OPTIONS` with all.
struct Path {
    methods: &'static [(Method, Route)],
    allow: &'static str,
}

impl Path {
    fn is_documentation(&self) -> bool {
        self.methods.iter().any(|(_, route)| matches!(route, Route::Docs | Route::OpenApi))
    }
}

const PATHS: &[(&str, Path)] = {
    const ALERTS: &[(Method, Route)] =
        &[(Method::GET, Route::Read), (Method::PUT, Route::Publish), (Method::POST, Route::Publish)];
    const ALERTMANAGER: &[(Method, Route)] = &[(Method::POST, Route::Hook(Sender::Alertmanager))];
    const GRAFANA: &[(Method, Route)] =
        &[(Method::POST, Route::Hook(Sender::Grafana)), (Method::PUT, Route::Hook(Sender::Grafana))];
    const GITHUB: &[(Method, Route)] = &[(Method::POST, Route::Hook(Sender::GitHub))];
    const KEYS: &[(Method, Route)] = &[(Method::GET, Route::ListKeys), (Method::POST, Route::AddKey)];
    &[
        ("/alerts", Path { methods: ALERTS, allow: "GET, HEAD, PUT, POST, OPTIONS" }),
        ("/alerts/{topic}", Path { methods: ALERTS, allow: "GET, HEAD, PUT, POST, OPTIONS" }),
        ("/hooks/alertmanager", Path { methods: ALERTMANAGER, allow: "POST, OPTIONS" }),
        ("/hooks/alertmanager/{topic}", Path { methods: ALERTMANAGER, allow: "POST, OPTIONS" }),
        ("/hooks/grafana", Path { methods: GRAFANA, allow: "PUT, POST, OPTIONS" }),
        ("/hooks/grafana/{topic}", Path { methods: GRAFANA, allow: "PUT, POST, OPTIONS" }),
        ("/hooks/github", Path { methods: GITHUB, allow: "POST, OPTIONS" }),
        ("/hooks/github/{topic}", Path { methods: GITHUB, allow: "POST, OPTIONS" }),
        ("/topics", Path { methods: &[(Method::GET, Route::Topics)], allow: "GET, HEAD, OPTIONS" }),
        ("/tickets", Path { methods: &[(Method::POST, Route::Ticket)], allow: "POST, OPTIONS" }),
        ("/health", Path { methods: &[(Method::GET, Route::Health)], allow: "GET, HEAD, OPTIONS" }),
        ("/", Path { methods: &[(Method::GET, Route::Page)], allow: "GET, HEAD, OPTIONS" }),
        ("/page/{file}", Path { methods: &[(Method::GET, Route::Page)], allow: "GET, HEAD, OPTIONS" }),
        ("/docs", Path { methods: &[(Method::GET, Route::Docs)], allow: "GET, HEAD, OPTIONS" }),
        ("/docs/{file}", Path { methods: &[(Method::GET, Route::Docs)], allow: "GET, HEAD, OPTIONS" }),
        ("/openapi.json", Path { methods: &[(Method::GET, Route::OpenApi)], allow: "GET, HEAD, OPTIONS" }),
        ("/livez", Path { methods: &[(Method::GET, Route::Live)], allow: "GET, HEAD, OPTIONS" }),
        ("/readyz", Path { methods: &[(Method::GET, Route::Ready)], allow: "GET, HEAD, OPTIONS" }),
        ("/status", Path { methods: &[(Method::GET, Route::Status)], allow: "GET, HEAD, OPTIONS" }),
        ("/metrics", Path { methods: &[(Method::GET, Route::Metrics)], allow: "GET, HEAD, OPTIONS" }),
        ("/keys", Path { methods: KEYS, allow: "GET, HEAD, POST, OPTIONS" }),
        ("/keys/import", Path { methods: &[(Method::POST, Route::ImportKeys)], allow: "POST, OPTIONS" }),
        ("/keys/{id}", Path { methods: &[(Method::DELETE, Route::RevokeKey)], allow: "DELETE, OPTIONS" }),
        ("/keys/{id}/rotate", Path { methods: &[(Method::POST, Route::RotateKey)], allow: "POST, OPTIONS" }),
        ("/reload", Path { methods: &[(Method::POST, Route::Reload)], allow: "POST, OPTIONS" }),
    ]
};

static ROUTER: LazyLock<Router<&'static Path>> = LazyLock::new(|| {
    let mut router = Router::new();
    for (path, entry) in PATHS {
        // The table above has no two paths that collide; the test below would say so.
        let _ = router.insert(*path, entry);
    }
    router
});

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// What to do.
    pub route: Route,
    /// The variable part of the path, still percent-encoded.
    pub argument: Option<&'a str>,
    /// For the answer to `OPTIONS`.
    pub allow: &'static str,
}

/// All paths, with what each of their methods does.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static [(Method, Route)])> {
    PATHS.iter().map(|(path, entry)| (*path, entry.methods))
}

/// Finds the route of a request; the documentation is there only where asked for.
///
/// # Errors
/// [`HttpError::NotFound`], [`HttpError::NoDocumentation`] or [`HttpError::Method`].
pub(crate) fn find<'a>(method: &Method, path: &'a str, documentation: bool) -> Result<Found<'a>, HttpError> {
    if path == "*" && method == Method::OPTIONS {
        return Ok(Found { route: Route::Options, argument: None, allow: "GET, HEAD, PUT, POST, DELETE, OPTIONS" });
    }
    let shown = || path.chars().take(200).collect();
    let found = ROUTER.at(path).map_err(|_| HttpError::NotFound(shown()))?;
    let entry = found.value;
    if entry.is_documentation() && !documentation {
        return Err(HttpError::NoDocumentation(shown()));
    }
    let argument = found.params.iter().next().map(|(_, value)| value);
    let wanted = if method == Method::HEAD { &Method::GET } else { method };
    let route = match entry.methods.iter().find(|(own, _)| own == wanted) {
        Some((_, route)) => *route,
        None if method == Method::OPTIONS => Route::Options,
        None => return Err(HttpError::Method { method: method.to_string(), allow: entry.allow }),
    };
    Ok(Found { route, argument, allow: entry.allow })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_table_is_reachable_and_its_allow_is_true() {
        for (path, entry) in PATHS {
            let concrete = path.replace("{topic}", "ops.db").replace("{id}", "k1");
            for (method, route) in entry.methods {
                assert_eq!(find(method, &concrete, true).unwrap().route, *route, "{method} {concrete}");
                assert!(entry.allow.contains(method.as_str()));
            }
            for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::POST, Method::GET] {
                assert_eq!(
                    find(&method, &concrete, true).is_ok(),
                    entry.allow.contains(method.as_str()),
                    "{method} {concrete}"
                );
            }
        }
    }

    #[test]
    fn without_documentation_its_paths_are_not_there_by_any_method() {
        for method in [Method::GET, Method::OPTIONS, Method::PUT] {
            for path in ["/docs", "/docs/docs.js", "/openapi.json"] {
                assert!(matches!(find(&method, path, false), Err(HttpError::NoDocumentation(_))), "{method} {path}");
            }
        }
        assert!(find(&Method::GET, "/alerts", false).is_ok());
    }

    #[test]
    fn unknown_paths_are_not_found() {
        for path in [
            "//",
            "/page",
            "/page/",
            "/docs/",
            "/openapi",
            "/page/a/b",
            "/alerts/",
            "/alerts/a/b",
            "/Alerts",
            "/alert",
            "//alerts",
            "/keys/",
            "/keys/a/b",
            "/hooks",
            "/hooks/other",
        ] {
            assert!(matches!(find(&Method::GET, path, true), Err(HttpError::NotFound(_))), "{path}");
        }
        assert_eq!(find(&Method::OPTIONS, "*", true).unwrap().route, Route::Options);
        assert!(matches!(find(&Method::GET, "*", true), Err(HttpError::NotFound(_))));
        assert_eq!(find(&Method::GET, "/alerts/ops.db", true).unwrap().argument, Some("ops.db"));
    }
}
