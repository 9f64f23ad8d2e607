//! A booted machine, and the commands of an operator on it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Running, announce, eventually, told};

/// A machine, which ends with the test in any case, because it ends when a pipe is closed.
pub struct Machine {
    name: String,
    pub release: &'static str,
    life: Child,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script() -> Command {
    Command::new(root().join("tests/systemd/box"))
}

/// The HTTP address on every machine.
pub fn http() -> SocketAddr {
    ([127, 0, 0, 1], 8080).into()
}

/// The package of this source.
pub fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| build("0.1.0-1", "this"))
}

/// A later version: another build, whose programs say 0.2.0.
pub fn newer() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| build("0.2.0-1", "newer"))
}

/// Builds the package, programs included, as this version, into a directory of this name, and gives its path.
pub fn build(version: &str, directory: &str) -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // One at a time, also of test runs side by side.
    let turn = File::create(temporary.join("build.lock")).unwrap();
    turn.lock().unwrap();
    let directory = temporary.join(directory);
    std::fs::create_dir_all(&directory).unwrap();
    let made = directory.join(format!("alertd_{version}_amd64.deb"));
    let mut command = Command::new(root().join("packaging/build-deb"));
    // Another run may be installing the one that is there.
    let new = made.with_extension("new");
    command.args(["--deb-version", version, "--output"]).arg(&new);
    let (upstream, _) = version.rsplit_once('-').unwrap();
    if upstream != env!("CARGO_PKG_VERSION") {
        command.env("RUSTC_WORKSPACE_WRAPPER", root().join("tests/systemd/as-version")).env("AS_VERSION", upstream);
    }
    announce(&format!("building the package {version} for machines"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    std::fs::rename(new, &made).unwrap();
    made
}

/// Why no machine can be booted here; none if one can.
fn impossible() -> Option<&'static str> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if !is_root {
        Some("only root can make namespaces and mounts")
    } else if !mounts.contains(" cgroup2 ") {
        Some("there is no cgroup2 tree")
    } else {
        None
    }
}

impl Machine {
    /// Runs the test on a fresh machine of this release.
    pub fn with(release: &'static str, test: impl FnOnce(&Self)) {
        match impossible() {
            None => test(&Self::boot(release)),
            // On a build machine a skipped test would pass for a green one.
            Some(why) => {
                assert!(std::env::var_os("CI").is_none(), "{why}");
                eprintln!("\n*** NOT TESTED on {release}: {why} ***\n");
            }
        }
    }

    fn boot(release: &'static str) -> Self {
        static BASES: [OnceLock<()>; 2] = [OnceLock::new(), OnceLock::new()];
        BASES[usize::from(release == "trixie")].get_or_init(|| {
            announce(&format!("making a tree of Debian {release} for machines, unless there is one"));
            let made = script().args(["base", release]).output().unwrap();
            assert!(made.status.success(), "{}", told(&made));
        });
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let life =
            script().args(["boot", &name, release]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let machine = Self { name, release, life };
        machine.wait_for_boot();
        machine
    }

    fn wait_for_boot(&self) {
        let stdout = self.life.stdout.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap();
        let mut word = [0; 8];
        let read = File::from(stdout).read_exact(&mut word);
        read.unwrap_or_else(|e| panic!("{} does not boot: {e}", self.release));
        assert_eq!(&word, b"running\n");
    }

    /// Reboots: everything but the files is made anew, and all units start in their order.
    pub fn reboot(&self) {
        self.life.stdin.as_ref().unwrap().write_all(b"reboot\n").unwrap();
        self.wait_for_boot();
    }

    /// A command inside, not yet run.
    pub fn command(&self, program: &str) -> Command {
        let mut command = script();
        command.args(["in", &self.name, program]).stdin(Stdio::null());
        command
    }

    /// Runs a shell script inside, and gives what it printed. It must succeed.
    pub fn sh(&self, text: &str) -> String {
        let output = self.try_sh(text);
        assert!(output.status.success(), "{text}\n{}", told(&output));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs a shell script inside that may fail.
    pub fn try_sh(&self, text: &str) -> Output {
        self.command("sh").args(["-c", text]).output().unwrap()
    }

    /// What a command says within two seconds. Other work on the machine may hold up one attempt, but hardly five; a command
    /// that waits for something holds up each.
    pub fn within_two_seconds(&self, command: &str) -> Output {
        let mut attempts = (0..5).map(|_| self.try_sh(&format!("timeout 2 {command}")));
        let timed_out = |output: &Output| output.status.code() == Some(124);
        attempts.find(|output| !timed_out(output)).unwrap_or_else(|| panic!("{command} takes more than two seconds"))
    }

    /// Runs a shell script inside beside the test.
    pub fn background(&self, text: &str) -> Running {
        Running(self.command("sh").args(["-c", text]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// A program of this machine in the network of that one.
    pub fn in_its_network(&self, program: &Path) -> Command {
        let mut command = script();
        command.args(["net", &self.name]).arg(program);
        command
    }

    pub fn put(&self, file: &Path, path: &str) {
        let output = script().args(["put", &self.name]).arg(file).arg(path).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
    }

    pub fn write(&self, path: &str, text: &str) {
        let mut child = self
            .command("sh")
            .args(["-c", "mkdir -p \"$(dirname \"$1\")\" && cat >\"$1\"", "_", path])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{path}");
    }

    /// Installs a package as an operator does.
    pub fn apt_install(&self, package: &Path) -> String {
        let file = format!("/root/{}", package.file_name().unwrap().to_str().unwrap());
        self.put(package, &file);
        self.sh(&format!("apt-get install -y -q --allow-downgrades {file} 2>&1"))
    }

    /// A machine with alertd on it.
    pub fn install(&self) {
        self.apt_install(package());
        assert_eq!(self.sh("systemctl is-active alertd.service"), "active");
    }

    /// The secret of a new key.
    pub fn key(&self, user: &str) -> String {
        self.sh(&format!("alertctl key add {user}"))
    }

    /// A property of a unit.
    pub fn show(&self, unit: &str, property: &str) -> String {
        self.sh(&format!("systemctl show -P {property} {unit}"))
    }

    /// Waits until a unit's property is this.
    pub fn until(&self, unit: &str, property: &str, value: &str) {
        eventually(&format!("{property}={value} of {unit}"), || (self.show(unit, property) == value).then_some(()));
    }

    /// Entries of the journal that journalctl finds with these arguments.
    pub fn journal(&self, arguments: &str) -> Vec<Value> {
        let text = self.sh(&format!("journalctl --sync; journalctl -q --no-pager --all -o json {arguments} || true"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All retained alerts of a topic, oldest first.
    pub fn alerts(&self, topic: &str) -> Vec<Value> {
        let text = self.sh(&format!("alertctl history '{topic}' --since all --json"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.try_sh("journalctl -q --no-pager -n 60; systemctl --no-pager --failed");
            eprintln!("--- journal of {}\n{}", self.release, String::from_utf8_lossy(&last.stdout));
        }
        drop(self.life.stdin.take());
        let _ = self.life.wait();
    }
}
