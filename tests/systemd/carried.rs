//! Streams over a restart by systemd itself that are behind, or whose key is no longer good.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;

use socket2::{Domain, Socket, Type};

use super::machine::{Machine, http};
use super::on_each_release;
use crate::harness::{Key, Request, Running, Stream, eventually};

const READERS: usize = 20;
/// Alerts before, and alerts after the restart.
const ALERTS: (usize, usize) = (60, 90);

/// A connection whose kernel holds only a few kilobytes for a reader that does not read.
fn narrow() -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&http().into()).unwrap();
    socket.into()
}

/// In the machine's network a copy of this program is the clients; everywhere else this test has nothing to do.
#[test]
fn slow_readers() {
    let (Ok(secret), Ok(go_on)) = (std::env::var("SLOW_KEY"), std::env::var("SLOW_GO_ON")) else { return };
    let (key, go_on) = (Key { id: String::new(), secret }, PathBuf::from(go_on));
    let request = Request::get("/alerts?topic=*&since=none").key(&key);
    let mut sockets: Vec<_> = (0..READERS).map(|_| narrow()).collect();
    sockets.iter_mut().for_each(|socket| socket.write_all(&request.bytes(false)).unwrap());
    eventually("the restart", || go_on.exists().then_some(()));
    for socket in sockets {
        let mut stream = Stream::answered(socket).unwrap();
        for number in 0..ALERTS.1 {
            assert!(stream.message().starts_with(&format!("{number} long")), "alert {number}");
        }
    }
}

fn publish(machine: &Machine, numbers: std::ops::Range<usize>) {
    let long = "long ".repeat(700);
    machine.sh(&format!(
        "for n in $(seq {} {}); do alertctl publish -t ops \"$n {long}\"; done",
        numbers.start,
        numbers.end - 1
    ));
}

on_each_release! {
    fn readers_that_are_behind_go_on_at_the_exact_byte(machine: &Machine) {
        machine.install();
        let directory = tempfile::tempdir().unwrap();
        let go_on = directory.path().join("go-on");
        let mut command = machine.in_its_network(&std::env::current_exe().unwrap());
        command.args(["--exact", "systemd::carried::slow_readers"]).env("SLOW_KEY", machine.key("slow")).env("SLOW_GO_ON", &go_on);
        let mut readers = Running(command.stdout(Stdio::null()).spawn().unwrap());
        let status = || machine.sh("alertctl status --json");
        eventually("all streams", || status().contains(&format!("\"streams\":{READERS},")).then_some(()));
        publish(machine, 0..ALERTS.0);
        machine.sh("systemctl restart alertd");
        assert!(status().contains(&format!("\"taken_over\":{READERS}")), "{}", status());
        publish(machine, ALERTS.0..ALERTS.1);
        std::fs::write(&go_on, "").unwrap();
        assert!(readers.0.wait().unwrap().success(), "something is missing, repeated or damaged");
    }

    fn a_key_that_is_revoked_while_it_is_down_ends_exactly_its_streams(machine: &Machine) {
        machine.install();
        let [good, bad] = ["good", "bad"].map(|user| machine.key(user));
        machine.sh("cp /var/lib/alertd/auth.json /root/both && alertctl key list --json >/root/keys");
        let revoke = "id=$(tr -d ' \\n' </root/keys | grep -o '{[^{}]*\"user\":\"bad\"[^{}]*}' | grep -o '\"id\":\"[^\"]*\"' | cut -d'\"' -f4)";
        machine.sh(&format!("{revoke}; alertctl key revoke \"$id\" && cp /var/lib/alertd/auth.json /root/one"));
        machine.sh("systemctl stop alertd.service && cat /root/both >/var/lib/alertd/auth.json && systemctl start alertd.service");
        let follow = |key: &str, file: &str| {
            machine.background(&format!("exec curl -sSN -H 'Authorization: Bearer {key}' 'http://127.0.0.1:8080/alerts?topic=*&since=none' -o {file}"))
        };
        let (kept, mut ended) = (follow(&good, "/root/good"), follow(&bad, "/root/bad"));
        let contains = |file: &str, text: &str| machine.try_sh(&format!("grep -q '{text}' {file}")).status.success();
        eventually("both streams", || (contains("/root/good", "cursor") && contains("/root/bad", "cursor")).then_some(()));
        machine.write(
            "/run/systemd/system/alertd.service.d/revoke.conf",
            "[Service]\nExecStartPre=+/bin/sh -c 'cat /root/one >/var/lib/alertd/auth.json'\n",
        );
        machine.sh("systemctl daemon-reload && systemctl restart alertd && alertctl publish after");
        assert!(ended.0.wait().unwrap().success(), "an orderly end");
        assert!(contains("/root/bad", "\"reason\":\"revoked\"") && !contains("/root/bad", "after"));
        eventually("the alert", || contains("/root/good", "after").then_some(()));
        assert!(!contains("/root/good", "event: bye"));
        drop(kept);
    }
}
