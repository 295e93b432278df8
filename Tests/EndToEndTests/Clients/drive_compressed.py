"""Sends compressed requests: drive_compressed.py HOST:PORT MODEL...

Each model is served by what answers as `iris` does; what tritonclient and grpcio send compressed has to be answered as
what they send plain.
"""

import gzip
import json
import sys
import urllib.request

import numpy
import tritonclient.grpc
import tritonclient.http

import iris

address, models = sys.argv[1], sys.argv[2:]
rows = numpy.array([measurements for measurements, _ in iris.rows("held-out.csv")], dtype=numpy.float32)


def outputs(result):
    response = result.get_response()
    names = response["outputs"] if isinstance(response, dict) else response.outputs
    return [result.as_numpy(item["name"] if isinstance(item, dict) else item.name).tolist() for item in names]


with tritonclient.grpc.InferenceServerClient(address) as calls, \
        tritonclient.http.InferenceServerClient(address) as requests:
    for model in models:
        for client, module, option in (
                (calls, tritonclient.grpc, "compression_algorithm"),
                (requests, tritonclient.http, "request_compression_algorithm")):
            tensor = module.InferInput("input", list(rows.shape), "FP32")
            tensor.set_data_from_numpy(rows)
            plain = outputs(client.infer(model, [tensor]))
            assert plain, model
            for algorithm in ("gzip", "deflate"):
                assert outputs(client.infer(model, [tensor], **{option: algorithm})) == plain, (model, algorithm)

body = json.dumps({"instances": rows.tolist()}).encode()
for model in models:
    answers = []
    for content, fields in ((body, {}), (gzip.compress(body), {"Content-Encoding": "gzip"}),
                            # Two members, one after the other (RFC 1952, 2.2).
                            (gzip.compress(body[:99]) + gzip.compress(body[99:]), {"Content-Encoding": "gzip"})):
        request = urllib.request.Request(
            f"http://{address}/v1/models/{model}:predict", content, {"Content-Type": "application/json", **fields})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answers.append(json.load(answer))
    assert answers[0] == answers[1] == answers[2], model
print("compressed: fine")
