//! To come.
use serde_json::{Map, Value};
use crate::Result;
use crate::dialect::Target;
#[derive(clap::Args)]
pub(crate) struct Options { #[command(flatten)] target: Target }
pub(crate) fn run(options: &Options) -> Result<Map<String, Value>> { let _ = &options.target; Err("to come".into()) }
