"""Drives a served `iris` model with tritonclient.http: drive_tritonclient.py HOST:PORT MINIMUM json|binary.

MLServer and kserve speak JSON alone or binary too; `MINIMUM` is the accuracy on the held-out rows.
"""

import sys

import numpy
import tritonclient.http as triton

import iris

address, minimum = sys.argv[1], float(sys.argv[2])
encodings = (False, True) if sys.argv[3] == "binary" else (False,)
model = "iris"
held_out = iris.rows("held-out.csv")
wanted = [label for _, label in held_out]


def labels_of(result):
    """The class of each row: the first integer output, whatever the server calls it."""
    for output in result.get_response()["outputs"]:
        if output["datatype"] in ("INT64", "INT32"):
            return result.as_numpy(output["name"]).reshape(-1).tolist()
    raise SystemExit(f"no integer output in {result.get_response()}")


def infer(client, rows, datatype, dtype, binary_input, binary_output, **options):
    tensor = triton.InferInput("input", [len(rows), 4], datatype)
    tensor.set_data_from_numpy(numpy.array(rows, dtype=dtype), binary_data=binary_input)
    if binary_output:
        return client.infer(model, [tensor], **options)
    metadata = client.get_model_metadata(model)
    outputs = [triton.InferRequestedOutput(item["name"], binary_data=False) for item in metadata["outputs"]]
    return client.infer(model, [tensor], outputs=outputs, **options)


with triton.InferenceServerClient(address, concurrency=4) as client:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(model)
    assert client.is_model_ready(model, "1")
    assert not client.is_model_ready("no-such-model")
    assert client.get_model_metadata(model)["name"] == model
    assert "name" in client.get_server_metadata()
    rows = [measurements for measurements, _ in held_out]
    for datatype, dtype in (("FP32", numpy.float32), ("FP64", numpy.float64)):
        for binary_input in encodings:
            for binary_output in encodings:
                result = infer(client, rows, datatype, dtype, binary_input, binary_output, request_id="17")
                labels = labels_of(result)
                accuracy = sum(a == b for a, b in zip(labels, wanted)) / len(wanted)
                assert accuracy >= minimum, (datatype, binary_input, binary_output, accuracy)
                assert result.get_response().get("id") == "17", result.get_response()
    outputs = [
        triton.InferRequestedOutput(item["name"], binary_data=encodings[-1])
        for item in client.get_model_metadata(model)["outputs"]
    ]
    pending = []
    for row, _ in held_out[:8]:
        tensor = triton.InferInput("input", [1, 4], "FP32")
        tensor.set_data_from_numpy(numpy.array([row], dtype=numpy.float32), binary_data=encodings[-1])
        pending.append(client.async_infer(model, [tensor], outputs=outputs))
    assert [labels_of(request.get_result())[0] for request in pending] == labels_of(
        infer(client, rows[:8], "FP32", numpy.float32, encodings[-1], encodings[-1]))
    try:
        infer(client, rows[:1], "FP32", numpy.float32, encodings[-1], encodings[-1], model_version="99")
    except triton.InferenceServerException as error:
        assert error.status() in ("404", "400"), error.status()
    else:
        raise SystemExit("version 99 answered")
print("tritonclient: fine")
