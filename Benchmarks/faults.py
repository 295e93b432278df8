#!/usr/bin/env python3
"""Three backends behind the gateway under a steady load, of which one is killed, frozen or made slow: requests that
failed, and p50 and p99 before the fault, in the two health intervals after it, and from then on. At last all three are
killed: what an error takes, and how long until answers come again. See README.md."""

import argparse
import collections
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time

import proxies
from client import PATIENCE_SECONDS
from processes import (
    REPOSITORY, BenchmarkFailure, Server, free_port, run_script, stop_all, temporary_directory)

BACKEND = REPOSITORY / "Tests/EndToEndTests/Clients/serve_patient.py"
FAULTS = ("killed", "frozen", "slow")
# From two intervals after the fault on, 99 of 100 requests take at most so many times as long as before, and so many
# milliseconds more, by which a busy machine is late: a request that went to the sick endpoint takes hundreds.
TARGET_TIMES, TARGET_SPARE_MS = 3, 10
# Of the three windows that are longer than two intervals.
WINDOW_SECONDS = 3

Answer = collections.namedtuple("Answer", "begin end status")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", type=pathlib.Path, default=proxies.DEFAULT_SLUICE, help="the gateway's binary")
    parser.add_argument("--interval", type=int, default=1000, help="health_check.interval_ms (1000)")
    parser.add_argument("--clients", type=int, default=8, help="connections, each with one request at a time (8)")
    parser.add_argument("--rate", type=int, default=400, help="requests a second of all clients together (400)")
    parser.add_argument("--workers", type=int, default=2, help="the gateway's workers (2)")
    parser.add_argument("--fault", choices=FAULTS + ("all",), action="append", help="only this one; may be repeated")
    parser.add_argument("--strict", action="store_true", help="a missed target makes the exit code 1 too")
    return parser.parse_args()


def quantile(values, share):
    """The value that `share` of all do not exceed, or None without any."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None


def within(answers, begin, end):
    """Those of the answers that were asked for in this time."""
    return [answer for answer in answers if begin <= answer.begin < end]


def milliseconds(answers):
    """p50 and p99 of what the answers took, or None for each without any."""
    took = [(answer.end - answer.begin) * 1000 for answer in answers]
    return quantile(took, 0.5), quantile(took, 0.99)


class Backends:
    """Three processes on ports of their own, and what is done to them."""

    def __init__(self):
        self.ports = [free_port() for _ in range(3)]
        self.servers = [self._start(port) for port in self.ports]

    def _start(self, port):
        return Server("backend", [sys.executable, BACKEND, "http", port], port)

    def send(self, index, number):
        os.kill(self.servers[index].pid, number)

    def harm(self, index, fault):
        if fault == "killed":
            self.send(index, signal.SIGKILL)
            self.servers[index].stop()
        else:
            self.send(index, signal.SIGSTOP if fault == "frozen" else signal.SIGUSR1)

    def heal(self, index, fault):
        if fault == "killed":
            self.servers[index] = self._start(self.ports[index])
        else:
            self.send(index, signal.SIGCONT if fault == "frozen" else signal.SIGUSR1)


class Load:
    """Clients in threads, each at its share of the rate, until `stop`."""

    REQUEST = b"GET /faults HTTP/1.1\r\nHost: bench\r\n\r\n"

    def __init__(self, port, clients, rate):
        self.port, self.pause = port, clients / rate
        self.answers = []  # Appended to by all threads: one operation of the interpreter.
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        connection = None
        due = time.monotonic() + self.pause * number / len(self._threads)
        while not self._stopping.wait(max(0, due - time.monotonic())):
            begin = time.monotonic()
            try:
                if connection is None:
                    connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(self.REQUEST)
                status = self._status(connection)
            except OSError:
                connection, status = None, 0
            self.answers.append(Answer(begin, time.monotonic(), status))
            # A client that had to wait does not make up for it in a burst.
            due = max(due + self.pause, time.monotonic())

    @staticmethod
    def _status(connection):
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            more = connection.recv(65536)
            if not more:
                raise ConnectionError("closed")
            data += more
        head = data[:end].lower()
        length = int(head[head.index(b"content-length:") + 15:].split(b"\r\n", 1)[0])
        while len(data) < end + 4 + length:
            more = connection.recv(65536)
            if not more:
                raise ConnectionError("closed")
            data += more
        return int(head.split(b" ", 2)[1])

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)


class Gateway:
    def __init__(self, options, backends):
        directory = temporary_directory()
        self.port, self.metrics_port = free_port(), free_port()
        configuration = directory / "plugins.yaml"
        configuration.write_text(self._configuration(options, backends))
        binary = options.sluice.resolve()
        if not binary.exists():
            raise BenchmarkFailure(f"{binary} is not there: swift build --configuration release")
        self.server = Server("sluice", [binary, "serve", "--config", configuration], self.port)

    def _configuration(self, options, backends):
        endpoints = json.dumps([f"http://127.0.0.1:{port}" for port in backends.ports])
        interval = options.interval
        return f"""\
gateway:
  server: {{ worker_threads: {options.workers} }}
  listeners: [ {{ address: "127.0.0.1:{self.port}" }} ]
  routing:
    default_timeout_ms: 10000
    retry_policy: {{ max_attempts: 3, backoff_ms: 5, per_try_timeout_ms: {max(interval // 4, 50)} }}
  monitoring: {{ metrics_port: {self.metrics_port} }}
  admin: {{ socket: faults.sock }}
plugin_path: [ {json.dumps(str(options.sluice.resolve().parent))} ]
plugins:
  - {{ name: passthrough, library: libPassthrough.so, config: {{ routes: [ {{ prefix: /, model: web }} ] }} }}
  - {{ name: by-version, library: libByVersion.so }}
  - {{ name: least-request, library: libLeastRequest.so }}
pipeline: {{ adapters: [ passthrough ], router: by-version, balancer: least-request }}
models:
  web:
    versions: {{ "1": {{ endpoints: {endpoints}, protocol: passthrough }} }}
    health_check:
      {{ interval_ms: {interval}, timeout_ms: {max(interval // 2, 50)}, unhealthy_after: 1, healthy_after: 1 }}
"""

    def healthy(self):
        """How many of the endpoints are in their pool."""
        with socket.create_connection(("127.0.0.1", self.metrics_port), timeout=PATIENCE_SECONDS) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        lines = [line for line in text.splitlines() if line.startswith("sluice_endpoint_healthy{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def until_healthy(self, count):
        """Waits until so many endpoints are in their pool; the moment when they are."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.healthy() != count:
            if time.monotonic() > deadline:
                raise BenchmarkFailure(f"{count} healthy endpoints were expected, {self.healthy():.0f} are")
            time.sleep(0.005)
        return time.monotonic()


def shown(p50_p99):
    return "        -        " if p50_p99[0] is None else f"{p50_p99[0]:7.2f} {p50_p99[1]:8.2f} "


def scene(options):
    """Backends and a gateway that know of no earlier fault: an endpoint that falls ill again soon is let in later."""
    backends = Backends()
    gateway = Gateway(options, backends)
    gateway.until_healthy(3)
    return gateway, backends


def one_of_three(options, fault):
    """The row of one fault. Whether a request failed, and whether p99 recovered in time."""
    gateway, backends = scene(options)
    interval = options.interval / 1000
    load = Load(gateway.port, options.clients, options.rate)
    time.sleep(WINDOW_SECONDS)
    begin = time.monotonic()
    backends.harm(1, fault)
    out = gateway.until_healthy(2) - begin
    recovered = begin + 2 * interval
    time.sleep(max(0, recovered - time.monotonic()) + WINDOW_SECONDS)
    healing = time.monotonic()
    backends.heal(1, fault)
    back = gateway.until_healthy(3) - healing
    time.sleep(WINDOW_SECONDS)
    load.stop()
    stop_all()

    windows = [(0, begin), (begin, recovered), (recovered, healing), (healing, time.monotonic())]
    timed = [milliseconds(within(load.answers, *window)) for window in windows]
    failed = sum(answer.status != 200 for answer in load.answers)
    met = timed[2][1] <= TARGET_TIMES * timed[0][1] + TARGET_SPARE_MS
    print(f"{fault:8} {len(load.answers):8} {failed:6}  " + " ".join(shown(each) for each in timed)
          + f" {out * 1000:7.0f} {back * 1000:7.0f}   {'met' if met else 'MISSED'}")
    return failed > 0, met


def all_dead(options):
    """Errors while nobody is left. Whether something else than a 503 came, or an error when all were well again."""
    gateway, backends = scene(options)
    for index in range(3):
        backends.harm(index, "killed")
    gateway.until_healthy(0)
    load = Load(gateway.port, options.clients, options.rate)
    time.sleep(WINDOW_SECONDS)
    healing = time.monotonic()
    errors = within(load.answers, 0, healing)
    for index in range(3):
        backends.heal(index, "killed")
    back = gateway.until_healthy(3)
    time.sleep(WINDOW_SECONDS)
    load.stop()
    stop_all()
    first = min((answer.end for answer in load.answers if answer.status == 200), default=None)
    late = sum(answer.status != 200 for answer in within(load.answers, back, time.monotonic()))
    others = sum(answer.status != 503 for answer in errors)
    p50, p99 = milliseconds(errors)
    print(f"\nall three killed: {len(errors)} errors, p50 {p50:.2f} ms, p99 {p99:.2f} ms, {others} of them not a 503; "
          f"all three started again: first answer after {(first - healing) * 1000:.0f} ms, all three in after "
          f"{(back - healing) * 1000:.0f} ms, {late} failed from then on")
    return others > 0 or late > 0


def main():
    options = arguments()
    chosen = options.fault or FAULTS + ("all",)
    print(f"{options.clients} clients, {options.rate} requests a second, {options.workers} workers, health interval "
          f"{options.interval} ms; p50 and p99 in ms, `out` and `back` in ms after the fault and its end\n")
    print("                               before       two intervals      from then on        well again\n"
          "fault    requests failed      p50      p99      p50      p99      p50      p99      p50      p99 "
          "     out    back   p99")
    failed = missed = False
    for fault in chosen:
        if fault == "all":
            failed |= all_dead(options)
            continue
        has_failed, met = one_of_three(options, fault)
        failed |= has_failed
        missed |= not met
    # Another load on the machine moves times, but fails no request.
    return 1 if failed or options.strict and missed else 0


if __name__ == "__main__":
    run_script(main)
