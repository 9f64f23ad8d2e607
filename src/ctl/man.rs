//! Generates the man pages from the definitions of the command lines.
//!
//! The text at the end of the help becomes sections: a line that is not indented and ends with a colon is a heading,
//! indented lines are printed verbatim, and text before the first heading becomes the section NOTES.

use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::args::Ctl;
use super::exit::Failure;
use crate::config;

/// Writes `alertctl.1` and a page for each subcommand, `alertd.8` and `alertd.toml.5`.
///
/// # Errors
/// [`Failure::Failed`] if a file cannot be written.
pub(crate) fn write(dir: &Path) -> Result<(), Failure> {
    let mut ctl = Ctl::command().disable_help_subcommand(true);
    ctl.build();
    tree(&ctl, dir)?;
    let mut daemon = config::args::DaemonArgs::command();
    daemon.build();
    save(&dir.join("alertd.8"), page(&daemon, "8").as_bytes())?;
    save(&dir.join("alertd.toml.5"), config::man().as_bytes())
}

fn tree(command: &Command, dir: &Path) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    save(&dir.join(format!("{name}.1")), page(command, "1").as_bytes())?;
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).try_for_each(|sub| tree(sub, dir))
}

fn save(path: &Path, page: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, page)
        .map_err(|e| Failure::Failed(format!("cannot write {}: {e}; create the directory first", path.display())))
}

fn page(command: &Command, section: &str) -> String {
    let man = Man::new(command.clone().override_usage(synopsis(command)))
        .section(section)
        .manual("alertd")
        .source(concat!("alertd ", env!("CARGO_PKG_VERSION")));
    let mut out = Vec::new();
    // Writing to memory cannot fail.
    let _ = man.render_title(&mut out);
    let _ = man.render_name_section(&mut out);
    let _ = man.render_synopsis_section(&mut out);
    let _ = man.render_description_section(&mut out);
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        let _ = man.render_options_section(&mut out);
    }
    if command.get_subcommands().any(|sub| !sub.is_hide_set()) {
        let _ = man.render_subcommands_section(&mut out);
    }
    if let Some(text) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        out.extend(sections(&text.to_string()).to_roff().into_bytes());
    }
    let own = format!("{}({section})", command.get_display_name().unwrap_or_else(|| command.get_name()));
    let also = ["alertctl(1)", "alertd(8)", "alertd.toml(5)"].into_iter().filter(|page| *page != own);
    let also = format!("{}, /usr/share/doc/alertd/operations.md", also.collect::<Vec<_>>().join(", "));
    let mut end = Roff::new();
    end.control("SH", ["SEE ALSO"]).text([roman(&also)]);
    out.extend(end.to_roff().into_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// The usage of a command, with the names of the values of its options, which clap_mangen leaves out.
fn synopsis(command: &Command) -> String {
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let (positional, options): (Vec<&Arg>, Vec<&Arg>) = shown.partition(|argument| argument.is_positional());
    let option = |argument: &&Arg| {
        let short = argument.get_short().map_or_else(String::new, |short| format!("-{short}|"));
        if argument.is_required_set() { format!("{short}{argument}") } else { format!("[{short}{argument}]") }
    };
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut words = vec![name];
    words.extend(options.iter().map(option));
    words.extend(positional.iter().map(ToString::to_string));
    words.extend(command.has_subcommands().then(|| "<COMMAND>".to_owned()));
    words.join(" ")
}

fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut verbatim = false;
    if !text.lines().next().unwrap_or_default().ends_with(':') {
        roff.control("SH", ["NOTES"]);
    }
    for line in text.lines() {
        let indented = line.starts_with(' ');
        if indented != verbatim && !line.is_empty() {
            roff.control(if indented { "nf" } else { "fi" }, []);
            verbatim = indented;
        }
        match line.strip_suffix(':') {
            _ if line.is_empty() => {
                roff.control("PP", []);
            }
            Some(heading) if !indented => {
                roff.control("SH", [heading.to_uppercase().as_str()]);
            }
            _ => {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
        }
    }
    if verbatim {
        roff.control("fi", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_unless_it_is_hidden() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        for name in ["alertctl.1", "alertctl-key-add.1", "alertctl-tail.1", "alertctl-config-show.1", "alertd.8"] {
            let page = read(name);
            assert!(page.contains(".SH NAME") && page.contains("SEE ALSO"), "{name}");
        }
        assert!(!dir.path().join("alertctl-man.1").exists() && !read("alertctl.1").contains("alertctl\\-man"));
        let tail = read("alertctl-tail.1");
        assert!(tail.contains(".SH EXAMPLES\n.nf\n") && tail.contains("ALERT_METADATA"), "{tail}");
        assert!(read("alertd.8").contains(".SH NOTES\nExit codes") && !read("alertd.toml.5").is_empty());
        assert!(write(&dir.path().join("missing")).is_err());
    }

    /// F20: the synopsis had `[--config]` without its value, `ALERTD_CONFIG` was never named, and a page listed itself.
    #[test]
    fn f20_pages_say_what_options_take_and_where_to_read_on() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap().replace('\\', "");
        let daemon = read("alertd.8");
        assert!(daemon.contains("fBalertdfR [--config <FILE>] [--check] [-h|--help] [-V|--version]\n"), "{daemon}");
        assert!(daemon.contains("environment variable ALERTD_CONFIG"), "{daemon}");
        assert!(daemon.ends_with("alertctl(1), alertd.toml(5), /usr/share/doc/alertd/operations.md\n"), "{daemon}");
        assert!(read("alertctl.1").contains(" [--instance <NAME>] "));
        assert!(read("alertctl-key-rotate.1").contains(" <ID>\n"));
    }
}
