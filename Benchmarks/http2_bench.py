#!/usr/bin/env python3
"""Processor time a request that comes over HTTP/2: h2c and h2 over TLS in front of an HTTP/1.1 backend, and a call
shaped like gRPC's unary ones, h2c on both sides; the gateway beside its peers in interleaved rounds. See README.md."""

import argparse
import dataclasses
import os
import pathlib
import sys

import bench
import load
import proxies
import report
from processes import LOAD_CORE, PROXY_CORE, Server, raise_descriptor_limit, run_script, temporary_directory

# The project's targets, as median ratios of paired rounds.
TARGET_CHEAPEST = 1.0
TARGET_ENVOY = 0.4
# What can't reach every rate on one core of every machine is tried once a round: nginx with gRPC, Envoy with anything.
SPARED = frozenset({"envoy", "nginx"})


@dataclasses.dataclass(frozen=True)
class Scenario:
    title: str
    wire: proxies.Wire
    request: load.Request


SCENARIOS = {
    "h2c-get": Scenario(
        "h2c to HTTP/1.1, GET, 200 B answer", proxies.Wire(front_http2=True), load.Request("/", http2=True)),
    "h2-tls-get": Scenario(
        "h2 over TLS to HTTP/1.1, GET, 200 B answer", proxies.Wire(front_http2=True, front_tls=True),
        load.Request("/", http2=True, tls=True)),
    "grpc-unary": Scenario(
        "gRPC unary, 1 KB, h2c to h2c", proxies.Wire(front_http2=True, back_http2=True),
        load.Request("/benchmark.Service/Unary", load.GRPC, load.GRPC_MESSAGE, http2=True)),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="paired rounds (11)")
    parser.add_argument("--window", type=float, default=1.5, help="seconds that are accounted a measurement (1.5)")
    parser.add_argument("--quick", action="store_true", help="3 rounds, windows of 0.8 s")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="only these")
    parser.add_argument("--rate", action="append", type=int, help="only these rates (6400 and 25600)")
    parser.add_argument(
        "--without", action="append", default=[], choices=[*proxies.RIVALS, "envoy"], help="leave out a peer")
    parser.add_argument("--sluice", type=pathlib.Path, default=proxies.DEFAULT_SLUICE, help="the gateway's binary")
    parser.add_argument("--strict", action="store_true", help="a missed target makes the exit code 1")
    parser.add_argument(
        "--nice", type=int, default=0, help="the niceness of everything that is started; below 0 needs root")
    options = parser.parse_args()
    options.saturation_rounds = 0
    if options.quick:
        options.rounds, options.window = 3, 0.8
    return options


def start(options, scenario, backend, directory):
    """Starts the proxies of one scenario, pinned: {name: server}."""
    commands = {
        name: make for name, make in [*proxies.RIVALS.items(), ("envoy", proxies.envoy)]
        if name not in options.without}
    servers = {
        name: Server(name, *make(backend.port, directory, wire=scenario.wire), core=PROXY_CORE)
        for name, make in commands.items()}
    servers["sluice"] = Server(
        "sluice", *proxies.sluice(backend.port, directory, binary=options.sluice, wire=scenario.wire),
        core=PROXY_CORE)
    return servers


def run(options, name, directory):
    """Measures one scenario and prints it. Returns what missed and what could not be measured."""
    scenario = SCENARIOS[name]
    backend, counter = proxies.backend(directory, LOAD_CORE, http2=scenario.wire.back_http2)
    servers = start(options, scenario, backend, directory)
    steps = [
        (name, rate, {proxy: scenario.request for proxy in servers}) for rate in options.rate or load.RATES]
    samples = bench.run_rounds(options, steps, servers, load.AnsweredCount(counter), SPARED)
    for server in [*servers.values(), backend]:
        server.stop()
    summaries = {}
    missed, unmeasured = [], []
    for _, rate, _ in steps:
        result = summaries[name, rate] = report.summary(
            samples[name, rate], list(servers), ["sluice"], [peer for peer in proxies.RIVALS if peer in servers],
            "envoy" if "envoy" in servers else None, True, (TARGET_CHEAPEST, TARGET_ENVOY))
        for line in report.lines(scenario.title, rate, result):
            print(line, flush=True)
        missed += [entry for entry in result["ratios"] if entry["met"] is False]
        unmeasured += [
            f"sluice against {entry['against']}, {name}, {rate}" for entry in result["ratios"]
            if entry["ratio"] is None and entry["against"] not in SPARED]
    bench.save(options, samples, summaries, os.getloadavg())
    return missed, unmeasured


def main():
    options = arguments()
    # Children inherit it: on a machine that does other work too, the rates are reached only with precedence.
    os.nice(options.nice)
    raise_descriptor_limit()
    directory = temporary_directory()
    missed, unmeasured = [], []
    for name in options.scenario or SCENARIOS:
        more_missed, more_unmeasured = run(options, name, directory)
        missed += more_missed
        unmeasured += more_unmeasured
    print(f"{len(missed)} targets missed")
    for what in unmeasured:
        print(f"could not be measured: {what}", file=sys.stderr)
    return 1 if unmeasured or (options.strict and missed) else 0


if __name__ == "__main__":
    run_script(main)
