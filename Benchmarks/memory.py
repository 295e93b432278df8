#!/usr/bin/env python3
"""Resident memory: at start, of 10,000 idle keep-alive connections that each did a request, and of 64 MB bodies that
stream up and down. What the kernel holds for a socket is no resident memory of the process. See README.md."""

import argparse
import threading
import time

import client
import load
import proxies
import subject
from processes import (
    BenchmarkFailure, Server, memory, raise_descriptor_limit, reset_peak, run_script, temporary_directory)

KIB, MIB = 1024, 1024 * 1024
# The project's targets.
TARGET_START = 30 * MIB
TARGET_CONNECTION = 2 * KIB
TARGET_STREAM = 2 * MIB
STREAM_BYTES = 64 * MIB
# Clients of this script need a descriptor each, and some beside.
SPARE_DESCRIPTORS = 200
# Connections that open at once, below any listener's backlog.
OPENING = 100
# A stream that takes longer has stalled.
STREAM_PATIENCE_SECONDS = 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    subject.add_arguments(parser)
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument(
        "--pid", type=int, help="a server that runs already, with --port; its origin must answer like backend.c")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    if (options.pid is None) != (options.port is None):
        parser.error("--pid and --port go together")
    return options


def idle_connections(pid, port, count, request):
    """Bytes a connection: what the resident memory grew by from one warm connection to `count` more idle ones."""
    message = request.message(f"127.0.0.1:{port}")
    first = client.Connection(port)
    for _ in range(100):
        first.exchange(message)
    before = memory(pid)["now"]
    connections = []
    try:
        while len(connections) < count:
            batch = [client.Connection(port) for _ in range(min(OPENING, count - len(connections)))]
            connections += batch
            # One request after another: the upstream connections stay few, and their memory out of the figure.
            for connection in batch:
                connection.exchange(message)
        after = memory(pid)["now"]
        # All of them must still be there, or what was measured is not `count` connections.
        for connection in connections:
            connection.exchange(message)
        return (after - before) / count
    finally:
        for connection in connections:
            connection.close()
        first.close()


class Stream(threading.Thread):
    """One 64 MB body, up or down, in a thread."""

    def __init__(self, port, up):
        super().__init__(daemon=True)
        self.port, self.up, self.failure = port, up, None

    def run(self):
        try:
            connection = client.Connection(self.port)
            host = f"127.0.0.1:{self.port}"
            if self.up:
                head = f"POST /stream/upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: {STREAM_BYTES}\r\n\r\n"
                connection.send(head.encode())
                piece = bytes(256 * KIB)
                for _ in range(STREAM_BYTES // len(piece)):
                    connection.send(piece)
                connection.receive()
            else:
                length = connection.exchange(load.Request(f"/stream/{STREAM_BYTES}").message(host))
                if length != STREAM_BYTES:
                    raise BenchmarkFailure(f"{length} bytes came in place of {STREAM_BYTES}")
            connection.close()
        except (OSError, BenchmarkFailure) as failure:
            self.failure = failure


def streams(pid, port, count, up):
    """Bytes a stream: how far the resident memory rose at its peak while `count` bodies streamed at once."""
    # The first stream grows pools that later ones share; that is a price of the process, not of a stream.
    _stream_all([Stream(port, up)])
    reset_peak(pid)
    before = memory(pid)["now"]
    _stream_all([Stream(port, up) for _ in range(count)])
    return max(0, memory(pid)["peak"] - before) / count


def _stream_all(threads):
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + STREAM_PATIENCE_SECONDS
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
        if thread.is_alive():
            raise BenchmarkFailure(f"a stream did not end in {STREAM_PATIENCE_SECONDS} s")
        if thread.failure:
            raise BenchmarkFailure(f"a stream failed: {thread.failure}")


def check(text, value, unit, name, target):
    """Prints one figure beside its target; 1 when it is missed."""
    met = value <= target
    print(f"{text}: {value / unit:.2f} {name}   target ≤ {target / unit:g}: {'met' if met else 'MISSED'}", flush=True)
    return 0 if met else 1


def main():
    options = arguments()
    limit = raise_descriptor_limit()
    if limit < options.connections + SPARE_DESCRIPTORS:
        raise BenchmarkFailure(f"{options.connections} connections need more open files than the limit of {limit}")
    directory = temporary_directory()
    running = []

    def fresh():
        """A server that nothing has been asked yet: memory that an earlier measurement left free would be taken
        again, and would not show. One that was named with --pid is used as it is."""
        if options.pid is not None:
            return options.pid, options.port
        while running:
            running.pop().stop()
        backend, _ = proxies.backend(directory)
        # The deadline of an exchange covers its whole body here, and 64 MB take their time on a busy machine.
        command, port = subject.command_of(options, "passthrough", backend.port, directory, timeout_ms=60000)
        running[:] = [backend, Server(options.subject, command, port)]
        return running[1].pid, port

    missed = 0
    pid, port = fresh()
    if options.pid is None:
        missed += check(f"{options.subject} at start", memory(pid)["now"], MIB, "MiB", TARGET_START)
    each = idle_connections(pid, port, options.connections, load.Request("/"))
    missed += check(f"{options.connections} idle connections", each, KIB, "KiB each", TARGET_CONNECTION)
    for name, up in [("up", True), ("down", False)]:
        pid, port = fresh()
        grown = streams(pid, port, options.streams, up)
        missed += check(f"64 MB {name}, {options.streams} at once", grown, MIB, "MiB a stream", TARGET_STREAM)
    return 1 if missed else 0


if __name__ == "__main__":
    run_script(main)
