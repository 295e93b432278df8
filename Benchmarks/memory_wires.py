#!/usr/bin/env python3
"""Resident memory of what comes over HTTP/2 and over TLS: idle connections that each did a request, and bodies of 64 MB
over h2 and gRPC. See README.md."""

import argparse
import ssl

import client
import http2_client
import load
import memory
import proxies
from processes import (
    BenchmarkFailure, Server, memory as resident, raise_descriptor_limit, reset_peak, run_script, temporary_directory)

# The project's targets.
TARGET_HTTP2_CONNECTION = 16 * memory.KIB
TARGET_TLS_CONNECTION = 48 * memory.KIB


class TLSConnection(client.Connection):
    """One of HTTP/1.1 over TLS."""

    def __init__(self, port, context):
        super().__init__(port)
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")


def trusting_context():
    """The server is the script's own: its certificate is not looked at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", default="sluice", choices=["sluice", *proxies.RIVALS, "envoy"])
    parser.add_argument("--sluice", default=proxies.DEFAULT_SLUICE, type=type(proxies.DEFAULT_SLUICE))
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--streams", type=int, default=8)
    return parser.parse_args()


def idle(pid, count, connect, request):
    """Bytes a connection: what the resident memory grew by from a few warm connections to `count` more idle ones."""
    connections = [connect() for _ in range(8)]
    try:
        for connection in connections * 20:
            connection.exchange(request)
        before = resident(pid)["now"]
        for _ in range(count):
            connections.append(connect())
            connections[-1].exchange(request)
        grown = resident(pid)["now"] - before
        # All of them must still be there, or what was measured is not `count` connections.
        for connection in connections:
            connection.exchange(request)
        return grown / count
    finally:
        for connection in connections:
            connection.close()


class HTTP2Stream(memory.Stream):
    """One body of 64 MB over HTTP/2, up or down, on a connection of its own."""

    def __init__(self, port, up, headers):
        super().__init__(port, up)
        self.headers = headers

    def run(self):
        try:
            connection = http2_client.Connection(self.port)
            if self.up:
                connection.exchange(load.Request("/upload", self.headers), memory.STREAM_BYTES)
            else:
                length = connection.exchange(load.Request(f"/stream/{memory.STREAM_BYTES}", self.headers))
                if length != memory.STREAM_BYTES:
                    raise BenchmarkFailure(f"{length} bytes came in place of {memory.STREAM_BYTES}")
            connection.close()
        except (OSError, BenchmarkFailure) as failure:
            self.failure = failure


def streams(pid, port, count, up, headers):
    """As in memory.py."""
    memory._stream_all([HTTP2Stream(port, up, headers)])
    reset_peak(pid)
    before = resident(pid)["now"]
    memory._stream_all([HTTP2Stream(port, up, headers) for _ in range(count)])
    return max(0, resident(pid)["peak"] - before) / count


def main():
    options = arguments()
    raise_descriptor_limit()
    directory = temporary_directory()
    running = []

    def fresh(wire):
        """A server that nothing has been asked yet."""
        while running:
            running.pop().stop()
        backend, _ = proxies.backend(directory, http2=wire.back_http2)
        if options.subject == "sluice":
            command, port = proxies.sluice(
                backend.port, directory, binary=options.sluice, timeout_ms=60000, wire=wire)
        else:
            command, port = {**proxies.RIVALS, "envoy": proxies.envoy}[options.subject](
                backend.port, directory, wire=wire)
        running[:] = [backend, Server(options.subject, command, port)]
        return running[1].pid, port

    missed = 0
    pid, port = fresh(proxies.Wire(front_http2=True))
    each = idle(pid, options.connections, lambda: http2_client.Connection(port), load.Request("/"))
    missed += memory.check(
        f"{options.connections} idle connections of h2c", each, memory.KIB, "KiB each", TARGET_HTTP2_CONNECTION)
    pid, port = fresh(proxies.Wire(front_tls=True))
    context = trusting_context()
    each = idle(pid, options.connections, lambda: TLSConnection(port, context), load.Request("/").message())
    missed += memory.check(
        f"{options.connections} idle connections of TLS", each, memory.KIB, "KiB each", TARGET_TLS_CONNECTION)
    for name, wire, headers in [
            ("h2c to HTTP/1.1", proxies.Wire(front_http2=True), ()),
            ("gRPC", proxies.Wire(front_http2=True, back_http2=True), load.GRPC)]:
        for up in (True, False):
            # With a length, since backend.c knows no chunks; gRPC sends none.
            fields = headers or ((("content-length", str(memory.STREAM_BYTES)),) if up else ())
            pid, port = fresh(wire)
            grown = streams(pid, port, options.streams, up, fields)
            missed += memory.check(
                f"64 MB {'up' if up else 'down'}, {name}, {options.streams} at once", grown, memory.MIB,
                "MiB a stream", memory.TARGET_STREAM)
    return 1 if missed else 0


if __name__ == "__main__":
    run_script(main)
