"""A tiny HTTP/1.1 client over keep-alive connections: it sends bytes that were made beforehand and reads answers with a
Content-Length. For counting, where a load generator would do too much at once."""

import socket

from processes import BenchmarkFailure

# A counting run ends in a message, not in a hang. Under valgrind a request takes milliseconds.
PATIENCE_SECONDS = 30


class Connection:
    def __init__(self, port):
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        except OSError as error:
            raise BenchmarkFailure(f"no connection to port {port}: {error}") from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def send(self, message):
        try:
            self.socket.sendall(message)
        except OSError as error:
            raise BenchmarkFailure(f"a request could not be sent: {error}") from error

    def receive(self):
        """Reads one answer and returns the length of its body; anything but 2xx with a length is a failure."""
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more(data)
        head = data[:end].lower()
        if not head.startswith((b"http/1.1 2", b"http/1.0 2")):
            raise BenchmarkFailure(f"the answer was not 2xx: {data[:400].decode(errors='replace')}")
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            raise BenchmarkFailure(f"an answer without Content-Length: {head.decode(errors='replace')}")
        length = int(head[at + 17:].split(b"\r\n", 1)[0])
        held = len(data) - end - 4
        if held > length:
            self._rest = data[end + 4 + length:]
        else:
            self._rest = b""
            while held < length:
                held += len(self._more(b""))
        return length

    def _more(self, before):
        try:
            data = self.socket.recv(262144)
        except OSError as error:
            raise BenchmarkFailure(f"no answer: {error}") from error
        if not data:
            raise BenchmarkFailure(f"the connection was closed in an answer: {before[:400].decode(errors='replace')}")
        return data

    def exchange(self, message):
        self.send(message)
        return self.receive()

    def close(self):
        self.socket.close()
