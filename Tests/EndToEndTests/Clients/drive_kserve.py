"""Drives a served `iris` model with the kserve client: drive_kserve.py URL MINIMUM_ACCURACY v1|v2."""

import asyncio
import sys

import numpy
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

import iris

url, minimum, protocol = sys.argv[1], float(sys.argv[2]), sys.argv[3]
held_out = iris.rows("held-out.csv")
rows = [measurements for measurements, _ in held_out]
wanted = [label for _, label in held_out]


def check(labels):
    accuracy = sum(a == b for a, b in zip(labels, wanted)) / len(wanted)
    assert len(labels) == len(wanted) and accuracy >= minimum, (labels, accuracy)


async def main():
    client = InferenceRESTClient(RESTConfig(protocol=protocol, retries=0, timeout=30))
    if protocol == "v1":
        answer = await client.infer(url, {"instances": rows}, model_name="iris")
        predictions = answer["predictions"]
        if isinstance(predictions[0], dict):
            predictions = [prediction["label"] for prediction in predictions]
        check(predictions)
    else:
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, "iris")
        for binary in (False, True):
            tensor = InferInput(name="input", shape=[len(rows), 4], datatype="FP32")
            tensor.set_data_from_numpy(numpy.array(rows, dtype=numpy.float32), binary_data=binary)
            answer = await client.infer(url, InferRequest(model_name="iris", infer_inputs=[tensor]), model_name="iris")
            labels = next(output for output in answer.outputs if output.datatype in ("INT64", "INT32"))
            check(labels.as_numpy().reshape(-1).tolist())
    await client.close()
    print(f"kserve {protocol}: fine")


asyncio.run(main())
