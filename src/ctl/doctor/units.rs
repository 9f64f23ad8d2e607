//! The service and its sockets: whether they run, why the last start failed, and drop-ins that contradict the rest.

use super::{Findings, Subject, unit};
use crate::config::Source;
use crate::systemd::{self, Properties};

pub(super) const PROPERTIES: &str = "LoadState,ActiveState,SubState,Result,StatusText,UnitFileState,NeedDaemonReload,DropInPaths,FragmentPath,MainPID,User,\
     Listen,Environment,ExecStop,FileDescriptorStoreMax,PrivateUsers,NRestarts,ExecMainStatus,Job";
/// Drop-ins of the package itself lie there.
const OWN: &str = "/usr/lib/systemd/";
/// Of the entry that says why a start failed.
const START_FAILED: &str = "6ad1f4a7b6f04c2f9a4e0d7c6a3f1e1d";

pub(super) struct Units {
    pub(super) service: Properties,
    pub(super) sockets: Vec<Properties>,
}

impl Units {
    /// None without systemd, or without the units.
    pub(super) fn ask(service: &str) -> Option<Self> {
        let named = |socket: &str| {
            // alertd@blue.service has alertd-control@blue.socket.
            let (_, rest) = service.split_at("alertd".len());
            unit(&format!("alertd{socket}{}", rest.replace(".service", ".socket")))
        };
        let sockets = ["", "-control", "-publish"].into_iter().filter_map(named).collect();
        Some(Self { service: unit(service)?, sockets })
    }
}

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(units) = &subject.units else {
        let file = subject.file.display();
        return findings.skipped("units", format!("no unit of systemd reads {file}, or there is no systemd"));
    };
    service(&units.service, findings);
    for socket in &units.sockets {
        self::socket(socket, &units.service, findings);
    }
    last_failed_start(&units.service, findings);
    for unit in units.sockets.iter().chain([&units.service]) {
        if unit.get("NeedDaemonReload") == "yes" {
            let name = &unit.name;
            findings.warning("units", format!("the files of {name} were changed"), "systemctl daemon-reload");
        }
    }
    drop_ins(subject, units, findings);
}

fn service(service: &Properties, findings: &mut Findings) {
    let name = &service.name;
    match (service.get("ActiveState"), service.get("SubState")) {
        ("active", _) => findings.ok("units", format!("{name} runs")),
        ("failed", _) => findings.fault(
            "units",
            format!("{name} has failed (exit status {}, {})", service.get("ExecMainStatus"), service.get("Result")),
            format!("correct the cause (journalctl -u {name} -p err), then: systemctl start {name}"),
        ),
        (_, "auto-restart") => findings.fault(
            "units",
            format!("{name} fails at each start, {} times so far", service.get("NRestarts")),
            format!("correct the cause: journalctl -u {name} -p err"),
        ),
        ("inactive", _) => findings.fault("units", format!("{name} is stopped"), format!("systemctl start {name}")),
        (state, _) => findings.warning("units", format!("{name} is {state}"), format!("systemctl status {name}")),
    }
    if service.get("UnitFileState") == "disabled" {
        let remedy = format!("systemctl enable {name}");
        findings.warning("units", format!("{name} is disabled and does not start at boot"), remedy);
    }
}

fn socket(socket: &Properties, service: &Properties, findings: &mut Findings) {
    let name = &socket.name;
    match socket.get("ActiveState") {
        "active" => {}
        state => findings.fault(
            "units",
            format!("{name} is {state} ({}), so nobody can connect to it", socket.get("Result")),
            format!("systemctl start {name} {}, and see journalctl -u {name} if that fails", service.name),
        ),
    }
}

/// The reason of the last start that failed, in this boot.
fn last_failed_start(service: &Properties, findings: &mut Findings) {
    let id = format!("MESSAGE_ID={START_FAILED}");
    let unit = format!("_SYSTEMD_UNIT={}", service.name);
    let arguments = ["--quiet", "--no-pager", "--boot", "--lines=1", "--output=short-iso", &unit, &id];
    let Some(entry) = systemd::output("journalctl", &arguments).filter(|entry| !entry.trim().is_empty()) else {
        return;
    };
    let entry = entry.split_whitespace().collect::<Vec<_>>().join(" ");
    let (time, reason) = (entry.split(' ').next().unwrap_or_default(), entry.split_once("cannot start: "));
    let what = format!("at {time}: {}", reason.map_or(&*entry, |(_, reason)| reason));
    if service.get("ActiveState") == "active" {
        findings.ok("last failed start", format!("{what} (it has started since)"));
    } else {
        let remedy = format!("correct that, then: systemctl start {}", service.name);
        findings.fault("last failed start", what, remedy);
    }
}

fn drop_ins(subject: &Subject<'_>, units: &Units, findings: &mut Findings) {
    let own = |unit: &Properties| {
        let paths = unit.get("DropInPaths").split(' ').filter(|path| !path.is_empty() && !path.starts_with(OWN));
        paths.map(str::to_owned).collect::<Vec<_>>().join(", ")
    };
    let service = &units.service;
    let (name, files) = (&service.name, own(service));
    let edit = format!("systemctl revert {name}, or correct {files}");
    if !service.get("ExecStop").contains("unit-stopping") {
        let what = format!("a drop-in of {name} replaces ExecStop=, so each restart ends all streams");
        findings.warning("drop-ins", what, format!("leave ExecStop= as it is: {edit}"));
    }
    if service.get("FileDescriptorStoreMax") == "0" {
        let what = format!("FileDescriptorStoreMax=0 in a drop-in of {name}: each restart ends all streams");
        findings.warning("drop-ins", what, edit.clone());
    }
    if service.get("PrivateUsers") == "yes" {
        let what =
            format!("PrivateUsers=yes in a drop-in of {name} hides from the journal who uses the control socket");
        findings.warning("drop-ins", what, edit);
    }
    let Some(resolved) = &subject.resolved else { return };
    let in_file = |name: &str| resolved.source(name).filter(|source| matches!(source, Source::File(..)));
    for variable in service.get("Environment").split([' ', '"']).filter_map(|pair| Some(pair.split_once('=')?.0)) {
        let setting = resolved.sources().map(|(name, _)| name).find(|name| {
            variable.strip_prefix("ALERTD_").is_some_and(|rest| rest.eq_ignore_ascii_case(&name.replace('.', "_")))
        });
        if let Some((setting, source)) = setting.and_then(|name| Some((name, in_file(name)?))) {
            findings.warning(
                "drop-ins",
                format!("{name} sets {variable}, which wins over {setting} in {source}"),
                format!("remove one of them: systemctl edit {name}"),
            );
        }
    }
    if let (Some(socket), Some(source)) = (units.sockets.first(), in_file("http.listen")) {
        let listens: Vec<_> = socket.all("Listen").filter_map(|listen| listen.strip_suffix(" (Stream)")).collect();
        let wanted: Vec<_> = resolved.config.http.listen.iter().map(ToString::to_string).collect();
        if !wanted.iter().all(|address| listens.contains(&&**address)) {
            let (socket, listens, wanted) = (&socket.name, listens.join(", "), wanted.join(", "));
            findings.warning(
                "drop-ins",
                format!("{socket} listens on {listens}, which wins over http.listen = {wanted:?} in {source}"),
                format!("set the address in the socket (systemctl edit {socket}), and remove http.listen"),
            );
        }
    }
}
