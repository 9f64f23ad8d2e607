//! The runner.
pub(crate) mod million;
#[derive(clap::Args)]
pub(crate) struct Options {}
pub(crate) fn run(_options: &Options) -> crate::Result<()> { Ok(()) }
