//! `alertctl doctor`: what is wrong with the daemon of this machine, and what to do about it.
//!
//! | file | owns |
//! |---|---|
//! | [`units`] | the service and its sockets, its last failed start, and drop-ins that contradict the configuration |
//! | [`files`] | owners and modes of what is stored, and the space for it |
//! | [`machine`] | the port, descriptors and the clock |
//! | [`daemon`] | what the running daemon says: readiness, keys |
//!
//! It changes nothing, and starts nothing: the daemon is asked only if its service runs. Always: each finding names its
//! remedy, and what could not be looked at is said.

mod daemon;
mod files;
mod machine;
mod units;

use std::path::PathBuf;

use serde::Serialize;

use super::args::{self, DaemonOptions};
use super::client::Client;
use super::exit::Failure;
use super::output::{Output, Paint};
use super::settings;
use super::text::escaped;
use crate::config::Resolved;
use crate::systemd::{self, Properties};
use units::Units;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// All is well.
    Ok,
    /// It could not be looked at.
    Skipped,
    /// Trouble to come, or something that surprises.
    Warning,
    /// alertd does not do its work, or soon will not.
    Fault,
}

/// The result of one look.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    check: &'static str,
    severity: Severity,
    what: String,
    /// None where there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// All findings so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &'static str, what: impl Into<String>) {
        self.0.push(Finding { check, severity: Severity::Ok, what: what.into(), remedy: None });
    }

    fn skipped(&mut self, check: &'static str, what: impl Into<String>) {
        self.0.push(Finding { check, severity: Severity::Skipped, what: what.into(), remedy: None });
    }

    fn warning(&mut self, check: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, Severity::Warning, what.into(), remedy.into());
    }

    fn fault(&mut self, check: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, Severity::Fault, what.into(), remedy.into());
    }

    fn add(&mut self, check: &'static str, severity: Severity, what: String, remedy: String) {
        self.0.push(Finding { check, severity, what, remedy: Some(remedy) });
    }

    fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether this check has found something.
    fn has(&self, check: &str) -> bool {
        self.0.iter().any(|finding| finding.check == check && finding.severity > Severity::Skipped)
    }
}

/// What the checks look at.
struct Subject<'a> {
    options: &'a DaemonOptions,
    /// None if the configuration cannot be loaded.
    resolved: Option<Resolved>,
    file: PathBuf,
    /// None without systemd, or for a file that no unit of the package reads.
    units: Option<Units>,
    is_root: bool,
}

impl Subject<'_> {
    /// The name of the service's unit.
    fn service(&self) -> &str {
        self.units.as_ref().map_or("alertd.service", |units| &units.service.name)
    }

    /// The name of the unit of the HTTP socket.
    fn socket(&self) -> &str {
        let socket = self.units.as_ref().and_then(|units| units.sockets.first());
        socket.map_or("alertd.socket", |socket| &socket.name)
    }

    /// How a command of `alertctl` for this daemon begins.
    fn alertctl(&self) -> String {
        let instance = self.options.instance.as_ref();
        instance.map_or_else(|| "alertctl".to_owned(), |instance| format!("alertctl --instance {instance}"))
    }

    fn is_running(&self) -> bool {
        self.units.as_ref().is_some_and(|units| units.service.get("ActiveState") == "active")
    }

    /// The user of the service.
    fn user(&self) -> &str {
        self.units.as_ref().map(|units| units.service.get("User")).filter(|user| !user.is_empty()).unwrap_or("alertd")
    }
}

/// Looks at everything and prints what it finds.
///
/// # Errors
/// [`Failure::Warnings`] or [`Failure::Faults`] if there are any.
pub(crate) async fn run(
    args: &args::Doctor,
    options: &DaemonOptions,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let resolved = settings::load(options);
    let file = match (&resolved, &options.instance) {
        (Ok(Resolved { file: Some(file), .. }), _) => file.clone(),
        (_, Some(instance)) => instance.config(),
        _ => options.config.clone().unwrap_or_else(|| settings::default_file().to_owned()),
    };
    let units = systemd::unit_name(&file, "service").and_then(|service| Units::ask(&service));
    let is_root = rustix::process::geteuid().is_root();
    let subject = Subject { options, resolved: resolved.ok(), file, units, is_root };
    let mut findings = Findings::default();
    if !subject.is_root {
        findings.skipped("permissions", "run it as root (sudo): others may not look at all files and units");
    }
    units::check(&subject, &mut findings);
    configuration(&subject, &mut findings);
    files::check(&subject, &mut findings);
    machine::check(&subject, &mut findings);
    daemon::check(&subject, client, &mut findings).await;
    print(&findings, args.json, output).await?;
    let (faults, warnings) = (findings.count(Severity::Fault), findings.count(Severity::Warning));
    match (faults, warnings) {
        (0, 0) => Ok(()),
        (0, warnings) => Err(Failure::Warnings(warnings)),
        (faults, warnings) => Err(Failure::Faults { faults, warnings }),
    }
}

/// Everything that a start would refuse, and remarks about the rest: the certificate, descriptors, settings.
fn configuration(subject: &Subject<'_>, findings: &mut Findings) {
    let file = subject.file.display();
    let (alertctl, service) = (subject.alertctl(), subject.service());
    let remedy = format!("correct it, then: {alertctl} config check && systemctl reload-or-restart {service}");
    match settings::check(subject.options) {
        Ok(checked) => {
            for remark in checked.remarks {
                let check = if remark.contains("TLS certificate") { "certificate" } else { "configuration" };
                // What no client accepts is as bad as no certificate; the daemon itself goes on.
                let is_refused = check == "certificate" && remark.contains("clients refuse it");
                let severity = if is_refused { Severity::Fault } else { Severity::Warning };
                let (what, remedy) = match remark.split_once(": renew it") {
                    Some((what, rest)) => (what.to_owned(), format!("renew it{rest}")),
                    None => (remark, format!("change it in {file}, or in the unit")),
                };
                findings.add(check, severity, what, remedy);
            }
            if !findings.has("configuration") {
                findings.ok("configuration", format!("{file} is valid"));
            }
            if subject.resolved.as_ref().is_some_and(|resolved| resolved.config.http.tls().is_some())
                && !findings.has("certificate")
            {
                findings.ok("certificate", "is valid for more than 30 days and has its key");
            }
        }
        Err(failure) => {
            for line in failure.to_string().lines() {
                let check = if line.contains("http.tls_") { "certificate" } else { "configuration" };
                findings.fault(check, line, remedy.clone());
            }
        }
    }
}

async fn print(findings: &Findings, is_json: bool, output: &mut Output) -> Result<(), Failure> {
    let (faults, warnings) = (findings.count(Severity::Fault), findings.count(Severity::Warning));
    if is_json {
        let report = serde_json::json!({ "faults": faults, "warnings": warnings, "findings": findings.0 });
        return output.line(&report.to_string()).await;
    }
    for Finding { check, severity, what, remedy } in &findings.0 {
        let (mark, paint) = match severity {
            Severity::Ok => ("ok", Paint::Green),
            Severity::Skipped => ("skipped", Paint::Dim),
            Severity::Warning => ("warning", Paint::Yellow),
            Severity::Fault => ("FAULT", Paint::Red),
        };
        let mark = output.paint(&format!("{mark:<7}"), paint);
        output.line(&format!("{mark}  {check}: {}", escaped(what))).await?;
        if let Some(remedy) = remedy {
            output.line(&format!("         -> {}", escaped(remedy))).await?;
        }
    }
    Ok(())
}

/// A unit as systemctl shows it.
fn unit(name: &str) -> Option<Properties> {
    Properties::of(name, units::PROPERTIES).filter(|unit| unit.get("LoadState") == "loaded")
}
