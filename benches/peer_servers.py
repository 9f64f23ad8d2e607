"""alertd and the servers of others that do similar work, for benches/peers.

Each is built from its public source; nothing is fetched here. With Go 1.26 or newer:

    git clone https://github.com/dunglas/mercure && cd mercure/caddy/mercure && go build -tags nobadger,nomysql,nopgx
    git clone https://github.com/centrifugal/centrifugo && cd centrifugo && CGO_ENABLED=0 go build
    git clone https://github.com/binwiederhier/ntfy && cd ntfy && make cli-linux-server       # dist/ntfy_linux_server/ntfy

Their limits and logs are off. Each keeps its history in memory, except where the class says otherwise, so alertd does not
wait for the disk either.
"""
import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.parse

from daemon import Daemon, cpu_of, free_port, until

# Beyond any limit of a server.
MANY = 1_000_000


def pinned(command, core):
    return ["taskset", "-c", str(core), *command]


class Server:
    """A server that runs on a core: how it is asked for a stream, and given a message."""

    path, content_type, headers = "", "application/json", {}

    def __init__(self, program, core, stored=False):
        self.program, self.core, self.stored = program, core, stored
        self.place, self.port, self.process = tempfile.mkdtemp(prefix="alertd-bench-"), free_port(), None

    def start(self):
        command = pinned([str(self.program), *self.arguments()], self.core)
        with open(f"{self.place}/log", "w") as log:
            environment = {**os.environ, "HOME": self.place, "XDG_DATA_HOME": self.place, "XDG_CONFIG_HOME": self.place}
            self.process = subprocess.Popen(command, cwd=self.place, stdout=log, stderr=log, env=environment)
        until(f"{self.program} answers", self.is_ready)

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(pathlib.Path(f"{self.place}/log").read_text()[-2000:])
        try:
            self.publish("ready")
            return True
        except OSError:
            return False

    def write(self, name, text):
        with open(f"{self.place}/{name}", "w") as file:
            file.write(text)
        return f"{self.place}/{name}"

    def publish(self, message):
        """Publishes one message on a connection of its own; returns the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": self.content_type, **self.headers}
        connection.request("POST", self.path, self.body(message), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{answer.status} {text[:300]}")
        return text.decode()

    def ask(self, cursor=None):
        """The request for a stream, behind a message if there is a cursor."""
        path, headers = self.stream(cursor)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{lines}\r\n".encode()

    def cpu(self):
        return cpu_of(self.process)

    def memory(self):
        """Bytes that are not backed by a file."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.place)


class Alertd(Server):
    path = "/alerts"

    def start(self):
        limits = f"http.max_connections = {MANY}\nhttp.max_streams = {MANY}\nengine.durability = \"none\"\nlog.level = \"warn\"\n"
        self.daemon = Daemon(limits, program=self.program)
        self.daemon.command = pinned(self.daemon.command, self.core)
        self.daemon.start()
        self.process, self.port = self.daemon.process, self.daemon.port
        self.headers = {"Authorization": f"Bearer {self.daemon.key()['secret']}"}

    def body(self, message):
        return json.dumps({"message": message})

    def cursor(self, answer):
        return json.loads(answer)["alert"]["id"]

    def stream(self, cursor):
        return f"/alerts?since={cursor or 'none'}", self.headers

    def stop(self):
        self.daemon.stop()
        shutil.rmtree(self.place)


class Mercure(Server):
    """With its local transport; to resume, with its Bolt transport, because the local one keeps no history."""

    path, content_type = "/.well-known/mercure", "application/x-www-form-urlencoded"
    secret = "a secret of at least thirty-two bytes"

    def arguments(self):
        transport = f"transport bolt {{\n path {self.place}/bolt.db\n }}" if self.stored else "transport local"
        hub = f"http://localhost{self.path}"
        self.headers = {"Authorization": f"Bearer {self.token(hub)}"}
        return ["run", "--adapter", "caddyfile", "--config", self.write("Caddyfile", f"""{{
            admin off
            auto_https off
            persist_config off
            log {{
                level ERROR
            }}
        }}
        http://:{self.port} {{
            bind 127.0.0.1
            mercure {{
                anonymous
                issuer https://example.com {{
                    publisher {{
                        jwt "{self.secret}"
                    }}
                }}
                resource_identifier {hub}
                {transport}
            }}
        }}
        """)]

    def token(self, hub):
        def part(value):
            return base64.urlsafe_b64encode(value).rstrip(b"=")

        grant = {"type": "https://mercure.rocks/authorization-detail", "actions": ["publish"], "topics": [{"match": "alerts"}]}
        claims = {"iss": "https://example.com", "aud": hub, "exp": int(time.time()) + 86400, "authorization_details": [grant]}
        signed = part(b'{"alg":"HS256","typ":"at+jwt"}') + b"." + part(json.dumps(claims).encode())
        return (signed + b"." + part(hmac.digest(self.secret.encode(), signed, hashlib.sha256))).decode()

    def body(self, message):
        return urllib.parse.urlencode({"topic": "alerts", "data": message})

    def cursor(self, answer):
        return answer.strip()

    def stream(self, cursor):
        return f"{self.path}?match=alerts", {"Last-Event-ID": cursor} if cursor else {}


class Centrifugo(Server):
    """Over its unidirectional SSE transport. It keeps 5,000 messages."""

    path, headers = "/api/publish", {"X-API-Key": "bench"}

    def arguments(self):
        channel = {"allow_subscribe_for_anonymous": True, "allow_subscribe_for_client": True, "force_recovery": True}
        settings = {
            "http_server": {"address": "127.0.0.1", "port": self.port},
            "log": {"level": "error"},
            "http_api": {"key": "bench"},
            "uni_sse": {"enabled": True},
            "client": {
                "allow_anonymous_connect_without_token": True,
                # By default it resumes 300 messages.
                "recovery_max_publication_limit": 5000,
                "queue_max_size": 1 << 28,
            },
            "channel": {"without_namespace": {**channel, "history_size": 5000, "history_ttl": "1h"}},
        }
        return ["--config", self.write("config.json", json.dumps(settings))]

    def body(self, message):
        return json.dumps({"channel": "alerts", "data": {"message": message}})

    def cursor(self, answer):
        return json.loads(answer)["result"]

    def stream(self, cursor):
        wanted = {"recover": True, "offset": cursor["offset"], "epoch": cursor["epoch"]} if cursor else {}
        connect = json.dumps({"subs": {"alerts": wanted}})
        return f"/connection/uni_sse?cf_connect={urllib.parse.quote(connect)}", {}


class Ntfy(Server):
    path, content_type = "/alerts", "text/plain"

    def arguments(self):
        settings = {
            "base-url": f"http://localhost:{self.port}",
            "listen-http": f"127.0.0.1:{self.port}",
            "log-level": "error",
            "web-root": "disable",
            "visitor-subscription-limit": MANY,
            "visitor-request-limit-burst": MANY,
            "visitor-request-limit-exempt-hosts": "127.0.0.1",
        }
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in settings.items()]
        return ["serve", "--config", self.write("server.yml", "".join(lines))]

    def body(self, message):
        return message

    def cursor(self, answer):
        return json.loads(answer)["id"]

    def stream(self, cursor):
        return f"/alerts/sse?since={cursor or 'none'}", {}
