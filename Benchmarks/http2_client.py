"""A tiny HTTP/2 client for counting and for memory: h2c with prior knowledge, one stream at a time, header fields as
literals that enter no table. Its own windows are as large as the protocol allows; the server's are heeded."""

import socket
import struct

from processes import BenchmarkFailure

# As in client.py.
PATIENCE_SECONDS = 60
LARGEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65535
FRAME_BYTES = 16384
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload=b""):
    """(RFC 9113 §4.1)"""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def field(name, value):
    """A literal that is not indexed, both lengths below 127. (RFC 7541 §6.2.2)"""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _is_good(block):
    """Whether a block of fields begins with `:status: 200`, from the static table. (RFC 7541 §6.1, appendix A) A size
    update of the table may stand before it. (§6.3)"""
    return block.lstrip(bytes(range(0x20, 0x40)))[:1] == b"\x88"


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = self.socket.makefile("rb", buffering=262144)
        self._next = 1
        self._window, self._stream_window, self._first_window = FIRST_WINDOW, FIRST_WINDOW, FIRST_WINDOW
        self._ended, self._length = False, 0
        self.socket.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, LARGEST_WINDOW))
            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - FIRST_WINDOW)))

    def exchange(self, request, body_bytes=None):
        """Sends a load.Request, or in place of its body so many zeros, and returns the length of the answer's body."""
        stream, self._next = self._next, self._next + 2
        self._stream_window, self._ended, self._length = self._first_window, False, 0
        left = len(request.body) if body_bytes is None else body_bytes
        method = "POST" if left else "GET"
        fields = [(":method", method), (":scheme", "http"), (":path", request.path), (":authority", "localhost")]
        block = b"".join(field(name.lower(), value) for name, value in [*fields, *request.headers])
        out = frame(HEADERS, END_HEADERS | (0 if left else END_STREAM), stream, block)
        zeros = bytes(FRAME_BYTES)
        sent = 0
        while left:
            size = min(left, FRAME_BYTES, self._window, self._stream_window)
            if size == 0:
                if out:
                    self.socket.sendall(out)
                    out = b""
                self._read_frame()
                continue
            piece = zeros[:size] if body_bytes is not None else request.body[sent:sent + size]
            left, sent = left - size, sent + size
            self._window -= size
            self._stream_window -= size
            out += frame(DATA, 0 if left else END_STREAM, stream, piece)
            if len(out) > 262144:
                self.socket.sendall(out)
                out = b""
        self.socket.sendall(out)
        while not self._ended:
            self._read_frame()
        return self._length

    def _read_frame(self):
        head = self._input.read(9)
        if len(head) < 9:
            raise BenchmarkFailure("the connection was closed in an exchange")
        kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
        payload = self._input.read(int.from_bytes(head[:3], "big"))
        if kind == DATA:
            self._length += len(payload)
        if kind == HEADERS and self._length == 0 and not _is_good(payload):
            raise BenchmarkFailure(f"the answer was not 200: {payload[:80]!r}")
        if kind in (DATA, HEADERS):
            self._ended = bool(flags & END_STREAM)
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack_from(">HI", payload, at)
                if name == 4:
                    self._stream_window += value - self._first_window
                    self._first_window = value
            self.socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            increment = struct.unpack(">I", payload)[0]
            if stream:
                self._stream_window += increment
            else:
                self._window += increment
        elif kind in (RESET, GOAWAY):
            raise BenchmarkFailure(f"the server ended an exchange: frame {kind}, {payload[:80]!r}")

    def close(self):
        self._input.close()
        self.socket.close()
