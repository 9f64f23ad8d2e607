//! alertd takes alerts over REST and broadcasts each one, at once, in order and without loss, to every subscriber
//! over Server-Sent Events. This page is the map: a module imports modules of lower layers and,
//! without a cycle, of its own. `tests/layers` reads the table and checks the source against it.
//!
//! | layer | module | job |
//! |---|---|---|
//! | composition | [`daemon`] | the life of the process: start, run, stop |
//! | | [`ctl`] | `alertctl` |
//! | | `fuzzing` | what must hold for any input; compiled for fuzzers and tests only |
//! | edge | [`http`] | requests in, answers and streams out |
//! | | [`metrics`] | what Prometheus reads: names, types and text form of all measurements |
//! | use cases | [`service`] | publish, subscribe, read, manage keys; the only place that authorises |
//! | delivery | [`delivery`] | open streams: replay, seam, live, slow readers, ends; the broadcast loops |
//! | state | [`engine`] | the log of alerts: ids, storage, retention, idempotency |
//! | | [`hub`] | a ring of encoded frames for each distinct subscription |
//! | | [`keyring`] | keys at rest, verification, revocation |
//! | configuration | [`config`] | file, environment and arguments become one checked configuration |
//! | values | [`expectation`] | what is expected on topics, what is missed and what is met |
//! | | [`hooks`] | payloads of other tools, turned into alerts |
//! | | [`ntfy`] | ntfy's protocol: names of topics, alerts as messages, messages as alerts |
//! | | [`incident`] | what alerts, people and time make of a named problem |
//! | | [`sse`] | the stream's wire formats, encoder and parser |
//! | | [`chunked`] | HTTP/1.1's chunked coding |
//! | | [`api`] | the bodies that server and client share |
//! | | [`key`] | scopes, grants, secrets |
//! | | [`backup`] | the file of a backup: lines with checksums, and what they hold |
//! | | [`certificate`] | how long the served certificate is valid |
//! | | [`alert`] | ids, topics, filters, validation |
//! | ground | [`log`] | events to the journal, syslog or standard error |
//! | | [`systemd`] | inherited sockets, notifications, watchdog |
//! | | [`account`] | names of this machine's users |
//! | | [`disk`] | why stored files cannot be used, and the remedies |
//! | | [`histogram`] | durations, counted without a lock |
//! | | [`net`] | networks of addresses |
//! | | [`process`] | the resources that this process uses, and its disk |
//! | | [`random`] | random spread of times |
//! | | [`record_file`] | a small file with one value, versioned and checked |
//! | | [`supervisor`] | essential threads and tasks, whose end ends the process |
//! | | [`text`] | cutting and decoding texts, and hexadecimal digits |

mod account;
#[doc(hidden)]
pub mod alert;
mod api;
mod backup;
mod certificate;
mod chunked;
mod config;
mod ctl;
mod daemon;
mod delivery;
mod disk;
mod engine;
mod expectation;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod histogram;
mod hooks;
mod http;
mod hub;
mod incident;
#[doc(hidden)]
pub mod key;
mod keyring;
mod log;
mod metrics;
mod net;
mod ntfy;
mod process;
mod random;
mod record_file;
mod service;
#[doc(hidden)]
pub mod sse;
mod supervisor;
mod systemd;
mod text;

pub use config::args::DaemonArgs;
pub use ctl::main as run_alertctl;
pub use daemon::{Failure, run as run_daemon};
