#!/usr/bin/env python3
"""What balancers cost and how well they spread, through their built libraries and no gateway.

    Benchmarks/pick.py                nanoseconds a pick at 16 and 1,000 endpoints, beside the targets
    Benchmarks/pick.py --quality      latencies in a simulation with one slow endpoint of ten

The first measures; a missed target makes the exit code 1 with --strict, a pick that allocates in any case. The second
is computed: the same every time.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BALANCERS = [
    "RoundRobin", "WeightedRoundRobin", "LeastRequest", "PowerOfTwo", "PeakEWMA", "RingHash", "Maglev", "BoundedLoad",
    "QueueAware", "PrefixAware",
]
TARGETS = {16: 100.0, 1000: 1000.0}  # ns a pick
# Requests a second: the slow endpoint can take its tenth; the pool is at 60% of what it can.
LOADS = {"light": 300, "busy": 2200}
SEEDS = range(1, 6)


def build():
    """The driver, compiled from Balancers/."""
    binary = HERE / ".build" / "balancers"
    sources = [HERE / "Balancers" / name for name in ("main.c", "host.c", "simulation.c")]
    headers = [HERE / "Balancers" / "include" / "balancers.h"]
    if binary.exists() and all(binary.stat().st_mtime > path.stat().st_mtime for path in sources + headers):
        return binary
    binary.parent.mkdir(exist_ok=True)
    subprocess.run(
        ["cc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{HERE / 'Balancers' / 'include'}",
         f"-I{HERE.parent / 'Sources/PluginAPI/ABI/include'}", "-o", binary, *sources, "-ldl", "-lm"], check=True)
    return binary


def ask(*arguments):
    answer = subprocess.run([str(part) for part in arguments], check=True, capture_output=True, text=True, timeout=120)
    return [float(word) for word in answer.stdout.split()]


def print_picks(binary, libraries):
    print(f"{'ns a pick':20}" + "".join(f"{f'{count:,}':>10}{'10% gone':>10}" for count in TARGETS))
    missed = []
    for name, library in libraries.items():
        line = f"{name:20}"
        for count, target in TARGETS.items():
            for gone in (0, 10):
                figure, allocations, _ = ask(binary, "pick", library, count, gone)
                if allocations:
                    sys.exit(f"pick: {name} allocates: {allocations:.0f} times in its picks")
                line += f"{figure:9.0f}" + ("!" if figure > target else " ")
                if figure > target:
                    missed.append((name, count, gone))
        print(line)
    print("targets: " + ", ".join(f"at most {target:,.0f} ns at {count:,}" for count, target in TARGETS.items()))
    return missed


def print_quality(binary, libraries):
    """The median over the seeds of each figure."""
    for load, rate in LOADS.items():
        print(f"{load}: {rate} requests a second")
        print(f"{'ms':20}{'mean':>10}{'p50':>10}{'p99':>10}{'p99.9':>10}{'to the slow':>14}")
        for name, library in libraries.items():
            runs = [ask(binary, "simulate", library, rate, seed) for seed in SEEDS]
            mean, p50, p99, p999, share = [statistics.median(column) for column in list(zip(*runs))[:5]]
            print(f"{name:20}{mean:10.1f}{p50:10.1f}{p99:10.1f}{p999:10.1f}{share:13.1%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quality", action="store_true", help="simulate in place of measuring")
    parser.add_argument("--strict", action="store_true", help="a missed target makes the exit code 1")
    parser.add_argument("--plugins", type=pathlib.Path, default=HERE.parent / ".build" / "release")
    options = parser.parse_args()
    libraries = {name: options.plugins / f"lib{name}.so" for name in BALANCERS}
    for library in libraries.values():
        if not library.exists():
            sys.exit(f"pick: {library} is missing; run `swift build -c release`, or name a directory with --plugins")
    binary = build()
    if options.quality:
        print_quality(binary, libraries)
    elif print_picks(binary, libraries) and options.strict:
        sys.exit(1)


if __name__ == "__main__":
    main()
