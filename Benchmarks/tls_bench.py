#!/usr/bin/env python3
"""What TLS costs beside nginx on the same OpenSSL: full handshakes and bytes a second of processor time, in interleaved
rounds. See README.md."""

import argparse
import os
import pathlib
import statistics
import subprocess

import proxies
from processes import (
    LOAD_CORE, PROXY_CORE, BenchmarkFailure, Server, compiled, raise_descriptor_limit, run_script,
    temporary_directory)

# The project's target, as the median ratio of paired rounds: ours to nginx's, more is better.
TARGET = 0.95
BODY_BYTES = 64 * 1024 * 1024
# A run of the client that takes longer has stalled.
PATIENCE_SECONDS = 120
MEASURES = {"handshakes": "full handshakes", "bytes": "MB"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--handshakes", type=int, default=200, help="a round (200)")
    parser.add_argument("--bodies", type=int, default=2, help="bodies of 64 MB a round (2)")
    parser.add_argument("--measure", action="append", choices=list(MEASURES), help="only these")
    parser.add_argument("--sluice", type=pathlib.Path, default=proxies.DEFAULT_SLUICE, help="the gateway's binary")
    parser.add_argument("--nice", type=int, default=0, help="of everything that is started; below 0 needs root")
    parser.add_argument("--strict", action="store_true", help="a missed target makes the exit code 1")
    return parser.parse_args()


def measured(server, what, options):
    """Handshakes, or megabytes, a second of processor time of the server's process tree."""
    command = [compiled("tls_client.c", "-lssl", "-lcrypto"), what, server.port]
    command += [options.handshakes] if what == "handshakes" else [options.bodies, f"/stream/{BODY_BYTES}"]
    before = server.cpu_seconds()
    result = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), *map(str, command)], capture_output=True, text=True,
        timeout=PATIENCE_SECONDS)
    if result.returncode != 0:
        raise BenchmarkFailure(f"{server.name}: {result.stderr.strip()}")
    done = int(result.stdout) / (1 if what == "handshakes" else 1e6)
    return done / (server.cpu_seconds() - before)


def main():
    options = arguments()
    os.nice(options.nice)
    raise_descriptor_limit()
    directory = temporary_directory()
    wire = proxies.Wire(front_tls=True)
    backend, _ = proxies.backend(directory, LOAD_CORE)
    servers = [
        Server("nginx", *proxies.nginx(backend.port, directory, wire=wire), core=PROXY_CORE),
        # The deadline of an exchange covers its whole body.
        Server("sluice", *proxies.sluice(
            backend.port, directory, binary=options.sluice, timeout_ms=60000, wire=wire), core=PROXY_CORE)]
    missed = 0
    for what in options.measure or MEASURES:
        for server in servers:  # The first grows pools and loads pages; that is a price of the process.
            measured(server, what, options)
        rounds = []
        for number in range(options.rounds):
            order = servers if number % 2 == 0 else servers[::-1]
            rounds.append({server.name: measured(server, what, options) for server in order})
        ratios = [entry["sluice"] / entry["nginx"] for entry in rounds]
        ratio = statistics.median(ratios)
        for server in servers:
            values = [entry[server.name] for entry in rounds]
            print(f"{server.name:<8}{statistics.median(values):>8.0f} ({min(values):.0f} – {max(values):.0f}) "
                  f"{MEASURES[what]} a second of processor time", flush=True)
        missed += ratio < TARGET
        print(f"sluice / nginx: {ratio:.2f} ({min(ratios):.2f} – {max(ratios):.2f}, {len(ratios)} pairs)   "
              f"target ≥ {TARGET}: {'met' if ratio >= TARGET else 'MISSED'}", flush=True)
    return 1 if options.strict and missed else 0


if __name__ == "__main__":
    run_script(main)
