//! The watchdog restarts what only a restart mends, and clients go on where they were.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::load::{READERS, under_load};
use super::machine::Machine;
use super::on_each_release;
use crate::harness::{Running, eventually};

fn with_a_short_watchdog(machine: &Machine) {
    with_a_watchdog(machine, 2);
}

fn with_a_watchdog(machine: &Machine, seconds: u32) {
    let text = format!("[Service]\nWatchdogSec={seconds}s\n");
    machine.write("/etc/systemd/system/alertd.service.d/watchdog.conf", &text);
    machine.install();
}

/// A thread of the machine's alertd, by its number out here.
fn thread(machine: &Machine, name: &str) -> String {
    let pid = machine.show("alertd.service", "MainPID");
    let namespace = machine.sh("readlink /proc/1/ns/pid");
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let is_it = |path: &std::path::PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let inner =
            status.lines().find(|line| line.starts_with("NSpid:")).and_then(|line| line.split_whitespace().last());
        inner == Some(&pid) && std::fs::read_link(path.join("ns/pid")).is_ok_and(|ns| ns.to_string_lossy() == namespace)
    };
    let process = processes.into_iter().find(is_it).expect("alertd in the box");
    let mut threads = std::fs::read_dir(process.join("task")).unwrap().map(|entry| entry.unwrap().path());
    let thread = threads.find(|thread| std::fs::read_to_string(thread.join("comm")).unwrap().trim() == name);
    thread.unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

/// From now on each of these system calls of the thread takes for ever.
fn hang(machine: &Machine, name: &str, calls: &str) -> Running {
    let strace = Command::new("strace")
        .args(["-q", "-o", "/dev/null", "-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:delay_enter=3600s"), "-p", &thread(machine, name)])
        .spawn();
    Running(strace.unwrap())
}

/// Waits until the watchdog has put another process in the place of `pid`, for the first, second … time.
fn is_restarted(machine: &Machine, pid: &str, strace: Running, time: usize) {
    eventually("the watchdog's word", || {
        let said = machine.journal("_PID=1 UNIT=alertd.service --grep='Watchdog timeout'");
        (said.len() >= time).then_some(())
    });
    // A process that strace holds can be killed, but it is not reaped.
    drop(strace);
    eventually("another process", || {
        let now = machine.show("alertd.service", "MainPID");
        (now != pid && now != "0" && machine.show("alertd.service", "ActiveState") == "active").then_some(())
    });
    assert_eq!(machine.show("alertd.service", "NRestarts"), time.to_string());
    assert_eq!(machine.journal("_PID=1 UNIT=alertd.service UNIT_RESULT=watchdog").len(), time);
}

on_each_release! {
    fn a_writer_that_hangs_is_restarted(machine: &Machine) {
        with_a_short_watchdog(machine);
        let key = machine.key("alice");
        let pid = machine.show("alertd.service", "MainPID");
        // As on a disk that does not answer.
        let strace = hang(machine, "alertd-writer", "fdatasync,fsync");
        eventually("a publish that hangs", || {
            let hung = machine.try_sh(&format!(
                "curl -sS --max-time 0.5 -H 'Authorization: Bearer {key}' -d x http://127.0.0.1:8080/alerts"
            ));
            (hung.status.code() == Some(28)).then_some(())
        });
        // The process still answers: only the path of alerts is blocked.
        assert_eq!(machine.sh(&format!("curl -sS -H 'Authorization: Bearer {key}' http://127.0.0.1:8080/health")), "{\"status\":\"ok\"}");
        is_restarted(machine, &pid, strace, 1);
        machine.sh(&format!("curl -sS --fail -H 'Authorization: Bearer {key}' -d y http://127.0.0.1:8080/alerts"));
    }

    fn a_broadcast_loop_that_hangs_is_restarted(machine: &Machine) {
        with_a_short_watchdog(machine);
        let pid = machine.show("alertd.service", "MainPID");
        let strace = hang(machine, "alertd-fan-0", "epoll_wait,epoll_pwait,epoll_pwait2");
        is_restarted(machine, &pid, strace, 1);
        machine.sh("alertctl publish after");
    }

    fn streams_that_end_by_the_watchdog_are_resumed_and_nothing_is_lost_or_repeated(machine: &Machine) {
        // Long enough for a busy disk, which must not make it time out by itself.
        with_a_watchdog(machine, 10);
        let report = under_load(machine, |machine| {
            let hangs = [("alertd-writer", "fdatasync,fsync"), ("alertd-fan-0", "epoll_wait,epoll_pwait,epoll_pwait2")];
            for (time, (worker, calls)) in (1..).zip(hangs) {
                let pid = machine.show("alertd.service", "MainPID");
                is_restarted(machine, &pid, hang(machine, worker, calls), time);
            }
        });
        eprintln!("{}: {report}", machine.release);
        assert_eq!((&report["refused"], &report["lost"], &report["repeated"]), (&json!(0), &json!(0), &json!(0)), "{report}");
        assert!(report["ended"].as_u64() >= Some(2 * READERS as u64), "{report}");
    }

    fn a_worker_that_panics_is_named_and_the_service_restarted(machine: &Machine) {
        machine.install();
        // Only a debug build takes orders to panic.
        machine.put(Path::new(env!("CARGO_BIN_EXE_alertd")), "/usr/bin/alertd.debug");
        machine.sh("chmod 755 /usr/bin/alertd.debug");
        machine.write(
            "/etc/systemd/system/alertd.service.d/fault.conf",
            "[Service]\nEnvironment=TEST_WORKER_FAULT=panic:alertd-writer\nExecStart=\nExecStart=/usr/bin/alertd.debug\n",
        );
        machine.sh("systemctl daemon-reload; systemctl restart --no-block alertd");
        eventually("two restarts", || {
            (machine.show("alertd.service", "NRestarts").parse::<u32>().unwrap() >= 2).then_some(())
        });
        let failed = machine.journal("_SYSTEMD_UNIT=alertd.service MESSAGE_ID=6ad1f4a7b6f04c2f9a4e0d7c6a3f1e16");
        assert_eq!(failed[0]["ALERTD_WORKER"], "alertd-writer");
        machine.sh("rm /etc/systemd/system/alertd.service.d/fault.conf; systemctl daemon-reload; systemctl restart alertd");
        machine.sh("alertctl publish after");
    }

    fn a_full_disk_is_left_alone(machine: &Machine) {
        machine.write(
            "/etc/systemd/system/var-lib-alertd.mount",
            "[Mount]\nWhat=tmpfs\nWhere=/var/lib/alertd\nType=tmpfs\nOptions=size=24M,mode=0750\n",
        );
        machine.write("/etc/systemd/system/alertd.service.d/disk.conf", "[Unit]\nRequiresMountsFor=/var/lib/alertd\n");
        with_a_short_watchdog(machine);
        let pid = machine.show("alertd.service", "MainPID");
        machine.sh("dd if=/dev/zero of=/var/lib/alertd/ballast bs=64k 2>/dev/null; head -c 4000 /dev/zero | tr '\\0' x >/root/text");
        let refused = eventually("a publish that is refused", || {
            let refused = machine.try_sh("alertctl publish --retry-for 0 - </root/text");
            (!refused.status.success()).then_some(refused)
        });
        assert!(String::from_utf8_lossy(&refused.stderr).contains("/var/lib/alertd"), "{refused:?}");
        assert_eq!(machine.try_sh("curl -sS --fail http://127.0.0.1:8080/readyz").status.code(), Some(22));
        eventually("the manager is told", || machine.show("alertd.service", "StatusText").contains("not ready").then_some(()));
        // Three times the watchdog's patience.
        let fed = |machine: &Machine| machine.show("alertd.service", "WatchdogTimestampMonotonic").parse::<u64>().unwrap();
        let until = fed(machine) + 6_000_000;
        eventually("the watchdog goes on being fed", || (fed(machine) > until).then_some(()));
        assert_eq!((machine.show("alertd.service", "MainPID"), machine.show("alertd.service", "NRestarts")), (pid, "0".to_owned()));
        machine.sh("rm /var/lib/alertd/ballast && alertctl publish after");
        eventually("the manager is told", || machine.show("alertd.service", "StatusText").contains("listening").then_some(()));
    }
}
