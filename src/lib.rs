//! alertd takes alerts over REST and broadcasts each one, at once, in order and without loss, to every subscriber
//! over Server-Sent Events. This page is the map; layers import downwards only, and `tests/layers` checks it.
//!
//! | layer | module | job |
//! |---|---|---|
//! | composition | [`daemon`] | the life of the process, on one page |
//! | | [`ctl`] | `alertctl` |
//! | delivery | [`http`] | requests in, answers and streams out |
//! | | [`config`] | file, environment and flags become one checked configuration |
//! | | [`systemd`] | inherited sockets, notifications, watchdog |
//! | | [`log`] | events to the journal, syslog or standard error |
//! | | [`metrics`] | what Prometheus reads: names, types and text form of all measurements |
//! | use cases | [`service`] | publish, subscribe, read, manage keys; the only place that authorises |
//! | state | [`engine`] | the log of alerts: ids, storage, retention, idempotency |
//! | | [`hub`] | fan-out: a ring of encoded frames for each distinct subscription |
//! | | [`keyring`] | keys at rest, verification, revocation |
//! | values | [`alert`] | ids, topics, filters, the validating door |
//! | | [`hooks`] | what other tools send, as alerts |
//! | | [`key`] | scopes, grants, secrets |
//! | | [`sse`] | the stream's wire forms, encoder and parser |
//! | | [`chunked`] | HTTP/1.1's chunked coding, for what goes to a socket as it is |
//! | | [`histogram`] | durations, counted without a lock |
//! | | [`text`] | cutting texts, and hexadecimal digits |
//! | | [`api`] | the bodies that server and client share |

#[doc(hidden)]
pub mod alert;
mod api;
mod chunked;
mod config;
mod ctl;
mod daemon;
mod engine;
mod histogram;
mod hooks;
mod http;
mod hub;
#[doc(hidden)]
pub mod key;
mod keyring;
mod log;
mod metrics;
mod service;
#[doc(hidden)]
pub mod sse;
mod systemd;
mod text;

pub use config::args::DaemonArgs;
pub use ctl::main as run_alertctl;
pub use daemon::{Failure, run as run_daemon};
