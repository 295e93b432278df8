"""tritonclient over TLS: drive_grpc_tls.py PORT CA."""

import sys

import numpy
import tritonclient.grpc as grpcclient

client = grpcclient.InferenceServerClient(f"localhost:{sys.argv[1]}", ssl=True, root_certificates=sys.argv[2])
assert client.is_server_live()
assert client.is_model_ready("iris")
given = grpcclient.InferInput("input", [2, 4], "FP32")
given.set_data_from_numpy(numpy.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], numpy.float32))
for _ in range(20):
    labels = client.infer("iris", [given]).as_numpy("label")
    assert labels.tolist() == [0, 2], labels
print("ok")
