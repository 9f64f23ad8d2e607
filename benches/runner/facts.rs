//! The machine and the versions, for whoever reads the figures later.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::machine::{descriptor_limit, meminfo};
use crate::server::Place;

/// The time, as a directory's name.
pub(super) fn stamp() -> String {
    said(Path::new("date"), &["-u", "+%Y%m%dT%H%M%SZ"])
}

/// All that is known.
pub(super) fn collect(place: &Place) -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let python = "import fastapi, uvicorn, redis, sys; print('Python', sys.version.split()[0], 'FastAPI', fastapi.__version__, 'uvicorn', uvicorn.__version__, 'redis-py', redis.__version__)";
    json!({
        "time": said(Path::new("date"), &["-u", "+%Y-%m-%d %H:%M UTC"]),
        "machine": format!(
            "{}, {cores} cores, {:.0} GiB, Linux {}; server on core {}, loopback",
            model.unwrap_or("unknown CPU"),
            meminfo("MemTotal:") as f64 / f64::from(1 << 30),
            said(Path::new("uname"), &["-r"]),
            place.core,
        ),
        "descriptors": format!("{} per process", descriptor_limit()),
        "load before": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
        "alertd": format!(
            "{} at {}, benchmark at {}",
            said(&place.alertd, &["--version"]),
            place.alertd.display(),
            said(Path::new("git"), &["describe", "--always", "--dirty"])
        ),
        "nginx": format!("{}, nchan {}", said(Path::new("/usr/sbin/nginx"), &["-v"]), package("libnginx-mod-nchan")),
        "pushpin": package("pushpin"),
        "redis": package("redis-server"),
        "fastapi": said(&place.python, &["-c", python]),
    })
}

fn package(name: &str) -> String {
    said(Path::new("dpkg-query"), &["-W", "-f", "${Version}", name])
}

/// What a program says, or nothing.
fn said(program: &Path, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return String::new() };
    if !output.status.success() {
        return String::new();
    }
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}
