#!/usr/bin/env python3
"""What a translation costs: V2 inference requests with a tensor of 1 MB of FP32, in JSON and with binary data, to a V2
gRPC backend. Megabytes of the request a second of the gateway's processor time. See README.md."""

import argparse
import json
import os
import pathlib
import random
import statistics
import struct

import client
import load
import proxies
from processes import LOAD_CORE, PROXY_CORE, Server, raise_descriptor_limit, run_script, temporary_directory

# The project's target for JSON; binary data has none in figures.
TARGET = 300
ELEMENTS = 262144
BINARY_HEAD = "Inference-Header-Content-Length"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--requests", type=int, default=20, help="a round (20)")
    parser.add_argument("--sluice", type=pathlib.Path, default=proxies.DEFAULT_SLUICE, help="the gateway's binary")
    parser.add_argument("--nice", type=int, default=0, help="of everything that is started; below 0 needs root")
    return parser.parse_args()


def requests():
    """{name: request}: the same tensor with digits as a client of FP32 writes them, with short ones, and in binary."""
    source = random.Random(1)
    values = [struct.unpack("<f", struct.pack("<f", source.uniform(-1, 1)))[0] for _ in range(ELEMENTS)]

    def infer(data, parameters):
        # The data as text that is put in, since the shortest digits of FP32 are not what Python writes.
        tensor = f'{{"name":"x","datatype":"FP32","shape":[{ELEMENTS // 4},4]{parameters}{data}}}'
        return f'{{"inputs":[{tensor}]}}'.encode()

    digits = ',"data":[' + ",".join(f"{value:.9g}" for value in values) + "]"
    short = ',"data":[' + ",".join(f"{value:.2f}" for value in values) + "]"
    head = infer("", f',"parameters":{{"binary_data_size":{4 * ELEMENTS}}}')
    binary = load.Request(
        "/v2/models/m/infer", (("Content-Type", "application/octet-stream"), (BINARY_HEAD, str(len(head)))),
        head + struct.pack(f"<{ELEMENTS}f", *values))
    bodies = {"JSON, 9 digits": infer(digits, ""), "JSON, 2 decimals": infer(short, "")}
    for body in bodies.values():
        assert len(json.loads(body)["inputs"][0]["data"]) == ELEMENTS
    return {
        **{name: load.Request("/v2/models/m/infer", load.JSON, body) for name, body in bodies.items()},
        "binary data": binary}


def main():
    options = arguments()
    os.nice(options.nice)
    raise_descriptor_limit()
    directory = temporary_directory()
    backend, _ = proxies.backend(directory, LOAD_CORE, http2=True)
    server = Server("sluice", *proxies.sluice(
        backend.port, directory, "open-inference", options.sluice, timeout_ms=60000,
        wire=proxies.Wire(back_http2=True)), core=PROXY_CORE)
    os.sched_setaffinity(0, {LOAD_CORE})
    connection = client.Connection(server.port)
    missed = 0
    for name, request in requests().items():
        message = request.message()
        for _ in range(3):
            connection.exchange(message)
        rates = []
        for _ in range(options.rounds):
            before = server.cpu_seconds()
            for _ in range(options.requests):
                connection.exchange(message)
            rates.append(len(request.body) * options.requests / 1e6 / (server.cpu_seconds() - before))
        rate = statistics.median(rates)
        verdict = ""
        if "JSON" in name:
            verdict = f"   target ≥ {TARGET}: {'met' if rate >= TARGET else 'MISSED'}"
            missed += rate < TARGET
        print(f"{name}, {len(request.body) / 1e6:.1f} MB: {rate:.0f} ({min(rates):.0f} – {max(rates):.0f}) MB a second "
              f"of processor time{verdict}", flush=True)
    connection.close()
    return 1 if missed else 0


if __name__ == "__main__":
    run_script(main)
