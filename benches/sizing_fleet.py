"""A fleet on one Redis, its subscribers and its publisher; for benches/sizing.

All of the fleet runs on one core, and its clients on another.
"""
import http.client
import json
import re
import select
import shutil
import socket
import tempfile
import threading
import time

from daemon import Daemon, Local, Redis, cpu_of, until

SETTINGS = """http.max_connections = 65536
http.max_streams = 65536
log.level = "warn"
[engine]
kind = "redis"
[engine.redis]
host = "127.0.0.1"
"""
# The id of an alert. The heartbeat also has an id.
ALERT = re.compile(rb"(?<!cursor\n)id: (\d+)-(\d+)\n")
CURSOR = re.compile(rb"event: cursor\nid: (\d+)-(\d+)\n")
RETRY = re.compile(rb"retry: (\d+)\n")


def numbers(pattern, text):
    return [(int(ms), int(sequence)) for ms, sequence in pattern.findall(text)]


class Fleet:
    """One Redis, and nodes that can be added."""

    def __init__(self, program, core):
        self.program, self.core = program, core
        self.place = tempfile.mkdtemp(prefix="alertd-bench-")
        self.redis = Redis(f"{self.place}/redis", appendfsync="everysec")
        self.redis.command[:0] = ["taskset", "-c", str(core)]
        self.redis.start()
        until("Redis is ready", lambda: self.ask_redis("PING") == b"+PONG")
        self.nodes, self.key = [], None
        # Bytes of the answers to redis_figures.
        self.told = 0

    def grow_to(self, number):
        while len(self.nodes) < number:
            node = Daemon(f"{SETTINGS}port = {self.redis.port}\n", program=self.program)
            node.command[:0] = ["taskset", "-c", str(self.core)]
            node.start()
            self.nodes.append(node)
        self.key = self.key or self.nodes[0].key(scopes=["publish", "subscribe"])["secret"]
        # What a node does once: its first comparison with the log, and checking a key.
        for node in self.nodes:
            until("the key is known", lambda at=node: self.is_known(at))
        time.sleep(3)

    def is_known(self, node):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
        connection.request("GET", "/health", headers={"Authorization": f"Bearer {self.key}"})
        status = connection.getresponse().status
        connection.close()
        return status == 200

    def ask_redis(self, *words):
        try:
            with socket.create_connection(("127.0.0.1", self.redis.port), timeout=10) as connection:
                connection.sendall((" ".join(words) + "\r\n").encode())
                answer = connection.recv(1 << 16)
                if answer.startswith(b"$"):
                    size = int(answer[1 : answer.index(b"\r\n")])
                    while len(answer) < size:
                        answer += connection.recv(1 << 16)
                return answer.strip()
        except ConnectionRefusedError:
            return b""

    def redis_figures(self):
        text = self.ask_redis("INFO", "everything").decode()
        found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        figures = {name: int(found[name]) for name in ("used_memory", "total_net_output_bytes", "aof_current_size")}
        # Redis counts an answer after it was sent.
        self.told += len(text)
        figures["total_net_output_bytes"] -= self.told - len(text)
        return figures

    def cpu(self):
        """Processor time of each node and of Redis."""
        return [cpu_of(node.process) for node in self.nodes], cpu_of(self.redis.process)

    def stop(self):
        for node in self.nodes:
            node.stop()
        self.redis.kill()
        shutil.rmtree(self.place)

    def lose(self):
        """Kills the newest node."""
        node = self.nodes.pop()
        node.kill()
        shutil.rmtree(node.place)


class Publisher(threading.Thread):
    """Publishes at the first node, some alerts at a time, so that there are `rate` a second."""

    def __init__(self, fleet, rate, seconds, together=1):
        super().__init__()
        self.connection = Local(f"{fleet.nodes[0].place}/publish.sock")
        self.rate, self.number, self.together = rate, int(rate * seconds / together), together
        self.published, self.took = 0, []
        self.line = json.dumps({"topic": "ops.db", "message": "x" * 200, "level": "warn"})
        self.start()

    def run(self):
        due, kind = time.monotonic(), "application/json" if self.together == 1 else "application/x-ndjson"
        body = "\n".join([self.line] * self.together)
        for _ in range(self.number):
            began = time.monotonic()
            self.connection.request("POST", "/alerts", body, {"Content-Type": kind})
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(text.decode())
            self.published += self.together
            self.took.append(time.monotonic() - began)
            due += self.together / self.rate
            time.sleep(max(0, due - time.monotonic()))
        self.connection.close()


class Stream:
    def __init__(self, node):
        self.node, self.socket, self.tail = node, None, b""
        self.count, self.last, self.is_live, self.bytes, self.retry = 0, (0, 0), False, 0, 0.0


class Streams:
    """Subscribers on one thread. Each counts its alerts and sees that their ids rise."""

    def __init__(self, fleet):
        self.fleet, self.poll, self.of, self.all = fleet, select.epoll(), {}, []
        # Streams get the same bytes, which are parsed once.
        self.known, self.problems, self.ended = {}, [], []

    def open(self, node, number, at_once=256):
        """Opens so many at a node, a number at a time."""
        new = [Stream(node) for _ in range(number)]
        self.all += new
        self.connect(new, at_once)
        return new

    def connect(self, streams, at_once=256):
        waiting, going = list(reversed(streams)), []
        while waiting or going:
            while waiting and len(going) < at_once:
                going.append(waiting.pop())
                self.ask(going[-1])
            self.turn(1)
            going = [stream for stream in going if not stream.is_live]

    def ask(self, stream):
        stream.socket = socket.create_connection(("127.0.0.1", stream.node.port))
        start = f"Last-Event-ID: {stream.last[0]}-{stream.last[1]}\r\n" if stream.last[0] else ""
        stream.socket.sendall(
            f"GET /alerts?topic=*&since=none HTTP/1.1\r\nHost: localhost\r\n{start}Authorization: Bearer {self.fleet.key}\r\n\r\n".encode()
        )
        stream.socket.setblocking(False)
        stream.is_live, stream.tail = False, b""
        self.of[stream.socket.fileno()] = stream
        self.poll.register(stream.socket, select.EPOLLIN)

    def turn(self, timeout):
        for descriptor, _ in self.poll.poll(timeout):
            stream = self.of[descriptor]
            try:
                data = stream.socket.recv(1 << 18)
            except OSError:
                data = b""
            if data:
                self.take(stream, data)
            else:
                self.poll.unregister(descriptor)
                self.of.pop(descriptor).socket.close()
                self.ended.append(stream)

    def take(self, stream, data):
        stream.bytes += len(data)
        whole, end, tail = (stream.tail + data).rpartition(b"\n\n")
        stream.tail = tail
        if not end:
            return
        found = self.known.get(whole)
        if found is None:
            if len(self.known) > 1000:
                self.known.clear()
            ids, cursors = numbers(ALERT, whole), numbers(CURSOR, whole)
            if b"event: gap" in whole or b"event: bye" in whole or ids != sorted(set(ids)):
                self.problems.append(whole[-300:])
            retry = RETRY.search(whole)
            found = self.known[whole] = (ids, cursors, int(retry[1]) / 1000 if retry else None)
        ids, cursors, retry = found
        stream.is_live, stream.retry = stream.is_live or bool(cursors), retry or stream.retry
        if ids:
            if ids[0] <= stream.last:
                self.problems.append(b"repeated or in the wrong order")
            stream.count += len(ids)
        stream.last = max([stream.last, *ids[-1:], *cursors[-1:]])

    def run(self, seconds, done=lambda: False):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not done():
            self.turn(0.02)

    def close(self, streams):
        gone = set(streams)
        for stream in gone:
            self.poll.unregister(stream.socket)
            del self.of[stream.socket.fileno()]
            stream.socket.close()
        self.all = [stream for stream in self.all if stream not in gone]
