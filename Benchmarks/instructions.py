#!/usr/bin/env python3
"""User instructions a request, by valgrind's callgrind: the difference of two runs of different length on one
keep-alive connection, so that start and end cancel out. Compared with the numbers kept in instructions.json. See
README.md."""

import argparse
import json
import re

import client
import http2_client
import proxies
import subject
from processes import (
    HERE, BenchmarkFailure, Server, program, raise_descriptor_limit, run_script, temporary_directory)

KEPT = HERE / "instructions.json"
# A count that grows more than this needs a new kept number, and a commit that says why.
TOLERANCE = 0.10
# What the project allows the whole pipeline over HTTP/1.1.
BUDGET = 10000
# A server under valgrind starts some fifty times slower.
START_PATIENCE_SECONDS = 120
STOP_PATIENCE_SECONDS = 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    subject.add_arguments(parser)
    parser.add_argument(
        "--scenario", action="append", choices=[*subject.COUNTED, *subject.HTTP2_COUNTED], help="only these")
    parser.add_argument("--requests", type=int, nargs=2, default=(1000, 3000), metavar=("SHORT", "LONG"))
    parser.add_argument("--update", action="store_true", help="keep the numbers that were counted")
    return parser.parse_args()


def collected(options, variant, wire, request, count, directory):
    """Instructions of one whole run of the subject that answers `count` requests one after another."""
    backend, _ = proxies.backend(directory, http2=wire.back_http2)
    command, port = subject.command_of(options, variant, backend.port, directory, wire=wire)
    server = Server(
        f"{options.subject} under valgrind",
        [program("valgrind"), "--tool=callgrind", f"--callgrind-out-file={directory}/callgrind.%p", *command],
        port, patience=START_PATIENCE_SECONDS)
    connection = http2_client.Connection(port) if request.http2 else client.Connection(port)
    message = request if request.http2 else request.message(f"127.0.0.1:{port}")
    for _ in range(count):
        connection.exchange(message)
    connection.close()
    server.stop(STOP_PATIENCE_SECONDS)
    backend.stop()
    # By pid: a child that the server forked, to try a plugin say, prints a count of its own.
    found = re.search(rf"=={server.pid}== Collected : (\d+)", server.printed())
    if found is None:
        raise BenchmarkFailure(f"callgrind printed no count of {server.pid}:\n{server.printed()[-2000:]}")
    return int(found.group(1))


def main():
    options = arguments()
    short, long = options.requests
    raise_descriptor_limit()
    directory = temporary_directory()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    ours = options.subject == "sluice"
    worse = 0
    counted = {name: (variant, proxies.HTTP1, request) for name, (variant, request) in subject.COUNTED.items()}
    counted |= {name: ("passthrough", wire, request) for name, (wire, request) in subject.HTTP2_COUNTED.items()}
    for scenario in options.scenario or counted:
        variant, wire, request = counted[scenario]
        first, second = (
            collected(options, variant, wire, request, count, directory) for count in (short, long))
        count = round((second - first) / (long - short))
        budget = f", budget {BUDGET}" if ours and not request.http2 else ""
        line = f"{scenario}: {count} instructions a request ({options.subject}{budget})"
        if not ours:
            print(line)
        elif options.update:
            kept[scenario] = count
            print(f"{line}, kept")
        elif scenario not in kept:
            worse += 1
            print(f"{line}, nothing kept to compare with: run with --update")
        else:
            growth = count / kept[scenario] - 1
            too_much = growth > TOLERANCE
            worse += too_much
            print(f"{line}, kept {kept[scenario]}, {growth:+.1%}{': TOO MANY' if too_much else ''}")
    if ours and options.update:
        KEPT.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
    return 1 if worse else 0


if __name__ == "__main__":
    run_script(main)
