"""Subscribers of alertd that check every byte of their streams; for benches/restart.

A publisher writes "NUMBER DUE" as the message: alert NUMBER goes to the topic of NUMBER modulo the topics, and DUE is when
it was to be published, on the monotonic clock.
"""
import json
import re
import select
import socket
import sys
import time

ADDRESS = ("127.0.0.1", 8080)
# Each subscription takes so many neighbouring topics; there are as many topics as subscriptions.
TOPICS_EACH = 5


class Damage(Exception):
    """Bytes that are no valid stream."""


def alert_of(text):
    """The message of an alert: its number and when it was due; none for what is no alert."""
    alert = json.loads(text)
    if alert.get("event") == "cursor":
        return None
    if "event" in alert:
        raise Damage(f"the event {alert['event']}: {text!r}")
    number, due = alert["message"].split()
    return alert["id"], int(number), float(due)


SSE = re.compile(rb"id: (\d+-\d+)\ndata: (\{[^\n]*\})\Z")
SSE_CURSOR = re.compile(rb"(retry: \d+\n)?event: cursor\nid: \d+-\d+\ndata: [^\n]*\Z")


def sse(block):
    """What a block of an SSE stream is; its id must be that of its alert."""
    if block == b"" or block.startswith(b":") and b"\n" not in block or SSE_CURSOR.match(block):
        return None
    found = SSE.match(block)
    if not found:
        raise Damage(f"no event: {block!r}")
    alert = alert_of(found[2])
    if alert is None or alert[0].encode() != found[1]:
        raise Damage(f"id and alert differ: {block!r}")
    return alert[1:]


def ndjson(line):
    if line == b"":
        return None
    alert = alert_of(line)
    return alert and alert[1:]


class Stream:
    """One subscriber. It keeps bytes until they are a whole chunk, and text until it is a whole event."""

    def __init__(self, number, subscriptions):
        self.subscription = number % subscriptions
        self.is_ndjson = self.subscription % 5 == 0
        self.socket = None
        self.head = False
        self.bytes = b""
        self.text = b""
        # For each of its topics, the next alert that it must get; none before the first.
        self.next = {}
        # Of all alerts in the order in which they came: the same for all streams of a subscription.
        self.order = 0
        # How late the latest alert of the current event was.
        self.late = 0.0

    def open(self, key, subscriptions):
        topics = "".join(f"&topic=t{(self.subscription + other) % subscriptions}" for other in range(TOPICS_EACH))
        accept = "application/x-ndjson" if self.is_ndjson else "text/event-stream"
        self.socket = socket.create_connection(ADDRESS)
        self.socket.sendall(
            f"GET /alerts?since=none{topics} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8\r\n"
            f"Authorization: Bearer {key}\r\nAccept: {accept}\r\n\r\n".encode()
        )
        self.socket.setblocking(False)

    def body(self, data):
        """The bytes of the body in what came; what is left of the last chunk is kept."""
        if self.bytes:
            data = self.bytes + data
        if not self.head:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.bytes = data
                return b""
            if not data.startswith(b"HTTP/1.1 200 "):
                raise Damage(data[:300].decode())
            if b"transfer-encoding: chunked" not in data[:end].lower():
                raise Damage("a stream without chunks")
            self.head = True
            data = data[end + 4 :]
        parts, at = [], 0
        while True:
            line = data.find(b"\r\n", at, at + 20)
            if line < 0:
                if len(data) - at >= 20:
                    raise Damage(f"no chunk: {data[at : at + 40]!r}")
                break
            size = int(data[at:line], 16)
            end = line + 2 + size
            if size == 0:
                raise Damage("the last chunk, although nobody asked for an end")
            if len(data) < end + 2:
                break
            if data[end : end + 2] != b"\r\n":
                raise Damage(f"no end of a chunk: {data[end : end + 2]!r}")
            parts.append(data[line + 2 : end])
            at = end + 2
        self.bytes = data[at:]
        return b"".join(parts)


class Reader:
    """All subscribers, on one thread."""

    def __init__(self, streams, subscriptions, key):
        self.subscriptions, self.key = subscriptions, key
        self.streams = [Stream(number, subscriptions) for number in range(streams)]
        self.of = {}
        self.epoll = select.epoll()
        # Streams of one subscription get the same bytes, which are checked once: pieces of text, and the alerts in them.
        self.known = {}
        self.closed = self.lost = self.repeated = 0
        self.damage = []
        self.delivered = 0

    def open_all(self):
        for stream in self.streams:
            stream.open(self.key, self.subscriptions)
            self.of[stream.socket.fileno()] = stream
            self.epoll.register(stream.socket, select.EPOLLIN)
            self.turn(0)
        deadline = time.monotonic() + 60
        while not all(stream.head for stream in self.streams):
            self.turn(0.1)
            if self.closed or time.monotonic() > deadline:
                sys.exit(f"not all streams open: {self.closed} closed, {self.damage[:3]}")

    def turn(self, timeout):
        for number, _ in self.epoll.poll(timeout, 2000):
            stream = self.of[number]
            try:
                data = stream.socket.recv(262144)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            try:
                if not data:
                    raise ConnectionError
                self.take(stream, data, time.monotonic())
            except ConnectionError:
                self.closed += 1
                self.end(number)
            except (Damage, ValueError, KeyError) as error:
                self.damage.append(f"{type(error).__name__}: {error}")
                self.closed += 1
                self.end(number)

    def end(self, number):
        self.epoll.unregister(number)
        self.of.pop(number).socket.close()

    def take(self, stream, data, now):
        text = stream.body(data)
        if stream.text:
            text = stream.text + text
        if not text:
            return
        found = self.known.get(text)
        if found is None:
            found = self.parse(text, stream.is_ndjson)
            if len(self.known) > 20000:
                self.known.clear()
            self.known[text] = found
        stream.text, alerts = found
        for number, due in alerts:
            self.delivered += 1
            stream.late = max(stream.late, now - due)
            stream.order = hash((stream.order, number))
            topic = number % self.subscriptions
            wanted = stream.next.get(topic, number)
            if number < wanted:
                self.repeated += 1
                continue
            self.lost += (number - wanted) // self.subscriptions
            stream.next[topic] = number + self.subscriptions

    def parse(self, text, is_ndjson):
        """The alerts of whole events, and the text behind them."""
        *events, rest = text.split(b"\n" if is_ndjson else b"\n\n")
        alerts = [(ndjson if is_ndjson else sse)(event) for event in events]
        return rest, [alert for alert in alerts if alert]

    def run(self, seconds, done=lambda: False):
        until = time.monotonic() + seconds
        while time.monotonic() < until and not done():
            self.turn(0.02)

    def missing(self, last):
        """Alerts that have not come to open streams, up to the last one of each topic."""
        return sum(
            max(0, number - stream.next.get(topic, number) + self.subscriptions) // self.subscriptions
            for stream in self.of.values()
            for topic, number in last.items()
            if (topic - stream.subscription) % self.subscriptions < TOPICS_EACH
        )

    def orders(self):
        """Subscriptions whose open streams got the alerts in different orders."""
        orders = {}
        for stream in self.of.values():
            orders.setdefault(stream.subscription, set()).add(stream.order)
        return sum(len(found) > 1 for found in orders.values())
