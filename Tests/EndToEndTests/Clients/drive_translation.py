"""A protocol of clients against protocols of backends: drive_translation.py PORT TCP_PORT CLIENT BACKEND...

The models behind the gateway are named after the protocol that is spoken toward them, and give back what they are
given. A cell of the table holds for a row of `ROWS` and a shape when the tensor comes back the same: to the bit where
both protocols are typed, and as the same numbers where JSON without types (`predict`) lies between. `refusal` lists
what a protocol cannot say; that has to be refused, with a status that blames the request, and all else has to work.

CLIENT may be `large`: then the cells of `LARGE` are tried, with 8 MB and 64 MB.

A further protocol is a function in `CLIENTS`, its name in TranslationTests.swift, and what it cannot say in `refusal`.
"""

import base64
import json
import struct
import sys
import time
import urllib.error
import urllib.request

import grpc
import length_prefixed
from messages import sluice, tf, v2
from translation_table import LARGE, LETTERS, ROWS, SHAPES, TENSORFLOW

PORT, TCP_PORT = sys.argv[1], int(sys.argv[2])


class Refused(Exception):
    """`blamed`: the status says that it is the request which cannot be served."""

    def __init__(self, blamed, text):
        super().__init__(text)
        self.blamed = blamed


def count_of(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def raw_of(datatype, values):
    if isinstance(values, bytes):
        return values
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in values)
    return struct.pack(f"<{len(values)}{LETTERS[datatype]}", *values)


def values_of(datatype, raw):
    """Large tensors stay bytes."""
    if datatype == "BYTES":
        values, place = [], 0
        while place < len(raw):
            size = struct.unpack_from("<I", raw, place)[0]
            values.append(raw[place + 4:place + 4 + size])
            place += 4 + size
        return values
    letter = LETTERS[datatype]
    return raw if len(raw) >= 1 << 20 else list(struct.unpack(f"<{len(raw) // struct.calcsize(letter)}{letter}", raw))


def number_of(datatype, value):
    """A value as the number it stands for."""
    return struct.unpack("<f", struct.pack("<I", value << 16))[0] if datatype == "BF16" else value


def nested(values, shape):
    if not shape:
        return values[0]
    step = len(values) // shape[0] if shape[0] else 0
    return [nested(values[index * step:(index + 1) * step], shape[1:]) for index in range(shape[0])]


def flat(tree):
    if not isinstance(tree, list):
        return [], [tree]
    if not any(isinstance(branch, list) for branch in tree):
        return [len(tree)], tree
    shapes, values = zip(*(flat(branch) for branch in tree))
    return [len(tree)] + shapes[0], [value for part in values for value in part]


def post(path, body, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        raise Refused(error.code in (400, 415, 422, 501), f"{error.code} {error.read().decode()}") from None


def json_value(datatype, value):
    if datatype != "BYTES":
        return number_of(datatype, value)
    # Bytes that are no text are written as if they were: the gateway sees invalid UTF-8.
    return value.decode(errors="surrogateescape")


def v2_json(model, datatype, shape, values):
    data = [json_value(datatype, value) for value in values]
    body = {"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]}
    text = json.dumps(body, ensure_ascii=False).encode(errors="surrogateescape")
    _, answer = post(f"/v2/models/{model}/infer", text)
    tensor = json.loads(answer)["outputs"][0]
    found = tensor["data"]
    if tensor["datatype"] == "BYTES":
        found = [value.encode() for value in found]
    return tensor["datatype"], tensor["shape"], found


def v2_binary(model, datatype, shape, values):
    raw = raw_of(datatype, values)
    head = json.dumps({
        "inputs": [{"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}],
        "parameters": {"binary_data_output": True},
    }).encode()
    headers, answer = post(
        f"/v2/models/{model}/infer", head + raw, **{"Inference-Header-Content-Length": str(len(head))})
    fields = {name.lower(): value for name, value in headers.items()}
    size = int(fields["inference-header-content-length"])
    tensor = json.loads(answer[:size])["outputs"][0]
    return tensor["datatype"], tensor["shape"], values_of(tensor["datatype"], answer[size:])


def predict(model, datatype, shape, values):
    if datatype == "BYTES":
        values = [{"b64": base64.b64encode(value).decode()} for value in values]
    else:
        values = [json_value(datatype, value) for value in values]
    _, answer = post(f"/v1/models/{model}:predict", json.dumps({"inputs": {"x": nested(values, shape)}}).encode())
    return untyped_answer(datatype, json.loads(answer)["outputs"])


def predict_rows(model, datatype, shape, values):
    """The other layout of the protocol; without a first dimension there are no rows."""
    if not shape or not values:
        return predict(model, datatype, shape, values)
    if datatype == "BYTES":
        values = [{"b64": base64.b64encode(value).decode()} for value in values]
    else:
        values = [json_value(datatype, value) for value in values]
    rows = [{"x": row} for row in nested(values, shape)]
    _, answer = post(f"/v1/models/{model}:predict", json.dumps({"instances": rows}).encode())
    return untyped_answer(datatype, json.loads(answer)["predictions"])


def untyped_answer(datatype, outputs):
    shape, found = flat(outputs)
    if datatype == "BYTES":
        found = [base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode() for value in found]
    return None, shape, found


channel = grpc.insecure_channel(f"127.0.0.1:{PORT}", options=[
    ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])


def call(path, request, response):
    method = channel.unary_unary(path, request_serializer=lambda m: m.SerializeToString(),
                                 response_deserializer=response.FromString)
    try:
        return method(request, timeout=60)
    except grpc.RpcError as error:
        blamed = error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)
        raise Refused(blamed, f"{error.code()} {error.details()}") from None


def v2_grpc(model, datatype, shape, values):
    request = v2.ModelInferRequest(model_name=model)
    request.inputs.add(name="x", datatype=datatype, shape=shape)
    request.raw_input_contents.append(raw_of(datatype, values))
    answer = call("/inference.GRPCInferenceService/ModelInfer", request, v2.ModelInferResponse)
    tensor = answer.outputs[0]
    # A call that goes on in its own protocol shows the name that its backend has.
    assert answer.model_name == ("in-process" if model == "v2-grpc" else model), answer
    return tensor.datatype, list(tensor.shape), values_of(tensor.datatype, answer.raw_output_contents[0])


CONTENTS = {"BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
            "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
            "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}


def v2_typed(model, datatype, shape, values):
    if datatype not in CONTENTS:
        return v2_grpc(model, datatype, shape, values)
    request = v2.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="x", datatype=datatype, shape=shape)
    getattr(tensor.contents, CONTENTS[datatype]).extend(values)
    answer = call("/inference.GRPCInferenceService/ModelInfer", request, v2.ModelInferResponse)
    tensor = answer.outputs[0]
    if answer.raw_output_contents:
        return tensor.datatype, list(tensor.shape), values_of(tensor.datatype, answer.raw_output_contents[0])
    return tensor.datatype, list(tensor.shape), list(getattr(tensor.contents, CONTENTS[tensor.datatype]))


TENSORFLOW_VALUES = {"BOOL": "bool_val", "UINT8": "int_val", "UINT16": "int_val", "UINT32": "uint32_val",
                     "UINT64": "uint64_val", "INT8": "int_val", "INT16": "int_val", "INT32": "int_val",
                     "INT64": "int64_val", "FP16": "half_val", "FP32": "float_val", "FP64": "double_val",
                     "BYTES": "string_val", "BF16": "half_val"}


def tf_serving(model, datatype, shape, values, typed=False):
    request = tf.PredictRequest()
    request.model_spec.name = model
    tensor = request.inputs["x"]
    tensor.dtype = TENSORFLOW[datatype]
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    if typed or datatype == "BYTES":
        # Of half floats, the bits.
        values = struct.unpack(f"<{len(values)}H", raw_of(datatype, values)) if datatype == "FP16" else values
        getattr(tensor, TENSORFLOW_VALUES[datatype]).extend(values)
    else:
        tensor.tensor_content = raw_of(datatype, values)
    outputs = call("/tensorflow.serving.PredictionService/Predict", request, tf.PredictResponse).outputs
    # The only output of an answer in columns has no name.
    (answer,) = outputs.values()
    found = next(name for name, number in TENSORFLOW.items() if number == answer.dtype)
    shape = [dim.size for dim in answer.tensor_shape.dim]
    values = list(answer.string_val) if found == "BYTES" else values_of(found, answer.tensor_content)
    return found, shape, values


def tf_typed(model, datatype, shape, values):
    return tf_serving(model, datatype, shape, values, typed=True)


def model_service(model, datatype, shape, values):
    request = sluice.UnifiedRequest(model=model)
    number = sluice.DataType.Value("DATA_TYPE_" + datatype)
    request.tensors.add(name="x", datatype=number, shape=shape, data=raw_of(datatype, values))
    answer = call("/sluice.v1.ModelService/Predict", request, sluice.UnifiedResponse)
    tensor = answer.tensors[0]
    found = sluice.DataType.Name(tensor.datatype).removeprefix("DATA_TYPE_")
    return found, list(tensor.shape), values_of(found, tensor.data)


def over_tcp(model, datatype, shape, values):
    if datatype not in length_prefixed.DATATYPES:
        raise Refused(True, "the client cannot say it")
    tensor = length_prefixed.tensor("x", datatype, shape, raw_of(datatype, values))
    connection = length_prefixed.Connection.to(TCP_PORT)
    with connection.socket:
        answer = connection.ask(length_prefixed.infer(model, [tensor]))
    if answer.kind == length_prefixed.ERROR:
        # INVALID_ARGUMENT and UNIMPLEMENTED.
        raise Refused(answer.status in (3, 12), f"{answer.status} {answer.reason}")
    (found, shape, data), = answer.tensors.values()
    return found, shape, values_of(found, data)


CLIENTS = {"predict": predict, "predict-rows": predict_rows, "v2-json": v2_json, "v2-binary": v2_binary,
           "v2-grpc": v2_grpc, "v2-typed": v2_typed, "tf-serving": tf_serving, "tf-typed": tf_typed,
           "model-service": model_service, "tcp": over_tcp}
UNTYPED = {"predict", "predict-rows"}
# What a backend would read in place of such a number is no matter: the gateway itself refuses, in these words.
NOT_FINITE = "JSON has no NaN and no infinities"


def refusal(client, backend, row, datatype):
    """What a protocol cannot say, or None."""
    if datatype == "BYTES" and "tcp" in (client, backend):
        return "the protocol over TCP has no tensors of texts"
    if row.endswith("not finite"):
        if client in UNTYPED | {"v2-json"}:
            return "JSON has no numbers that are not finite"
        if backend == "predict" or backend == "v2-json" and client != "v2-binary":
            return NOT_FINITE
    if client not in UNTYPED and datatype in ("FP16", "BF16"):
        if client == "v2-json":
            return "the JSON of the Open Inference Protocol has no half floats"
        # From its own binary form the protocol goes through as it is.
        if backend == "v2-json" and client != "v2-binary":
            return "a backend that is only sent JSON cannot be sent half floats"
    if row == "BYTES, no UTF-8":
        if client == "v2-json":
            return "the JSON of the Open Inference Protocol has bytes that are text alone"
        if backend == "v2-json" and client != "v2-binary":
            return "a backend that is only sent JSON cannot be sent bytes that are no text"
    return None


def same(datatype, found, wanted, exact):
    """`exact`: the same values of the same kind; else the same numbers, as far as the datatype tells them apart."""
    if exact:
        return [repr(value) for value in found] == [repr(value) for value in wanted]
    if datatype == "BYTES":
        return found == wanted
    if datatype in ("FP16", "BF16", "FP32"):
        # JSON writes the shortest digits that stand for the same binary32.
        found, wanted = ([struct.pack("<f", value) for value in values] for values in (found, wanted))
        return found == wanted
    return len(found) == len(wanted) and all(float(a) == float(b) for a, b in zip(found, wanted))


def check(client, backend, row, datatype, shape, values):
    """What is wrong with a cell, or None."""
    # A list without elements does not tell what they would be.
    untold = client in UNTYPED and backend == "tcp" and not values
    reason = None if untold else refusal(client, backend, row if values else "", datatype)
    try:
        found_type, found_shape, found = CLIENTS[client](backend, datatype, shape, values)
    except Refused as error:
        if reason is None:
            return f"refused: {error}"
        if reason == NOT_FINITE and reason not in str(error):
            return f"refused by the backend alone: {error}"
        return None if error.blamed else f"refused, but not as the request's fault: {error}"
    if reason is not None:
        return f"not refused, though {reason}: {found}"
    if client in UNTYPED or backend in UNTYPED:
        wanted = [number_of(datatype, value) for value in values]
        numbers = [number_of(found_type, value) if found_type else value for value in found]
        fine = same(datatype, numbers, wanted, exact=False)
        # Lists without elements do not tell how long those would be that they do not hold.
        if not count_of(shape):
            found_shape = shape
    else:
        exact = not (client == "v2-json" and datatype == "FP32")
        fine = found_type == datatype and same(datatype, found, values, exact)
    return None if fine and list(found_shape) == shape else f"{found_type} {found_shape} {found} in place of {values}"


def check_large(client, backend, size):
    count = size // 4
    raw = struct.pack("<250f", *(value / 2 for value in range(250)))
    raw = (raw * (size // len(raw) + 1))[:size]
    lists = client in ("predict", "v2-json", "v2-typed", "tf-typed")
    values = list(struct.unpack(f"<{count}f", raw)) if lists else raw
    found_type, shape, found = CLIENTS[client](backend, "FP32", [2, count // 2], values)
    # `predict` has made FP64 of them.
    if found_type == "FP64":
        found = struct.unpack(f"<{count}d", found)
    if not isinstance(found, bytes):
        found = struct.pack(f"<{len(found)}f", *found)
    return None if shape == [2, count // 2] and found == raw else f"{shape}, {len(found)} bytes"


def cells(client, backends):
    if client == "large":
        for client, backend, size in LARGE:
            yield f"{client} > {backend}, {size >> 20} MB", lambda: check_large(client, backend, size)
        return
    for backend in backends:
        for row, datatype, samples in ROWS:
            for shape in SHAPES:
                values = samples[:count_of(shape)]
                yield f"{client} > {backend}, {row} {shape}", lambda: check(
                    client, backend, row, datatype, shape, values)


failures = []
count = 0
for cell, examine in cells(sys.argv[3], sys.argv[4:]):
    count += 1
    started = time.monotonic()
    try:
        wrong = examine()
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    if wrong is not None:
        failures.append(f"{cell}: {wrong}")
    if sys.argv[3] == "large":
        print(f"{cell}: {time.monotonic() - started:.1f} s")
print(f"{count} cells of {sys.argv[3]}, {len(failures)} wrong")
for failure in failures:
    print(failure[:400])
sys.exit(1 if failures else 0)
