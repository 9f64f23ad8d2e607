//! What a service manager receives, with hand-made sockets; the units themselves are tested on a booted system.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use crate::harness::{PATIENCE, Request, eventually, program};

struct Manager {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, directory }
    }

    /// Waits for a message that holds the text.
    fn hears(&self, text: &str) -> String {
        loop {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|e| panic!("never heard {text}: {e}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.contains(text) {
                return message;
            }
        }
    }

    fn prepare(&self, command: &mut Command) {
        let at = self.directory.path();
        command.env("NOTIFY_SOCKET", at.join("notify")).env("ALERTD_STATE_DIR", at.join("state"));
        command.env("ALERTD_CONTROL_SOCKET", at.join("c.sock")).env("ALERTD_PUBLISH_SOCKET", at.join("p.sock"));
        command.env("ALERTD_HTTP_LISTEN", "127.0.0.1:0").stderr(Stdio::null());
    }
}

#[test]
fn the_service_manager_is_told_of_start_reload_life_and_end() {
    let manager = Manager::new();
    let mut command = program("alertd");
    manager.prepare(&mut command);
    let mut daemon = command.env("WATCHDOG_USEC", "2000000").spawn().unwrap();
    let ready = manager.hears("READY=1");
    assert!(ready.contains("STATUS=listening on 127.0.0.1:"), "{ready}");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &daemon.id().to_string()]).status().unwrap().success());
    signal("-HUP");
    assert!(manager.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    manager.hears("READY=1");
    signal("-TERM");
    manager.hears("STOPPING=1");
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn inherited_sockets_are_told_apart_by_their_names() {
    let manager = Manager::new();
    let at = manager.directory.path();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (control, publish) = (at.join("passed-control"), at.join("passed-publish"));
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--fdname=publish:http:control", "-l"]).arg(&publish).arg("-l").arg(format!("127.0.0.1:{port}"));
    command.arg("-l").arg(&control);
    for name in
        ["NOTIFY_SOCKET", "ALERTD_STATE_DIR", "ALERTD_CONTROL_SOCKET", "ALERTD_PUBLISH_SOCKET", "ALERTD_HTTP_LISTEN"]
    {
        command.args(["-E", name]);
    }
    manager.prepare(&mut command);
    let mut daemon = command.arg(env!("CARGO_BIN_EXE_alertd")).spawn().unwrap();
    // The first client starts it, and is served.
    let status = eventually("the control socket", || {
        let is_there = std::os::unix::net::UnixStream::connect(&control).is_ok();
        is_there.then(|| Request::get("/status").over(&control))
    });
    assert_eq!(status.status, 200);
    assert!(manager.hears("READY=1").contains(&format!("127.0.0.1:{port}")));
    assert_eq!(Request::get("/livez").to(([127, 0, 0, 1], port).into()).status, 200);
    assert_eq!(Request::post("/alerts").body("x").over(&publish).status, 200);
    assert_eq!(Request::get("/status").over(&publish).status, 403);
    assert!(!at.join("c.sock").exists(), "a second control socket");
    assert!(Command::new("kill").arg(daemon.id().to_string()).status().unwrap().success());
    assert!(daemon.wait().unwrap().success());
    assert!(control.exists() && publish.exists(), "a socket of the manager was removed");
}

#[test]
fn a_descriptor_with_an_unknown_name_is_closed_and_named_and_the_daemon_serves() {
    let manager = Manager::new();
    let passed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = passed.local_addr().unwrap();
    let mut command = Command::new("sh");
    let pass = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=streams exec \"$@\"";
    command.args(["-c", pass, "sh", env!("CARGO_BIN_EXE_alertd")]).stdin(std::os::fd::OwnedFd::from(passed));
    manager.prepare(&mut command);
    let mut daemon = command.stderr(Stdio::piped()).spawn().unwrap();
    // The harness's own handle ends with the command.
    drop(command);
    manager.hears("READY=1");
    assert!(std::net::TcpStream::connect(address).is_err(), "the passed socket is still open");
    assert!(Command::new("kill").arg(daemon.id().to_string()).status().unwrap().success());
    assert!(daemon.wait().unwrap().success());
    let mut said = String::new();
    daemon.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("named \"streams\"") && said.contains("message_id=descriptor-unknown"), "{said}");
}

#[test]
fn the_units_are_well_formed() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for name in ["alertd.service", "alertd.socket", "alertd-control.socket", "alertd-publish.socket"] {
        // The programs are not installed here: those of this build stand in for them.
        let text = std::fs::read_to_string(root.join("systemd").join(name)).unwrap();
        let text = text
            .replace("/usr/bin/alertd", env!("CARGO_BIN_EXE_alertd"))
            .replace("/usr/bin/alertctl", env!("CARGO_BIN_EXE_alertctl"));
        std::fs::write(directory.path().join(name), text).unwrap();
        verify.arg(directory.path().join(name));
    }
    let output = verify.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("alertd")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn an_abstract_socket_hears_that_the_daemon_is_ready() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("alertd-e2e-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let manager = Manager { socket, directory: tempfile::tempdir().unwrap() };
    let mut command = program("alertd");
    manager.prepare(&mut command);
    let mut daemon = command.env("NOTIFY_SOCKET", format!("@{name}")).spawn().unwrap();
    manager.hears("READY=1");
    assert!(Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status().unwrap().success());
    manager.hears("STOPPING=1");
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn sockets_that_a_wrapper_keeps_are_explained() {
    // What systemd would have passed: to the wrapper, which starts alertd as a child.
    let http = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let control = std::os::unix::net::UnixListener::bind(directory.path().join("held.sock")).unwrap();
    for (http, control) in
        [(http.local_addr().unwrap().to_string(), "own.sock"), ("127.0.0.1:0".to_owned(), "held.sock")]
    {
        let mut wrapper = Command::new("sh");
        wrapper.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=3; export LISTEN_PID LISTEN_FDS; \"$0\"; exit $?"]);
        wrapper.arg(program("alertd").get_program());
        wrapper.env("ALERTD_STATE_DIR", directory.path()).env("ALERTD_HTTP_LISTEN", http);
        wrapper.env("ALERTD_CONTROL_SOCKET", directory.path().join(control));
        let output = wrapper.env("ALERTD_PUBLISH_SOCKET", directory.path().join("p.sock")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("$LISTEN_PID") && said.contains("write exec before alertd"), "{said}");
        assert!(!said.contains("another program") && !said.contains("another alertd"), "{said}");
    }
    drop(control);
}
