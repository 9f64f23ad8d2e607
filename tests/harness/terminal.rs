//! A program on a terminal of its own, as a person sees it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{PATIENCE, eventually};

/// The terminal and what was written to it; the program is killed when dropped.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Screen>,
}

#[derive(Default)]
struct Screen {
    text: Mutex<String>,
    more: Condvar,
}

/// An end of a new terminal for the program, another for whoever looks.
fn open(columns: u16, rows: u16) -> (OwnedFd, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
    tcsetwinsize(&theirs, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (ours, theirs)
}

impl Terminal {
    /// Runs the program with all its ends on a terminal.
    pub fn run(command: &mut Command, columns: u16, rows: u16) -> Self {
        let (ours, theirs) = open(columns, rows);
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap());
        Self::watch(command, ours, theirs)
    }

    /// Runs the program with standard error alone on a terminal; standard output stays as the command has it.
    pub fn of_notes(command: &mut Command) -> Self {
        let (ours, theirs) = open(80, 24);
        command.stdin(Stdio::null());
        Self::watch(command, ours, theirs)
    }

    fn watch(command: &mut Command, ours: OwnedFd, theirs: OwnedFd) -> Self {
        command.stderr(theirs).env("TERM", "xterm-256color");
        let child = command.spawn().unwrap();
        // It holds the program's end, and the screen would never be at its end.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let keyboard = File::from(ours.try_clone().unwrap());
        let screen = Arc::new(Screen::default());
        let written = Arc::clone(&screen);
        std::thread::spawn(move || {
            let (mut terminal, mut bytes) = (File::from(ours), [0; 4096]);
            // A terminal without a program fails to be read.
            while let Ok(count @ 1..) = terminal.read(&mut bytes) {
                written.text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
                written.more.notify_all();
            }
        });
        Self { child, keyboard, screen }
    }

    /// Waits for the text, and returns all that was written so far.
    pub fn shows(&self, text: &str) -> String {
        self.shows_so("the text", |seen| seen.contains(text))
    }

    /// Waits until what was written is like this, and returns it.
    pub fn shows_so(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let seen = self.screen.text.lock().unwrap();
        let (seen, _) = self.screen.more.wait_timeout_while(seen, PATIENCE, |seen| !is_so(seen)).unwrap();
        assert!(is_so(&seen), "{what} was never shown:\n{seen:?}");
        seen.clone()
    }

    /// Types.
    pub fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end of the program.
    pub fn ended(&mut self) -> ExitStatus {
        eventually("the end of the program", || self.child.try_wait().unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
