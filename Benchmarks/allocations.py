#!/usr/bin/env python3
"""Allocations from the system a request in steady state, counted by a preloaded library (allocation_count.c) over
10,000 requests on warm keep-alive connections. See README.md."""

import argparse
import mmap
import struct

import client
import load
import proxies
import subject
from processes import Server, compiled, raise_descriptor_limit, run_script, temporary_directory

# The order of `kinds` in allocation_count.c.
KINDS = ["malloc", "calloc", "realloc", "aligned", "mmap", "free"]
# In flight together, so that concurrent exchanges are seen, and few enough to be warm soon.
CONNECTIONS = 16
# What is done before counting: pools and tables have grown to their size by then.
WARM_UP_REQUESTS = 3200
# Once a second or so something beside the requests may allocate (a timer, a metrics shard): a few per 10,000 requests
# are not a cost a request.
TOLERANCE = 0.005
# Requests that share batches; the others are `subject.COUNTED`.
BATCHED = "batched"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    subject.add_arguments(parser)
    parser.add_argument("--scenario", action="append", choices=[*subject.COUNTED, BATCHED], help="only these")
    parser.add_argument("--requests", type=int, default=10000)
    return parser.parse_args()


class Counts:
    """The counters that the preloaded library keeps, in a file that both map."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(8 * len(KINDS)))
        # A worker that gave up root must be able to write it.
        path.chmod(0o666)
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8 * len(KINDS))

    def values(self):
        return struct.unpack_from(f"<{len(KINDS)}Q", self._map)


def drive(connections, message, requests):
    """Sends `requests` over all connections in turn, as many in flight as there are connections."""
    for _ in range(requests // len(connections)):
        for connection in connections:
            connection.send(message)
        for connection in connections:
            connection.receive()
    return requests // len(connections) * len(connections)


def prepared(options, scenario, directory):
    """The backend of a scenario, the command of the subject before it, its port, and the request."""
    if scenario == BATCHED:
        command, port = proxies.sluice_model(directory, options.sluice)
        backend = Server("model", command, port)
        return backend, *proxies.sluice_batching(port, directory, options.sluice), load.IRIS
    variant, request = subject.COUNTED[scenario]
    backend, _ = proxies.backend(directory)
    return backend, *subject.command_of(options, variant, backend.port, directory), request


def counted(options, scenario, directory):
    """{kind: calls a request} of one scenario."""
    backend, command, port, request = prepared(options, scenario, directory)
    counts = Counts(directory / f"counts-{port}")
    server = Server(options.subject, command, port, environment={
        "LD_PRELOAD": compiled("allocation_count.c", "-shared", "-fPIC"),
        "ALLOCATION_COUNT_FILE": str(counts.path)})
    connections = [client.Connection(port) for _ in range(CONNECTIONS)]
    message = request.message(f"127.0.0.1:{port}")
    drive(connections, message, WARM_UP_REQUESTS)
    before = counts.values()
    sent = drive(connections, message, options.requests)
    after = counts.values()
    for connection in connections:
        connection.close()
    server.stop()
    backend.stop()
    # A server that counted nothing at its start was not counted at all: a static binary ignores LD_PRELOAD.
    return {kind: (late - early) / sent for kind, early, late in zip(KINDS, before, after)}, before


def main():
    options = arguments()
    raise_descriptor_limit()
    directory = temporary_directory()
    too_many = 0
    # Peers have no batches.
    own = [BATCHED] if options.subject == "sluice" else []
    for scenario in options.scenario or [*subject.COUNTED, *own]:
        per_request, at_start = counted(options, scenario, directory)
        if not any(at_start):
            print(f"{scenario}: nothing was counted, the preloaded library had no effect on {options.subject}")
            too_many += 1
            continue
        total = sum(value for kind, value in per_request.items() if kind != "free")
        parts = ", ".join(f"{kind} {value:.4f}" for kind, value in per_request.items())
        verdict = "" if total <= TOLERANCE else ": NOT ZERO"
        too_many += bool(verdict)
        print(f"{scenario}: {total:.4f} allocations a request ({options.subject}: {parts}){verdict}")
    return 1 if too_many else 0


if __name__ == "__main__":
    run_script(main)
