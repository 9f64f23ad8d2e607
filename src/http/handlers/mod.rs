//! The handlers of the routes: typed requests go to the service, its results become answers.
//!
//! Called by the dispatcher, which has checked that the caller has the access of the row. What a caller may do beyond
//! that, such as which topics it may use, is decided by the service.

pub(super) mod alerts;
pub(super) mod expectations;
pub(super) mod hooks;
pub(super) mod incidents;
pub(super) mod keys;
pub(super) mod ntfy;
pub(super) mod pages;
pub(super) mod state;

use std::pin::Pin;
use std::sync::Arc;

use hyper::{Request, Response};

use super::error::HttpError;
use super::query::Parameters;
use super::request_body::RequestBody;
use super::response::Body;
use super::{Peer, Settings};
use crate::service::{Caller, Service};

/// What a handler does with a request.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, HttpError>> + Send>>;

/// A request that was let through to its handler.
pub(super) struct Context {
    pub(super) service: Arc<Service>,
    pub(super) settings: Arc<Settings>,
    pub(super) peer: Peer,
    pub(super) caller: Caller,
    pub(super) request: Request<RequestBody>,
    pub(super) parameters: Parameters,
    /// The first variable part of the path.
    pub(super) argument: Option<String>,
    /// The second one.
    pub(super) second: Option<String>,
}
