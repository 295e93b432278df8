"""An HTTP/2 client with prior knowledge for counting: GETs of `/` one after another on one connection, as bytes that
were made beforehand, and answers of which only the frames are read."""

import struct

import client
from processes import BenchmarkFailure

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# GET, http and / are fields of the static table; :authority follows as a literal that is not indexed. (RFC 7541 §6)
AUTHORITY = b"127.0.0.1"
BLOCK = b"\x82\x86\x84\x01" + bytes([len(AUTHORITY)]) + AUTHORITY
# No answer of a counting run waits for a window.
WINDOW = (1 << 30).to_bytes(4, "big")


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Connection(client.Connection):
    def __init__(self, port):
        super().__init__(port)
        self._stream = -1
        self.send(PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, WINDOW))

    def exchange(self, _):
        """Sends the GET and reads its answer to the end."""
        self._stream += 2
        self.send(frame(HEADERS, END_STREAM | END_HEADERS, self._stream, BLOCK))
        while True:
            kind, flags, stream, payload = self._frame()
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            elif kind in (RST_STREAM, GOAWAY):
                raise BenchmarkFailure(f"a stream or the connection was ended: frame {kind}, {payload!r}")
            elif kind == HEADERS and payload[:1] != b"\x88":
                # `:status 200` is field 8 of the static table; the encoder may announce its table's size before it.
                raise BenchmarkFailure(f"the answer does not begin with status 200: {payload[:40]!r}")
            if stream == self._stream and kind in (DATA, HEADERS) and flags & END_STREAM:
                return

    def _frame(self):
        while len(self._rest) < 9 or len(self._rest) < 9 + int.from_bytes(self._rest[:3], "big"):
            self._rest += self._more(self._rest)
        size = int.from_bytes(self._rest[:3], "big")
        head, payload = self._rest[:9], self._rest[9:9 + size]
        self._rest = self._rest[9 + size:]
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload
