//! A service manager that keeps descriptors for a daemon between two of its processes, as systemd does.

use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde_json::Value;
use tempfile::TempDir;

use super::{Key, Request, Stream, eventually, program};

/// A service manager and its daemon, which end with the test.
pub struct Manager {
    pub directory: TempDir,
    pub address: SocketAddr,
    listener: TcpListener,
    child: Option<Child>,
    state: Arc<State>,
    starts: u32,
}

/// The state that results from the daemon's notifications.
#[derive(Default)]
struct State {
    stored: Mutex<Vec<(String, OwnedFd)>>,
    /// Like `FileDescriptorStoreMax=0`.
    refuses: AtomicBool,
    is_ready: AtomicBool,
    log: Mutex<String>,
}

impl Manager {
    pub fn new(configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        let hears = Arc::clone(&state);
        // The thread ends with the test process.
        std::thread::spawn(move || {
            loop {
                hears.take(&socket);
            }
        });
        let manager = Self { directory, address, listener, child: None, state, starts: 0 };
        manager.configure(configuration);
        manager
    }

    /// A manager with a running daemon.
    pub fn running(configuration: &str) -> Self {
        let mut manager = Self::new(configuration);
        manager.start();
        manager
    }

    pub fn configure(&self, configuration: &str) {
        let at = self.directory.path().display();
        let own = format!(
            "state_dir = \"{at}/state\"\ncontrol_socket = \"{at}/control.sock\"\npublish_socket = \"{at}/publish.sock\"\n{configuration}"
        );
        std::fs::write(self.directory.path().join("alertd.toml"), own).unwrap();
    }

    pub fn control(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// Sets whether descriptors are kept.
    pub fn keeps(&self, keeps: bool) {
        self.state.refuses.store(!keeps, Ordering::SeqCst);
    }

    /// The number of descriptors that are kept.
    pub fn stored(&self) -> usize {
        self.state.stored.lock().unwrap().len()
    }

    /// Starts a process with the stored descriptors, and does not wait until it is ready.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "still running");
        self.state.is_ready.store(false, Ordering::SeqCst);
        self.starts += 1;
        let stored =
            self.state.stored.lock().unwrap().first().map(|(name, fd)| (name.clone(), fd.try_clone().unwrap()));
        let daemon = program("alertd");
        let mut command = Command::new("sh");
        // The environment that `program` prepares, and the variables of systemd.
        for (name, value) in daemon.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let names = stored.as_ref().map_or("http".to_owned(), |(name, _)| format!("http:{name}"));
        let number = 1 + usize::from(stored.is_some());
        let pass = format!(
            "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ LISTEN_FDS={number} LISTEN_FDNAMES={names} exec \"$@\""
        );
        command.args(["-c", &pass, "sh"]).arg(daemon.get_program());
        command.arg("--config").arg(self.directory.path().join("alertd.toml"));
        command.env("ALERTD_AUTH_ITERATIONS", "10000").env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        command.env("INVOCATION_ID", self.invocation());
        command.stdin(OwnedFd::from(self.listener.try_clone().unwrap()));
        command.stdout(stored.map_or_else(Stdio::null, |(_, fd)| Stdio::from(fd)));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (state, pipe) = (Arc::clone(&self.state), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                *state.log.lock().unwrap() += &format!("{line}\n");
            }
        });
        self.child = Some(child);
    }

    pub fn start(&mut self) {
        self.launch();
        eventually("a daemon that is ready", || self.state.is_ready.load(Ordering::SeqCst).then_some(()));
    }

    fn invocation(&self) -> String {
        format!("{:032x}", self.starts)
    }

    /// Ends the daemon as the first half of a restart.
    pub fn leave(&mut self) -> ExitStatus {
        std::fs::write(self.directory.path().join("restart"), self.invocation()).unwrap();
        self.stop()
    }

    pub fn restart(&mut self) {
        assert!(self.leave().success(), "{}", self.log());
        self.start();
    }

    /// Stops the daemon. As with systemd, this alone keeps nothing in the store.
    pub fn stop(&mut self) -> ExitStatus {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.ended()
    }

    pub fn kill(&mut self) {
        self.child.as_mut().unwrap().kill().unwrap();
        self.ended();
    }

    pub fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().unwrap();
        let status = eventually("the end of alertd", || child.try_wait().unwrap());
        self.child = None;
        status
    }

    pub fn log(&self) -> String {
        self.state.log.lock().unwrap().clone()
    }

    /// Changes the stored description and its sockets.
    pub fn repack(&self, change: impl FnOnce(&mut Vec<OwnedFd>, &mut Vec<u8>)) {
        let mut stored = self.state.stored.lock().unwrap();
        let (_, far) = stored.first_mut().expect("something stored");
        let mut sockets = Vec::new();
        while let Some(batch) = receive(far.as_fd(), RecvFlags::DONTWAIT).1.filter(|batch| !batch.is_empty()) {
            sockets.extend(batch);
        }
        let mut file = std::fs::File::from(sockets.pop().unwrap());
        let mut text = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut text).unwrap();
        change(&mut sockets, &mut text);
        let (near, new) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&text).unwrap();
        sockets.push(file.into());
        for socket in &sockets {
            let (one, mut space) = ([socket.as_fd()], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&one)));
            sendmsg(&near, &[IoSlice::new(b"s")], &mut control, SendFlags::empty()).unwrap();
        }
        *far = new;
    }

    /// A key as `POST /keys` takes it.
    pub fn key(&self, wish: &Value) -> Key {
        let answer = Request::post("/keys").json(wish).over(&self.control());
        assert_eq!(answer.status, 201, "{answer:?}");
        let created = answer.json();
        Key { id: created["key"]["id"].as_str().unwrap().into(), secret: created["secret"].as_str().unwrap().into() }
    }

    pub fn stream(&self, key: &Key, path: &str) -> Stream {
        Stream::open(self.address, &Request::get(path).key(key))
    }

    /// Publishes a text over a local socket.
    pub fn publish(&self, topic: &str, message: &str) -> String {
        let request = Request::post(&format!("/alerts/{topic}")).json(&serde_json::json!({ "message": message }));
        let answer = request.over(&self.control());
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["alert"]["id"].as_str().unwrap().to_owned()
    }

    pub fn status(&self) -> Value {
        Request::get("/status").over(&self.control()).json()
    }

    /// The value of a metric, named with its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = Request::get("/metrics").over(&self.control()).text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }
}

impl State {
    /// Takes one notification.
    fn take(&self, socket: &UnixDatagram) {
        let (message, descriptors) = receive(socket.as_fd(), RecvFlags::empty());
        let value = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        if message.lines().any(|line| line == "READY=1") {
            self.is_ready.store(true, Ordering::SeqCst);
        }
        let mut stored = self.stored.lock().unwrap();
        if value("FDSTORE=").is_some() && !self.refuses.load(Ordering::SeqCst) {
            assert_eq!(value("FDPOLL=").as_deref(), Some("0"), "{message}");
            let name = value("FDNAME=").unwrap();
            stored.extend(descriptors.into_iter().flatten().map(|descriptor| (name.clone(), descriptor)));
        } else if value("FDSTOREREMOVE=").is_some() {
            let name = value("FDNAME=").unwrap();
            stored.retain(|(known, _)| *known != name);
        }
    }
}

/// A message and its descriptors.
fn receive(socket: impl AsFd, flags: RecvFlags) -> (String, Option<Vec<OwnedFd>>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 4096];
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let Ok(received) = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) else {
        return Default::default();
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    (String::from_utf8_lossy(&bytes[..received.bytes]).into_owned(), Some(descriptors))
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "--- the daemon's log\n{}", self.log());
        }
    }
}
