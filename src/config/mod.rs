//! File, environment and flags become one checked configuration.
//!
//! Owns every key, its meaning and its words: [`load()`] for the daemon, at its start and at each reload, and for `alertctl`;
//! [`show`], `example` and [`man`] for people. Order: default < file < environment < flag. All that is read comes in
//! through [`Inputs`]. All errors are found at once, each with its place and the remedy, and a configuration with an error
//! is none. It holds no secret. What lies at the paths (certificates, keys, the store) it leaves to those who open them.

mod address;
pub(crate) mod args;
mod compare;
mod document;
mod environment;
mod file;
mod keys;
mod load;
mod nearest;
mod settings;
mod size;
mod source;
mod value;

pub(crate) use document::{man, show};
pub(crate) use load::{Inputs, Resolved, default_file, load};
pub(crate) use settings::{Config, Durability, EngineKind, LogLevel, LogTarget, Stage, Store};
pub(crate) use source::{Errors, Source};

#[cfg(test)]
mod tests;
