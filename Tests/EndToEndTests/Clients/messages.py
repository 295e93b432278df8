"""The protobuf messages of the protocols that are translated, made from the files in Protos: `v2`, `sluice`, `tf`."""

import pathlib
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[3]
SOURCES = ["inference/grpc_inference_service.proto", "tensorflow/predict.proto", "tensorflow/serving.proto",
           "sluice/v1/model_service.proto"]
with tempfile.TemporaryDirectory() as made:
    wellknown = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    command = ["protoc", f"-I{ROOT / 'Protos'}", f"-I{wellknown}", f"--python_out={made}", *SOURCES]
    if protoc.main(command) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, made)
    from inference import grpc_inference_service_pb2 as v2
    from sluice.v1 import model_service_pb2 as sluice
    from tensorflow import serving_pb2 as tf
