"""The attacks of benches/attacks. Each runs until it is told to stop; connections that alertd closes are opened again."""
import errno
import os
import select
import socket
import ssl
import struct
import time

IDLE, SLOW, NEVER_READ, HALF = 9000, 3000, 1000, 3000


class Crowd:
    """Many connections that send something at once, and then a little now and then."""

    def __init__(self, port, number, first, more=b"", every=5.0, reads=True, buffer=None):
        self.port, self.number, self.first, self.more, self.every = port, number, first, more, every
        self.reads, self.buffer = reads, buffer
        self.open, self.epoll = {}, select.epoll()

    def add(self):
        one = socket.socket()
        one.setblocking(False)
        if self.buffer:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
        if one.connect_ex(("127.0.0.1", self.port)) not in (0, errno.EINPROGRESS):
            one.close()
            return
        self.open[one.fileno()] = [one, time.monotonic(), False]
        self.epoll.register(one, select.EPOLLOUT)

    def close(self, descriptor):
        self.open.pop(descriptor)[0].close()

    def run(self, stop):
        while not stop.is_set():
            for _ in range(min(200, self.number - len(self.open))):
                self.add()
            for descriptor, event in self.epoll.poll(0.05):
                entry = self.open[descriptor]
                try:
                    if event & (select.EPOLLERR | select.EPOLLHUP):
                        raise ConnectionError
                    if event & select.EPOLLOUT and not entry[2]:
                        entry[2] = True
                        if self.first:
                            entry[0].send(self.first)
                        self.epoll.modify(descriptor, select.EPOLLIN if self.reads else select.EPOLLRDHUP)
                    elif not entry[0].recv(1 << 16):
                        raise ConnectionError
                except OSError:
                    self.close(descriptor)
            now = time.monotonic()
            if self.more:
                for descriptor, entry in list(self.open.items()):
                    if entry[2] and now - entry[1] > self.every:
                        entry[1] = now
                        try:
                            entry[0].send(self.more)
                        except BlockingIOError:
                            pass
                        except OSError:
                            self.close(descriptor)
        for descriptor in list(self.open):
            self.close(descriptor)


def slow_headers(port, keys, stop):
    Crowd(port, SLOW, b"GET /alerts HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n").run(stop)


def slow_bodies(port, keys, stop):
    first = (f"POST /alerts/flood HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {keys['publish']}\r\n"
             "Content-Length: 60000\r\n\r\nx")
    Crowd(port, SLOW, first.encode(), b"x").run(stop)


def slow_readers(port, keys, stop):
    """Ask for the whole log and take a little of it now and then."""
    ask = (f"GET /alerts?topic=*&since=all HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n"
           f"Authorization: Bearer {keys['subscribe']}\r\n\r\n").encode()
    readers = []
    while not stop.is_set():
        while len(readers) < NEVER_READ and not stop.is_set():
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.settimeout(5)
            try:
                one.connect(("127.0.0.1", port))
                one.sendall(ask)
                one.setblocking(False)
                readers.append(one)
            except OSError:
                one.close()
        for one in list(readers):
            try:
                if not one.recv(16):
                    raise ConnectionError
            except BlockingIOError:
                pass
            except OSError:
                readers.remove(one)
                one.close()
        stop.wait(1)


def idle(port, keys, stop):
    Crowd(port, IDLE, b"").run(stop)


def readers_that_never_read(port, keys, stop):
    first = (f"GET /alerts?topic=*&since=all HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {keys['subscribe']}\r\n\r\n")
    Crowd(port, NEVER_READ, first.encode(), reads=False, buffer=2048).run(stop)


def hammer(port, stop, number, begin, piece, reads=True, wrap=None):
    """Connections that send the same bytes over and over, as fast as they are taken."""
    connections = []
    while not stop.is_set():
        while len(connections) < number:
            try:
                one = socket.create_connection(("127.0.0.1", port), timeout=5)
                one.sendall(begin)
                one.setblocking(False)
                connections.append([one, b""])
            except OSError:
                break
        _, writable, _ = select.select([], [entry[0] for entry in connections], [], 0.1)
        for entry in list(connections):
            try:
                if entry[0] in writable:
                    entry[1] = entry[1] or piece
                    entry[1] = entry[1][entry[0].send(entry[1]) :]
                if reads and not entry[0].recv(1 << 16):
                    raise ConnectionError
            except BlockingIOError:
                pass
            except OSError:
                connections.remove(entry)
                entry[0].close()


def bad_keys(port, keys, stop):
    ask = "GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alertd_aaaaaaaaaa_{}\r\n\r\n"
    hammer(port, stop, 16, b"", "".join(ask.format(os.urandom(16).hex()) for _ in range(20)).encode())


def put_to_a_hung_peer(port, keys, stop):
    """Publish one after the other and never read an answer."""
    put = (f"PUT /alerts/flood HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {keys['publish']}\r\nContent-Length: 1\r\n\r\nx")
    hammer(port, stop, 100, b"", put.encode(), reads=False)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)
# GET, http, and the path and the host as literals.
REQUEST = b"\x82\x86" + literal(b":path", b"/health") + literal(b":authority", b"localhost")


def rapid_reset(port, keys, stop):
    pairs = (frame(HEADERS, 5, number, REQUEST) + frame(RST_STREAM, 0, number, struct.pack(">I", 8)) for number in range(1, 20_000, 2))
    hammer(port, stop, 20, PREFACE, b"".join(pairs))


def continuation(port, keys, stop):
    begin = PREFACE + frame(HEADERS, 1, 1, REQUEST)
    hammer(port, stop, 20, begin, frame(CONTINUATION, 0, 1, literal(b"x", b"y" * 100) * 20) * 20)


def pings(port, keys, stop):
    hammer(port, stop, 20, PREFACE, frame(PING, 0, 0, b"12345678") * 500, reads=False)


def settings(port, keys, stop):
    hammer(port, stop, 20, PREFACE, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 500, reads=False)


def zero_windows(port, keys, stop):
    """5,000 streams whose window never opens."""
    ask = (b"\x82\x86" + literal(b":path", b"/alerts/watched?since=none") + literal(b":authority", b"localhost")
           + literal(b"authorization", f"Bearer {keys['subscribe']}".encode()))
    begin = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    begin += b"".join(frame(HEADERS, 5, number, ask) for number in range(1, 200, 2))
    Crowd(port, 50, begin).run(stop)


def handshakes(port, keys, stop):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain):
                pass
        except OSError:
            pass


def half_handshakes(port, keys, stop):
    """A ClientHello, and nothing after it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    one = context.wrap_bio(ssl.MemoryBIO(), outgoing)
    try:
        one.do_handshake()
    except ssl.SSLWantReadError:
        pass
    Crowd(port, HALF, outgoing.read()).run(stop)


# Whether each needs TLS.
ATTACKS = {
    "slow-headers": (slow_headers, False),
    "slow-bodies": (slow_bodies, False),
    "slow-readers": (slow_readers, False),
    "idle-connections": (idle, False),
    "bad-keys": (bad_keys, False),
    "readers-that-never-read": (readers_that_never_read, False),
    "put-to-a-hung-peer": (put_to_a_hung_peer, False),
    "h2-rapid-reset": (rapid_reset, False),
    "h2-continuation": (continuation, False),
    "h2-ping": (pings, False),
    "h2-settings": (settings, False),
    "h2-zero-windows": (zero_windows, False),
    "tls-handshakes": (handshakes, True),
    "tls-half-handshakes": (half_handshakes, True),
}
