"""The load: what requests are sent, how fast, and what one measurement of one proxy is."""

import dataclasses
import json
import mmap
import pathlib
import re
import signal
import struct
import subprocess
import tempfile
import time

from processes import LOAD_CORE, BenchmarkFailure, program
from proxies import CONNECTIONS

POST_BYTES = 4096

# A browser's fields with a trace's beside them, about 600 bytes.
TWELVE_HEADERS = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.7,de;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Cache-Control", "no-cache"),
    ("Referer", "http://localhost/dashboard/models?sort=name"),
    ("Cookie", "session=4f2a9c81d07e4b6fa3; theme=dark; consent=1"),
    ("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJiZW5jaCJ9."),
    ("X-Request-Id", "8f14e45f-ceea-467f-9575-0d1a2b3c4d5e"),
    ("X-Tenant", "research"),
    ("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("Tracestate", "vendor=t61rcWkgMzE"),
]


def infer_body(size):
    """A V2 inference request of exactly `size` bytes: FP32 rows of four values."""
    return _padded_json(size, lambda values: {"inputs": [{
        "name": "x", "datatype": "FP32", "shape": [len(values) // 4, 4], "data": values}]})


def predict_body(size):
    """A predict request in row format of exactly `size` bytes."""
    return _padded_json(
        size, lambda values: {"instances": [values[row:row + 4] for row in range(0, len(values), 4)]})


def _padded_json(size, document):
    values, best = [], b""
    while True:
        values += [5.1, 3.5, 1.4, 0.2]
        text = json.dumps(document(values), separators=(",", ":")).encode()
        if len(text) > size:
            # Space around a JSON text has no meaning. (RFC 8259 §2)
            return best.ljust(size)
        best = text


@dataclasses.dataclass(frozen=True)
class Request:
    """One kind of request: every one that is sent is the same."""

    path: str
    headers: tuple = ()
    body: bytes = b""
    http2: bool = False
    tls: bool = False

    @property
    def method(self):
        return "POST" if self.body else "GET"

    def message(self, host="127.0.0.1"):
        """Its bytes on an HTTP/1.1 connection."""
        fields = [("Host", host), *self.headers]
        if self.body:
            fields.append(("Content-Length", str(len(self.body))))
        head = f"{self.method} {self.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
        return head.encode() + b"\r\n" + self.body


# Over HTTP/2: connections of so many streams each.
HTTP2_CONNECTIONS, HTTP2_STREAMS = 16, 8

JSON = (("Content-Type", "application/json"),)
# A length-prefixed message of 1,024 bytes, and the fields of a call. (gRPC over HTTP/2, Length-Prefixed-Message)
GRPC_MESSAGE = bytes([0]) + (1019).to_bytes(4, "big") + b"x" * 1019
GRPC = (("content-type", "application/grpc"), ("te", "trailers"))
PREDICT = Request("/v1/models/m/versions/1/predict", JSON, predict_body(POST_BYTES))
INFER = Request("/v2/models/m/infer", JSON, infer_body(POST_BYTES))
# One row for the gateway's own classifier.
IRIS = Request("/v2/models/iris/infer", JSON, json.dumps({"inputs": [{
    "name": "input", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]}).encode())


@dataclasses.dataclass(frozen=True)
class Scenario:
    """What everybody is measured with, and the gateway's variants that take part with a request of the same size."""

    title: str
    request: Request
    sluice: dict


SCENARIOS = {
    "get": Scenario("GET, 200 B answer", Request("/"), {
        "passthrough": Request("/"), "spread": Request("/"), "routed": Request("/")}),
    "post": Scenario("POST 4 KB", Request("/upload", JSON, b"x" * POST_BYTES), {
        "passthrough": Request("/upload", JSON, b"x" * POST_BYTES),
        "rest-predict": PREDICT,
        "open-inference": INFER,
    }),
    "headers": Scenario("GET, 12 more headers", Request("/", tuple(TWELVE_HEADERS)), {
        "passthrough": Request("/", tuple(TWELVE_HEADERS))}),
}

SATURATION = "saturation"
# Requests a second over all connections; every one is a multiple of CONNECTIONS, since h2load's --rps is a client's.
RATES = (6400, 25600)


@dataclasses.dataclass
class Measurement:
    """One proxy under one load for one window."""

    microseconds: float = 0.0  # processor time of the proxy's process tree, per request
    rate: float = 0.0          # requests a second that the backend answered in the window
    requests: int = 0          # in the window
    seconds: float = 0.0       # of the window
    invalid: str = ""          # why it does not count; empty when it does


class AnsweredCount:
    """The number of requests that the backend has answered, read from the file that it maps."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    def value(self):
        return struct.unpack_from("<Q", self._map)[0]


def measure(server, answered, request, mode, window, warm_up=0.4, rate_tolerance=0.02):
    """Loads `server` in one `mode` (a rate, or SATURATION) and accounts the middle `window` seconds: the warm-up and
    the connecting before it, and the end after it, are left out."""
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="sluice-load-"))
    try:
        command, seconds = _generator(server.port, request, mode, window + warm_up + 0.3, scratch)
        output = open(scratch / "output", "w+b")
        load = subprocess.Popen(
            ["taskset", "-c", str(LOAD_CORE), *command], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True)
        try:
            result = _window(server, answered, load, window, warm_up)
            try:
                # A proxy slower than the rate makes h2load take longer; it is invalid anyway, so don't wait long.
                load.wait(seconds + 1.5 if mode == SATURATION else 2.5)
            except subprocess.TimeoutExpired:
                result.invalid = result.invalid or "the load generator did not end in time"
        finally:
            if load.poll() is None:
                load.send_signal(signal.SIGKILL)
            load.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
        output.close()
        result.invalid = _rate_complaint(result, mode, rate_tolerance) or result.invalid or _errors(text, mode)
        return result
    finally:
        for file in scratch.iterdir():
            file.unlink()
        scratch.rmdir()


def _window(server, answered, load, window, warm_up):
    start = answered.value()
    deadline = time.monotonic() + 5
    while answered.value() == start:
        if load.poll() is not None or time.monotonic() > deadline:
            return Measurement(invalid="no request reached the backend")
        time.sleep(0.01)
    time.sleep(warm_up)
    time_before, count_before, cpu_before = time.monotonic(), answered.value(), server.cpu_seconds()
    time.sleep(window)
    time_after, count_after, cpu_after = time.monotonic(), answered.value(), server.cpu_seconds()
    requests, seconds = count_after - count_before, time_after - time_before
    if requests == 0:
        return Measurement(invalid="no request was answered in the window")
    return Measurement((cpu_after - cpu_before) / requests * 1e6, requests / seconds, requests, seconds)


def _generator(port, request, mode, seconds, scratch):
    """The command of the load generator and how long it runs."""
    url = f"{'https' if request.tls else 'http'}://127.0.0.1:{port}{request.path}"
    if mode == SATURATION:
        script = scratch / "request.lua"
        lines = [f"wrk.method = {_lua(request.method.encode())}"]
        lines += [f"wrk.headers[{_lua(name.encode())}] = {_lua(value.encode())}" for name, value in request.headers]
        if request.body:
            lines.append(f"wrk.body = {_lua(request.body)}")
        script.write_text("\n".join(lines))
        whole = max(2, round(seconds + 0.5))
        return [program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{whole}s", "-s", str(script), url], whole
    clients = HTTP2_CONNECTIONS if request.http2 else CONNECTIONS
    if mode % clients:
        raise BenchmarkFailure(f"a rate must be a multiple of {clients}, h2load's number of clients: {mode}")
    command = [
        program("h2load"), f"-m{HTTP2_STREAMS}" if request.http2 else "--h1", f"--rps={mode // clients}",
        f"-c{clients}", "-t1", f"-n{int(mode * seconds) // clients * clients}"]
    command += [f"-H{name}: {value}" for name, value in request.headers]
    if request.body:
        body = scratch / "body"
        body.write_bytes(request.body)
        command.append(f"-d{body}")
    return command + [url], seconds


def _lua(text):
    """A Lua string of these bytes."""
    return '"' + "".join(f"\\{byte:03d}" if byte < 32 or byte in b'"\\' else chr(byte) for byte in text) + '"'


def _rate_complaint(result, mode, tolerance):
    if mode != SATURATION and result.requests and abs(result.rate / mode - 1) > tolerance:
        return f"the rate was {result.rate:.0f}, not {mode}"
    return ""


def _errors(text, mode):
    """What the load generator complained about; empty when every answer was good."""
    if mode == SATURATION:
        found = re.search(r"(Non-2xx or 3xx responses: \d+|Socket errors: .*)", text)
        if found:
            return found.group(1)
        return "" if "Requests/sec" in text else f"wrk failed: {text.strip()[:200]}"
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    if counts is None:
        return f"h2load failed: {text.strip()[:200]}"
    bad = re.search(r"(\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if any(int(count) for count in counts.groups()[1:]) or (bad and any(int(count) for count in bad.groups())):
        return f"{counts.group(0)}; {bad.group(0) if bad else ''}"
    return ""
