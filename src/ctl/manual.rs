//! Man pages and completions, from the definitions of the command lines and of the settings.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use super::args::Ctl;
use super::exit::{Code, Failure, file};
use super::output::say;
use crate::config;
use crate::config::args::DaemonArgs;

pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Ctl::command(), "alertctl", &mut text);
    say(&String::from_utf8_lossy(&text))
}

/// `alertctl.1`, one page for each command, `alertd.8` and `alertd.toml.5`.
pub(super) fn write(directory: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| file(directory, &error);
    fs::create_dir_all(directory).map_err(failed)?;
    let ctl = Ctl::command().disable_help_subcommand(true);
    clap_mangen::generate_to(ctl, directory).map_err(failed)?;
    let mut page = Vec::new();
    clap_mangen::Man::new(DaemonArgs::command()).section("8").render(&mut page).map_err(failed)?;
    fs::write(directory.join("alertd.8"), page).map_err(failed)?;
    fs::write(directory.join("alertd.toml.5"), config::man()).map_err(failed)?;
    if directory.join("alertctl.1").exists() {
        Ok(())
    } else {
        Err(Failure::new(Code::Failed, "no page was written for alertctl"))
    }
}
