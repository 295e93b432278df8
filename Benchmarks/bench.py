#!/usr/bin/env python3
"""Processor time a proxied request: the gateway beside nginx, HAProxy, nghttpx, Envoy and a byte relay, in front of one
backend, in interleaved rounds. See README.md."""

import argparse
import dataclasses
import datetime
import functools
import json
import os
import pathlib
import platform
import sys
import time

import load
import proxies
import report
from processes import (
    HERE, LOAD_CORE, PROXY_CORE, BenchmarkFailure, Server, raise_descriptor_limit, run_script, temporary_directory)

# A measurement that noise made invalid is taken again at once, so that its pair stays close in time.
TRIES = 3
# Envoy can't reach the higher rate on one core, and no target depends on it: it is not tried again.
SPARED = frozenset({"envoy"})


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="paired rounds at the fixed rates (11)")
    parser.add_argument("--saturation-rounds", type=int, default=5, help="rounds at saturation (5)")
    parser.add_argument("--window", type=float, default=1.5, help="seconds that are accounted a measurement (1.5)")
    parser.add_argument("--quick", action="store_true", help="3 rounds, 1 at saturation, windows of 0.8 s")
    parser.add_argument("--scenario", action="append", choices=list(load.SCENARIOS), help="only these")
    parser.add_argument("--rate", action="append", type=int, help="only these rates (6400 and 25600)")
    parser.add_argument("--without", action="append", default=[], choices=list(proxies.PEERS), help="leave out a peer")
    parser.add_argument("--variant", action="append", choices=list(proxies.SLUICE_VARIANTS), help="only these")
    parser.add_argument("--without-sluice", action="store_true", help="the peers alone")
    parser.add_argument("--sluice", type=pathlib.Path, default=proxies.DEFAULT_SLUICE, help="the gateway's binary")
    parser.add_argument("--strict", action="store_true", help="a missed target makes the exit code 1")
    parser.add_argument(
        "--nice", type=int, default=0, help="the niceness of everything that is started; below 0 needs root")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.saturation_rounds, options.window = 3, 1, 0.8
    return options


def gateway_name(variant):
    return f"sluice {variant}"


def plan(options):
    """What is measured: [(scenario name, mode, {proxy: request})]."""
    peers = [peer for peer in proxies.PEERS if peer not in options.without]
    variants = [] if options.without_sluice else options.variant or list(proxies.SLUICE_VARIANTS)
    modes = [*(options.rate or load.RATES)] + ([load.SATURATION] if options.saturation_rounds else [])
    result = []
    for name in options.scenario or load.SCENARIOS:
        scenario = load.SCENARIOS[name]
        requests = {peer: scenario.request for peer in peers}
        requests |= {
            gateway_name(variant): scenario.sluice[variant] for variant in variants if variant in scenario.sluice}
        result += [(name, mode, requests) for mode in modes]
    return result


def start(options, names, backend, directory):
    """Starts every proxy of the plan, pinned: {name: server}."""
    commands = dict(proxies.PEERS)
    for variant in proxies.SLUICE_VARIANTS:
        commands[gateway_name(variant)] = functools.partial(proxies.sluice, variant=variant, binary=options.sluice)
    return {name: Server(name, *commands[name](backend.port, directory), core=PROXY_CORE) for name in names}


def measure(server, answered, request, mode, window, spared=SPARED):
    """One measurement that counts, or the last of several that do not."""
    for _ in range(1 if server.name in spared else TRIES):
        measured = load.measure(server, answered, request, mode, window)
        if not measured.invalid:
            break
    return measured


def complete(measured, spared=SPARED):
    """Whether a round counts for every proxy that must be able to do it."""
    return not any(sample.invalid for proxy, sample in measured.items() if proxy not in spared)


def run_rounds(options, steps, servers, answered, spared=SPARED):
    """{(scenario, mode): [{proxy: Measurement}]}, one list entry a round. Within a round a step's proxies follow one
    another directly, and each round begins with another one. A step with incomplete rounds gets up to half as many
    more, so that a disturbed machine costs time and not pairs."""
    samples = {(name, mode): [] for name, mode, _ in steps}
    began, number = time.monotonic(), 0
    while True:
        measured_any = False
        for name, mode, requests in steps:
            wanted = options.saturation_rounds if mode == load.SATURATION else options.rounds
            rounds = samples[name, mode]
            if sum(complete(measured, spared) for measured in rounds) >= wanted or len(rounds) >= wanted + wanted // 2:
                continue
            order = list(requests)
            shift = number % len(order)
            order = order[shift:] + order[:shift]
            rounds.append({
                proxy: measure(servers[proxy], answered, requests[proxy], mode, options.window, spared)
                for proxy in order})
            measured_any = True
        if not measured_any:
            return samples
        number += 1
        print(f"round {number} done ({options.rounds} complete ones wanted) after {time.monotonic() - began:.0f} s",
              file=sys.stderr, flush=True)


def save(options, samples, summaries, load_averages):
    directory = HERE / "results"
    directory.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    path = directory / f"bench-{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({
        "when": now.isoformat(), "kernel": platform.release(), "processors": os.cpu_count(),
        "load_average": load_averages, "rounds": options.rounds, "window_seconds": options.window,
        "results": [{
            "scenario": name, "mode": mode, **summaries[name, mode],
            "samples": [
                {proxy: dataclasses.asdict(measured) for proxy, measured in entry.items()} for entry in rounds],
        } for (name, mode), rounds in samples.items()]}, indent=1))
    return path


def main():
    options = arguments()
    if not {PROXY_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise BenchmarkFailure(f"cores {PROXY_CORE} and {LOAD_CORE} are needed, one for the proxies, one for the load")
    # Children inherit it: on a machine that does other work too, the rates are reached only with precedence.
    os.nice(options.nice)
    raise_descriptor_limit()
    steps = plan(options)
    names = list(dict.fromkeys(proxy for _, _, requests in steps for proxy in requests))
    gateways = [name for name in names if name not in proxies.PEERS]
    # The peers have one endpoint.
    judged_gateways = [name for name in gateways if name != gateway_name(proxies.SPREAD)]
    directory = temporary_directory()
    before = os.getloadavg()
    backend, counter = proxies.backend(directory, LOAD_CORE)
    servers = start(options, names, backend, directory)
    samples = run_rounds(options, steps, servers, load.AnsweredCount(counter))

    summaries, unmeasured, missed = {}, [], []
    for name, mode, requests in steps:
        result = summaries[name, mode] = report.summary(
            samples[name, mode], list(requests), [name for name in judged_gateways if name in requests],
            [rival for rival in proxies.RIVALS if rival in requests], "relay" if "relay" in requests else None,
            has_target=mode != load.SATURATION)
        for line in report.lines(load.SCENARIOS[name].title, mode, result):
            print(line)
        policies, spread = gateway_name(proxies.POLICIES), gateway_name(proxies.SPREAD)
        for more, base, target in (
                (policies, spread, report.TARGET_ADDED), (spread, gateway_name("passthrough"), None)):
            if {more, base} <= requests.keys() and mode != load.SATURATION:
                for line in report.added(samples[name, mode], more, base, target):
                    print(line + "\n")
        unmeasured += [
            f"{proxy}, {name}, {mode}" for proxy, figures in result["proxies"].items()
            if figures["microseconds"] is None and proxy != "envoy"]
        missed += [entry for entry in result["ratios"] if entry["met"] is False]
        unmeasured += [
            f"{entry['gateway']} against {entry['against']}, {name}, {mode}"
            for entry in result["ratios"] if entry["ratio"] is None and entry["target"] is not None]
    path = save(options, samples, summaries, [before, os.getloadavg()])
    print(f"load average {before[0]:.1f} before, {os.getloadavg()[0]:.1f} after; all samples in "
          f"{os.path.relpath(path)}")
    if gateways:
        judged = sum(entry["met"] is not None for result in summaries.values() for entry in result["ratios"])
        print(f"{judged - len(missed)} of {judged} targets met")
    for what in unmeasured:
        print(f"could not be measured: {what}", file=sys.stderr)
    return 1 if unmeasured or (options.strict and missed) else 0


if __name__ == "__main__":
    run_script(main)
