"""Clients of the length-prefixed protocol: `drive_tcp.py CASE PORT [PORT]`. A failed case ends with an error."""

import json
import random
import struct
import sys
import urllib.error
import urllib.request

from length_prefixed import DATATYPES, ERROR, INFER, READY, Connection, infer, message, tensor

CODES = {"invalid": 3, "deadline": 4, "not_found": 5, "exhausted": 8, "precondition": 9, "range": 11,
         "unimplemented": 12, "internal": 13, "unavailable": 14}  # fmt: skip


def every_tensor():
    """Each datatype in each kind of shape, with bytes of no pattern."""
    source = random.Random(7)
    for datatype, (_, size) in DATATYPES.items():
        for shape in ([], [0], [3], [2, 0, 4], [2, 3], [1] * 16):
            count = 1
            for dimension in shape:
                count *= dimension
            values = 2 if datatype == "BOOL" else 256
            data = bytes(source.randrange(values) for _ in range(count * size))
            yield f"{datatype}-{len(shape)}-{count}", datatype, shape, data


def exact(port):
    """Any tensor crosses as it is, alone and with others, and so do the id and the version."""
    connection = Connection.to(port)
    tensors = list(every_tensor())
    answer = connection.ask(infer("echo", [tensor(*t) for t in tensors], identity=2**64 - 1))
    assert answer.kind == 0x81 and answer.id == 2**64 - 1 and answer.model == "echo"
    assert answer.tensors == {name: (datatype, shape, data) for name, datatype, shape, data in tensors}
    answer = connection.ask(infer("echo", [], identity=0))
    assert answer.tensors == {} and answer.id == 0
    large = bytes(random.Random(3).randbytes(8 << 20))
    answer = connection.ask(infer("echo", [tensor("x", "FP32", [2 << 20], large)], version="1"))
    assert answer.tensors["x"] == ("FP32", [2 << 20], large)


def pipelined(port):
    """Many requests in one write, then in pieces of one byte: answers in order."""
    connection = Connection.to(port)
    requests = [infer("echo", [tensor("x", "INT64", [1], struct.pack("<q", i))], identity=i) for i in range(200)]
    connection.send(b"".join(requests))
    for i in range(200):
        answer = connection.read()
        assert answer.id == i and struct.unpack("<q", answer.tensors["x"][2]) == (i,), vars(answer)
    joined = b"".join(requests[:3])
    for i in range(len(joined)):
        connection.send(joined[i : i + 1])
    for i in range(3):
        assert connection.read().id == i


def ready(port):
    connection = Connection.to(port)
    assert connection.ask(message(READY, 5, "echo", "")).ready == 1
    assert connection.ask(message(READY, 5, "loading", "")).ready == 0
    assert connection.ask(message(READY, 5, "", "")).ready == 1
    answer = connection.ask(message(READY, 5, "nobody", ""))
    assert answer.kind == ERROR and answer.status == CODES["not_found"] and answer.id == 5, vars(answer)


def errors(port):
    """A message that is whole but wrong is answered, and the connection lives on."""
    connection = Connection.to(port)

    def refused(data, status, word):
        answer = connection.ask(data)
        assert answer.kind == ERROR and answer.status == CODES[status] and word in answer.reason, vars(answer)

    refused(infer("nobody", []), "not_found", "nobody")
    refused(infer("", []), "invalid", "no model")
    refused(infer("iris", [tensor("input", "FP32", [1, 4], b"\0" * 12)]), "invalid", "expected 16, found 12")
    huge = tensor("input", "FP32", [2**62, 4, 2**62], b"")
    refused(infer("iris", [huge]), "invalid", "more elements")
    refused(infer("iris", [tensor("input", "FP32", [2**63], b"")]), "invalid", "more elements")
    refused(infer("iris", []), "invalid", "")
    refused(message(INFER, 1, "iris", "", struct.pack(">HH", 0, 0) + b"x"), "invalid", "follow")
    refused(message(INFER, 1, "iris", "", struct.pack(">HH", 0, 9)), "invalid", "ends within")
    refused(message(0x81, 1, "iris", "", b""), "invalid", "answer")
    refused(message(0x77, 1, "iris", "", b""), "invalid", "unknown kind")
    refused(infer("fail", []), "precondition", "the ünit is off")
    answer = connection.ask(infer("echo", [], identity=77))
    assert answer.id == 77 and answer.kind == 0x81


def iris(port):
    """The model in the gateway's own process."""
    connection = Connection.to(port)
    data = struct.pack("<8f", 5.1, 3.5, 1.4, 0.2, 6.7, 3.0, 5.2, 2.3)
    answer = connection.ask(infer("iris", [tensor("input", "FP32", [2, 4], data)], outputs=["label"]))
    assert answer.tensors == {"label": ("INT64", [2], struct.pack("<2q", 0, 2))}, vars(answer)


def strangers(port):
    """Whoever speaks something else is told in kind and cut; half a message is waited for until its time is over."""
    for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0\0\0\x05SL", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                 b"\0\0\0\x0fSLTP", b"\xff" * 100_000):  # fmt: skip
        connection = Connection.to(port)
        try:
            connection.send(data)
        except ConnectionError:
            pass
        if data == b"\0\0\0\x05SL":
            connection.send(b"XX")
        answer = connection.read()
        assert answer.kind == ERROR and answer.status == CODES["invalid"] and answer.id == 0, (data[:20], vars(answer))
        assert connection.read() is None, data[:20]


def oversized(port):
    connection = Connection.to(port)
    connection.send(struct.pack(">I", 200_000) + b"SLTP" + b"\1" * 100)
    answer = connection.read()
    assert answer.kind == ERROR and answer.status == CODES["range"], vars(answer)
    assert answer.id == 0x0101010101010101, vars(answer)
    assert connection.read() is None
    # A message that just fits goes through.
    fitting = Connection.to(port)
    overhead = len(infer("echo", [tensor("x", "UINT8", [1], b"")]))
    data = b"\7" * (100_000 - overhead)
    assert fitting.ask(infer("echo", [tensor("x", "UINT8", [len(data)], data)])).tensors["x"][2] == data


def slow(port):
    """Time for a message's begin, for its rest, and between two."""
    for data, status in ((b"\0\0", CODES["deadline"]), (infer("echo", [])[:-1], CODES["deadline"]), (b"", None)):
        connection = Connection.to(port)
        if status is None:
            assert connection.ask(infer("echo", [])).kind == 0x81
        connection.send(data)
        answer = connection.read()
        assert (answer.status if answer else None) == status, data
        if answer:
            assert connection.read() is None


def hostile(port):
    """Answers of a broken endpoint are errors, and what it leaves behind reaches nobody."""
    connection = Connection.to(port)
    sent = [tensor("x", "INT32", [1], b"\1\2\3\4")]
    for name, status in (
        ("early", "unavailable"), ("garbage", "unavailable"), ("oversized", "exhausted"), ("short", "unavailable"),
        ("another", "internal"), ("mismatch", "internal"),
    ):  # fmt: skip
        answer = connection.ask(infer(name, sent, identity=3))
        assert answer.kind == ERROR and answer.status == CODES[status] and answer.id == 3, (name, vars(answer))
    for _ in range(3):
        answer = connection.ask(infer("tail", sent, identity=4))
        assert answer.tensors == {"x": ("INT32", [1], b"\1\2\3\4")}, vars(answer)
        assert connection.ask(infer("echo", sent, identity=5)).id == 5


def post(port, path, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def translated(port):
    """V2 over HTTP toward endpoints of raw TCP."""
    body = {"id": "42", "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1.5, -2, 3e10, 0]},
                                   {"name": "y", "datatype": "INT64", "shape": [], "data": [-(2**63)]},
                                   {"name": "z", "datatype": "UINT8", "shape": [0, 3], "data": []}]}  # fmt: skip
    status, answer = post(port, "/v2/models/echo/infer", body)
    assert status == 200 and answer["id"] == "42" and answer["model_name"] == "echo", answer
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["x"]["data"] == [1.5, -2, 3e10, 0] and outputs["x"]["shape"] == [2, 2], answer
    assert outputs["y"]["data"] == [-(2**63)] and outputs["y"]["shape"] == [], answer
    assert outputs["z"]["data"] == [] and outputs["z"]["shape"] == [0, 3], answer
    status, answer = post(port, "/v2/models/outputs/infer", {**body, "id": "a b", "outputs": [{"name": "q"}]})
    assert status == 200 and [output["name"] for output in answer["outputs"]] == ["q"], answer
    status, answer = post(port, "/v2/models/renamed/infer", body)
    assert status == 200 and answer["outputs"][0]["name"] == "names/seven" and answer["model_name"] == "renamed", answer
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/echo/ready", timeout=30) as response:
        assert response.status == 200
    text = {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}
    for model, expected, word in (
        ("fail", 400, "the ünit is off"), ("early", 502, "unanswered"), ("garbage", 502, "no message of its protocol"),
        ("short", 502, "within its answer"), ("another", 502, "another id"), ("oversized", 502, "larger"),
        ("mismatch", 502, "expected 8, found 4"),
    ):  # fmt: skip
        status, answer = post(port, f"/v2/models/{model}/infer", body)
        assert status == expected and word in answer["error"], (model, status, answer)
    status, answer = post(port, "/v2/models/echo/infer", text)
    assert status == 501 and "BYTES" in answer["error"], answer


def renamed(port):
    answer = Connection.to(port).ask(infer("renamed", [tensor("x", "INT32", [1], b"\1\2\3\4")], identity=8))
    assert list(answer.tensors) == ["names/seven"] and answer.id == 8, vars(answer)


def kept(port):
    """One connection serves all that come one after the other; one that was closed meanwhile is not an error."""
    connection = Connection.to(port)
    numbers = {connection.ask(infer("connection", [])).tensors["number"][2] for _ in range(20)}
    assert len(numbers) == 1, numbers
    for _ in range(5):
        assert connection.ask(infer("once", [], identity=6)).id == 6


def batched(port, http):
    """Three clients of this protocol in one batch, and one of HTTP, which wants its outputs as text, in its own."""
    rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.9, 3.0, 4.2, 1.5]]
    body = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 4], "data": rows[1]}],
            "outputs": [{"name": "label"}]}  # fmt: skip
    for model, name in (("iris", "label"), ("echo", "input")):
        connections = [Connection.to(port) for _ in rows]
        for number, (connection, row) in enumerate(zip(connections, rows)):
            sent = [tensor("input", "FP32", [1, 4], struct.pack("<4f", *row))]
            connection.send(infer(model, sent, identity=number + 1, outputs=[name]))
        asked = {**body, "outputs": [{"name": name}]}
        status, answer = post(http, f"/v2/models/{model}/infer", asked)
        assert status == 200, answer
        data = answer["outputs"][0]["data"]
        assert data == [2] if model == "iris" else [round(value, 5) for value in data] == rows[1], answer
        for number, (connection, row) in enumerate(zip(connections, rows)):
            answer = connection.read()
            assert answer.id == number + 1 and answer.kind == 0x81, vars(answer)
            good = struct.pack("<q", (0, 2, 1)[number]) if model == "iris" else struct.pack("<4f", *row)
            assert answer.tensors[name][2] == good, vars(answer)


def cancelled(port):
    connection = Connection.to(port)
    connection.send(infer("hang", []))
    other = Connection.to(port)
    assert other.ask(infer("begun", [])).tensors["yes"][2] == b"\1", "the endpoint was not asked"
    connection.socket.close()
    assert other.ask(infer("stopped", [])).tensors["yes"][2] == b"\1", "the endpoint was not told"


if __name__ == "__main__":
    globals()[sys.argv[1]](*map(int, sys.argv[2:]))
    print("ok")
