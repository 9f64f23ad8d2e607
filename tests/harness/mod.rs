//! Real daemons, real sockets, and helpers. Every wait has a deadline, and nothing sleeps for a guessed time.

pub mod alertmanager;
pub mod browser;
pub mod daemon;
pub mod earlier_store;
pub mod former;
pub mod http;
pub mod manager;
pub mod proxies;
pub mod python;
pub mod random;
pub mod redis;
pub mod stream;
pub mod terminal;
pub mod transport;

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub use alertmanager::Alertmanager;
pub use browser::{Browser, Look, npm};
pub use daemon::{Daemon, Key, activated};
pub use former::{former_key, import};
pub use http::{Answer, Request, raw};
pub use manager::Manager;
pub use proxies::{apache, caddy, nginx};
pub use python::python;
pub use random::Random;
pub use redis::{Place, Redis};
pub use stream::Stream;
pub use terminal::Terminal;
pub(crate) use transport::over_both_transports;
pub use transport::{Transport, Wire, certificate};

/// How long anything may take on a loaded machine before it counts as never.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the closure gives something.
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// The same, for what takes longer than anything else.
pub fn eventually_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < patience, "never came: {what}");
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one wait; meanwhile the processor is left to the others"
        )]
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The header with which GitHub signs a body.
pub fn signed(secret: &str, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body).finalize().into_bytes();
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// A program of this package.
pub fn program(name: &str) -> Command {
    let path = match name {
        "alertd" => env!("CARGO_BIN_EXE_alertd"),
        "alertctl" => env!("CARGO_BIN_EXE_alertctl"),
        other => panic!("no program {other}"),
    };
    undisturbed(Command::new(path))
}

/// Removes variables of the machine's environment that would influence a test.
fn undisturbed(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["ALERT", "XDG_", "NOTIFY_", "LISTEN_", "JOURNAL_", "REDIS_", "STATE_", "STAGE", "NO_COLOR"]
            .iter()
            .any(|p| text.starts_with(p))
        {
            command.env_remove(&name);
        }
    }
    command
}

/// A program that runs during the test, and ends with it.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A free port that a restarted daemon can use again. Nobody else gets it meanwhile: it is below the ports that the
/// kernel assigns, and each call returns another one, also in test runs side by side.
pub fn fixed_port() -> String {
    static LAST: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(std::process::id().wrapping_mul(101)));
    let address = |number: u32| SocketAddr::from(([127, 0, 0, 1], 10_000 + (number % 20_000) as u16));
    let mut ports = std::iter::repeat_with(|| LAST.fetch_add(1, Ordering::Relaxed));
    let free = ports.by_ref().take(1000).map(address).find(|&address| TcpListener::bind(address).is_ok());
    free.expect("a free port").to_string()
}

/// Says what is about to be installed or built. Written past the capture of tests, because it takes minutes on a fresh
/// machine.
pub fn announce(what: &str) {
    // Where nobody can read it, the test itself still counts.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("== {what}\n").as_bytes());
}

/// What a program printed, for people who read a failed test.
pub fn told(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
