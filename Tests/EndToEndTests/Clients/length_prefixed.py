"""The length-prefixed protocol of tensors over TCP (Docs/adapters.md), written from its description alone."""

import socket
import struct

MAGIC = b"SLTP"
INFER, READY, INFER_ANSWER, READY_ANSWER, ERROR = 0x01, 0x02, 0x81, 0x82, 0xFF
# Number and bytes of an element, by name.
DATATYPES = {
    "BOOL": (1, 1), "UINT8": (2, 1), "UINT16": (3, 2), "UINT32": (4, 4), "UINT64": (5, 8), "INT8": (6, 1),
    "INT16": (7, 2), "INT32": (8, 4), "INT64": (9, 8), "FP16": (10, 2), "FP32": (11, 4), "FP64": (12, 8),
    "BF16": (14, 2),
}  # fmt: skip
NAMES = {number: name for name, (number, _) in DATATYPES.items()}


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def tensor(name, datatype, shape, data):
    number, _ = DATATYPES[datatype]
    head = text(name) + struct.pack(">BB", number, len(shape)) + b"".join(struct.pack(">Q", size) for size in shape)
    return head + struct.pack(">Q", len(data)) + data


def message(kind, identity, model, version, content=b"", status=0):
    rest = MAGIC + struct.pack(">BBHQ", 1, kind, status, identity) + text(model) + text(version) + content
    return struct.pack(">I", len(rest)) + rest


def infer(model, tensors, identity=1, version="", outputs=()):
    content = struct.pack(">H", len(outputs)) + b"".join(map(text, outputs))
    return message(INFER, identity, model, version, content + struct.pack(">H", len(tensors)) + b"".join(tensors))


def infer_answer(model, tensors, identity, version=""):
    return message(INFER_ANSWER, identity, model, version, struct.pack(">H", len(tensors)) + b"".join(tensors))


class Reader:
    def __init__(self, data):
        self.data, self.offset = data, 0

    def take(self, count):
        assert self.offset + count <= len(self.data), "the message ends within a value"
        self.offset += count
        return self.data[self.offset - count : self.offset]

    def number(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(">" + form)))[0]

    def text(self):
        return self.take(self.number("H")).decode()


class Message:
    """A message as it was read; `tensors` is a dictionary of name to (datatype, shape, bytes)."""

    def __init__(self, data):
        reader = Reader(data)
        assert reader.number("I") == len(data) - 4
        assert reader.take(4) == MAGIC
        assert reader.number("B") == 1
        self.kind, self.status, self.id = reader.number("B"), reader.number("H"), reader.number("Q")
        self.model, self.version = reader.text(), reader.text()
        self.outputs, self.tensors, self.ready, self.reason = [], {}, None, ""
        if self.kind == ERROR:
            self.reason = reader.text()
        elif self.kind == READY_ANSWER:
            self.ready = reader.number("B")
        elif self.kind in (INFER, INFER_ANSWER):
            if self.kind == INFER:
                self.outputs = [reader.text() for _ in range(reader.number("H"))]
            for _ in range(reader.number("H")):
                name, datatype, rank = reader.text(), NAMES[reader.number("B")], reader.number("B")
                shape = [reader.number("Q") for _ in range(rank)]
                self.tensors[name] = (datatype, shape, reader.take(reader.number("Q")))
        assert reader.offset == len(data), "bytes follow the last value"


class Connection:
    def __init__(self, peer):
        self.socket = peer
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def to(cls, port):
        return cls(socket.create_connection(("127.0.0.1", port), timeout=30))

    def send(self, data):
        self.socket.sendall(data)

    def bytes(self, count):
        """`count` bytes, or what came before the end."""
        data = b""
        while len(data) < count:
            piece = self.socket.recv(min(count - len(data), 1 << 20))
            if not piece:
                break
            data += piece
        return data

    def read_raw(self):
        """The next message, or None at the end."""
        head = self.bytes(4)
        if not head:
            return None
        assert len(head) == 4, "the connection ended within a length"
        rest = self.bytes(struct.unpack(">I", head)[0])
        return head + rest

    def read(self):
        data = self.read_raw()
        return None if data is None else Message(data)

    def ask(self, data):
        self.send(data)
        answer = self.read()
        assert answer is not None, "the connection ended without an answer"
        return answer
