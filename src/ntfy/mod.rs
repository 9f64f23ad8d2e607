//! ntfy's protocol as values, as far as its apps, its command line and its libraries use it: what a client asks for, alerts
//! as its messages, and its messages as alerts.
//!
//! | file | owns |
//! |---|---|
//! | [`names`] | the topics of a subscription, under the names that its client knows |
//! | [`selection`] | which messages of these topics it wants |
//! | [`message`] | an alert as a message |
//! | [`view`] | the messages and events of one subscription, encoded |
//! | [`publish`] | a message as an alert |
//!
//! Called by [`sse`](crate::sse), which has the formats of all streams, and by the HTTP layer. Pure values: no clock, no I/O.
//! Always: a message has the name that its client asked for, since apps drop messages of names that they do not know; and
//! its id is that of the alert, so that a client resumes exactly.

pub(crate) mod message;
pub(crate) mod names;
pub(crate) mod publish;
pub(crate) mod selection;
pub(crate) mod view;

pub(crate) use message::Content;
pub(crate) use names::Names;
pub(crate) use selection::Selection;
pub(crate) use view::{Shape, View};
