"""A release build of alertd, and the servers beside it, for the programs in Python here."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "alertd"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def until(what, holds, seconds=60):
    """Waits until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def cpu_of(process):
    """Seconds of processor time of a process, to the nanosecond."""
    # The kernel's number for the clock of another process.
    return time.clock_gettime((~process.pid << 3) | 2)


class Local(http.client.HTTPConnection):
    """A connection over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Redis:
    """A Redis. By default it syncs each write, so that it loses nothing when it is killed."""

    def __init__(self, place, appendfsync="always"):
        self.port, self.process = free_port(), None
        os.makedirs(place)
        self.command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", place, "--save", ""]
        self.command += ["--appendonly", "yes", "--appendfsync", appendfsync, "--maxmemory-policy", "noeviction"]

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Daemon:
    def __init__(self, settings="", program=PROGRAM, is_tls=False):
        self.place = tempfile.mkdtemp(prefix="alertd-bench-")
        self.command, self.port, self.process, self.context = [str(program)], free_port(), None, None
        if is_tls:
            settings += self.certificate()
        self.log_path, self.control = f"{self.place}/log", f"{self.place}/control.sock"
        with open(f"{self.place}/alertd.toml", "w") as file:
            file.write(f'state_dir = "{self.place}/state"\ncontrol_socket = "{self.control}"\n')
            file.write(f'publish_socket = "{self.place}/publish.sock"\nhttp.listen = "127.0.0.1:{self.port}"\n{settings}')

    def certificate(self):
        """Settings for TLS with a new certificate."""
        cert, key = f"{self.place}/cert.pem", f"{self.place}/key.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        subprocess.run([*command, "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
        self.context = ssl.create_default_context(cafile=cert)
        return f'http.tls_cert = "{cert}"\nhttp.tls_key = "{key}"\n'

    def start(self):
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen([*self.command, "--config", f"{self.place}/alertd.toml"], stderr=log)
        until("alertd is ready", self.is_ready)

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"alertd has ended: {self.log()[-2000:]}")
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.place)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def ask(self, method, path, body=None):
        """A request on the control socket."""
        connection = Local(self.control)
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def key(self, **wanted):
        status, text = self.ask("POST", "/keys", {"user": "bench", **wanted})
        if status not in (200, 201):
            raise RuntimeError(text.decode())
        return json.loads(text)

    def log(self):
        with open(self.log_path) as file:
            return file.read()

    def log_lines(self):
        with open(self.log_path, "rb") as file:
            return sum(1 for _ in file)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self):
        """Kilobytes of memory that are not backed by a file."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

    def cpu(self):
        """Seconds of processor time."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """A connection to the port of a daemon, over TLS if it has that."""

    def __init__(self, daemon):
        self.context = daemon.context
        self.socket = socket.create_connection(("127.0.0.1", daemon.port), timeout=20)
        if self.context:
            self.socket = self.context.wrap_socket(self.socket, server_hostname="localhost")

    def send(self, text):
        self.socket.sendall(text.encode())

    def receive(self):
        """What there is; nothing if there is none now, and none at the end. For sockets that do not block."""
        try:
            data = self.socket.recv(1 << 16)
            while self.context and self.socket.pending():
                data += self.socket.recv(1 << 16)
            return data or None
        except (ssl.SSLWantReadError, BlockingIOError):
            return b""
        except OSError:
            return None
