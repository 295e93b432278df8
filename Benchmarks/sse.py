#!/usr/bin/env python3
"""Server-sent events through the gateway: what it adds to the time to the first event, and whether every event of many
streams comes at once, alone and complete, in bounded memory. See README.md."""

import argparse
import os
import pathlib
import select
import socket
import statistics
import time

import proxies
from processes import (
    LOAD_CORE, PROXY_CORE, BenchmarkFailure, Server, memory, raise_descriptor_limit, reset_peak, run_script,
    temporary_directory)

KIB = 1024
# The project's targets.
TARGET_FIRST_EVENT_MICROSECONDS = 100
TARGET_STREAM = 64 * KIB
# An event that has not come by then is lost, or held back until another follows it.
PATIENCE_SECONDS = 10
# Requests before the first that is accounted: connections and pools are warm then.
WARM_UP = 50
# Descriptors of this process a stream: the client's and the origin's.
DESCRIPTORS = 2
SPARE_DESCRIPTORS = 200

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", type=pathlib.Path, default=proxies.DEFAULT_SLUICE, help="the gateway's binary")
    parser.add_argument("--requests", type=int, default=2000, help="rounds for the time to the first event (2000)")
    parser.add_argument("--streams", type=int, default=1000, help="streams at once (1000)")
    parser.add_argument("--events", type=int, default=20, help="events of each stream (20)")
    parser.add_argument("--strict", action="store_true", help="a missed time makes the exit code 1 too")
    parser.add_argument("--nice", type=int, default=0, help="the niceness of everything; below 0 needs root")
    return parser.parse_args()


def event(stream, number):
    return b"data: stream %d, event %d\n\n" % (stream, number)


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def body_of(chunks):
    """The bytes of a chunked body as far as it has come."""
    body, at = b"", 0
    while (end := chunks.find(b"\r\n", at)) >= 0:
        size = int(chunks[at:end].split(b";")[0], 16)
        if size == 0 or len(chunks) < end + 2 + size:
            break
        body += chunks[end + 2:end + 2 + size]
        at = end + 4 + size
    return body


class Origin:
    """The backend, in this process: an event is sent exactly when the client's side is ready to look for it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.poll = select.epoll()
        self.poll.register(self.listener, select.EPOLLIN)
        self.connections = {}

    def request(self):
        """The connection of the next request, and its head."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for number, _ in self.poll.poll(PATIENCE_SECONDS):
                if number == self.listener.fileno():
                    connection, _ = self.listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.connections[connection.fileno()] = connection
                    self.poll.register(connection, select.EPOLLIN)
                    continue
                connection = self.connections[number]
                head = connection.recv(65536)
                if head.endswith(b"\r\n\r\n"):
                    return connection, head
                if head:
                    raise BenchmarkFailure(f"the origin got part of a request: {head[:200]!r}")
                self.poll.unregister(connection)
                self.connections.pop(number).close()
        raise BenchmarkFailure("no request reached the origin")


class Client:
    """One connection that reads one stream after another."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = b""

    def ask(self, stream):
        self.answer = b""
        self.socket.sendall(b"GET /sse/%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % stream)

    def read_until(self, wanted):
        while wanted not in self.answer:
            try:
                more = self.socket.recv(65536)
            except TimeoutError as error:
                raise BenchmarkFailure(f"{wanted!r} did not come in {PATIENCE_SECONDS} s") from error
            if not more:
                raise BenchmarkFailure(f"a stream was closed before {wanted!r}: {self.answer[:300]!r}")
            self.answer += more


def first_event(client, origin):
    """Seconds from a request to its first event, on a connection that is kept."""
    expected = event(0, 0)
    answer = HEAD + chunk(expected)
    began = time.perf_counter()
    client.ask(0)
    connection, _ = origin.request()
    connection.sendall(answer)
    client.read_until(expected)
    seconds = time.perf_counter() - began
    connection.sendall(LAST_CHUNK)
    client.read_until(LAST_CHUNK)
    return seconds


def first_event_times(ports, origin, count):
    """The median of each port in microseconds. They take turns, so that what else the machine does falls on all."""
    clients = [Client(port) for port in ports]
    for client in clients:
        for _ in range(WARM_UP):
            first_event(client, origin)
    rounds = [[first_event(client, origin) * 1e6 for client in clients] for _ in range(count)]
    for client in clients:
        client.socket.close()
    return [statistics.median(column) for column in zip(*rounds)]


def many_streams(server, origin, streams, events):
    """Bytes a stream at the peak. Event k+1 is sent only when event k of every stream has come: one that waits for
    company never comes, and fails the run; so does a body that is not exactly the events in their order."""
    reset_peak(server.pid)
    before = memory(server.pid)["now"]
    clients, senders = [], []
    for stream in range(streams):
        client = Client(server.port)
        client.ask(stream)
        connection, head = origin.request()
        if not head.startswith(b"GET /sse/%d " % stream):
            raise BenchmarkFailure(f"the origin got another request than stream {stream}'s: {head[:80]!r}")
        connection.sendall(HEAD)
        clients.append(client)
        senders.append(connection)
    for number in range(events):
        for stream, connection in enumerate(senders):
            connection.sendall(chunk(event(stream, number)))
        for stream, client in enumerate(clients):
            client.read_until(event(stream, number))
    peak = memory(server.pid)["peak"]
    for stream, (client, connection) in enumerate(zip(clients, senders)):
        connection.sendall(LAST_CHUNK)
        client.read_until(LAST_CHUNK)
        body = body_of(client.answer.partition(b"\r\n\r\n")[2])
        if body != b"".join(event(stream, number) for number in range(events)):
            raise BenchmarkFailure(f"stream {stream} is not what was sent: {body[:300]!r}")
        client.socket.close()
    return max(0, peak - before) / streams


def main():
    options = arguments()
    os.nice(options.nice)
    if raise_descriptor_limit() < options.streams * DESCRIPTORS + SPARE_DESCRIPTORS:
        raise BenchmarkFailure(f"{options.streams} streams need more open files than the limit allows")
    origin = Origin()
    # A stream's deadline covers its whole body here.
    directory = temporary_directory()
    command, port = proxies.sluice(origin.port, directory, binary=options.sluice, timeout_ms=60000)
    server = Server("sluice", command, port, core=PROXY_CORE)
    relay = Server("relay", *proxies.relay(origin.port, directory), core=PROXY_CORE)
    os.sched_setaffinity(0, {LOAD_CORE})

    own, through, relayed = first_event_times([origin.port, port, relay.port], origin, options.requests)
    relay.stop()
    met = through - own <= TARGET_FIRST_EVENT_MICROSECONDS
    # Another load on the machine moves the time and not the memory, so that only the latter fails by itself.
    missed = options.strict and not met
    print(f"first event, p50 of {options.requests}: the origin's own {own:.0f} µs, the gateway's {through:.0f} µs,"
          f" added {through - own:.0f} µs   target ≤ {TARGET_FIRST_EVENT_MICROSECONDS}: {'met' if met else 'MISSED'}")
    print(f"a relay that parses nothing adds {relayed - own:.0f} µs: what another process on the way costs here")

    each = many_streams(server, origin, options.streams, options.events)
    met = each <= TARGET_STREAM
    missed = missed or not met
    print(f"{options.streams} streams at once, {options.events} events each: every event came alone and in order; "
          f"{each / KIB:.1f} KiB a stream   target ≤ {TARGET_STREAM // KIB}: {'met' if met else 'MISSED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    run_script(main)
