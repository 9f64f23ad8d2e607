//! Builds one validated configuration from the file, the environment and flags.
//!
//! Owns every key with its meaning and documentation. The daemon calls [`load()`] at its start and at each reload, and
//! `alertctl` calls it too; [`show`], `example` and [`man`] generate documents. Flags override the environment, which
//! overrides the file, which overrides the defaults. Everything that is read comes in through [`Inputs`]. All errors are
//! reported at once, each with its position and a remedy; with an error there is no configuration. It contains no secrets,
//! and does not open the files at its paths (certificates, keys, stores).

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
pub(crate) use settings::{Config, Durability, EngineKind, Store};
pub(crate) use source::{Errors, Source};

#[cfg(test)]
mod tests;
