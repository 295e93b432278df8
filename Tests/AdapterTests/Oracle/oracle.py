"""Google's protobuf library as the judge of the codecs.

    oracle.py vectors           prints a message of each kind for each datatype and shape:
                                KIND DATATYPE SHAPE DATA MESSAGE, the last two in hexadecimal
    oracle.py read FILE         reads lines of KIND MESSAGE and prints what each message says

The messages are made from Protos/, compiled into a directory that is gone afterwards.
"""

import pathlib
import struct
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[3]
SOURCES = ["inference/grpc_inference_service.proto", "tensorflow/predict.proto", "tensorflow/serving.proto",
           "sluice/v1/model_service.proto", "grpc/health/v1/health.proto"]

with tempfile.TemporaryDirectory() as made:
    wellknown = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    status = protoc.main(["protoc", f"-I{ROOT / 'Protos'}", f"-I{wellknown}", f"--python_out={made}", *SOURCES])
    if status != 0:
        sys.exit("protoc failed")
    # `grpc` is a package already; nothing imports the health protocol from there.
    sys.path.insert(0, made)
    from inference import grpc_inference_service_pb2 as v2
    from sluice.v1 import model_service_pb2 as sluice
    from tensorflow import predict_pb2 as tf
    from tensorflow import serving_pb2 as serving

NAN = float("nan")
INFINITY = float("inf")
# Datatype: struct's letter, values at and between the bounds. Half floats are given by their bits.
VALUES = {
    "BOOL": ("B", [1, 0, 1, 1, 0, 0]),
    "UINT8": ("B", [0, 255, 128, 127, 1, 2]),
    "UINT16": ("H", [0, 65535, 32768, 127, 128, 300]),
    "UINT32": ("I", [0, 2**32 - 1, 2**31, 127, 128, 70000]),
    "UINT64": ("Q", [0, 2**64 - 1, 2**63, 127, 128, 2**40]),
    "INT8": ("b", [-128, 127, 0, -1, 5, 64]),
    "INT16": ("h", [-32768, 32767, 0, -1, 128, 300]),
    "INT32": ("i", [-2**31, 2**31 - 1, 0, -1, 128, 70000]),
    "INT64": ("q", [-2**63, 2**63 - 1, 0, -1, 128, 2**40]),
    "FP16": ("H", [0x3C00, 0x8000, 0x7C00, 0x7E01, 0x0001, 0xFBFF]),
    "FP32": ("f", [0.0, -0.0, 1.5, INFINITY, NAN, 1e-45]),
    "FP64": ("d", [0.0, -0.0, 1.1, -INFINITY, NAN, 5e-324]),
    "BYTES": ("", [b"", b"a", b"\xff\x00", b"x" * 300, "ä".encode(), b"\n"]),
    "BF16": ("H", [0x3F80, 0x8000, 0x7F80, 0x7FC1, 0x0001, 0xFF7F]),
}
TENSORFLOW = {"BOOL": "DT_BOOL", "UINT8": "DT_UINT8", "UINT16": "DT_UINT16", "UINT32": "DT_UINT32",
              "UINT64": "DT_UINT64", "INT8": "DT_INT8", "INT16": "DT_INT16", "INT32": "DT_INT32", "INT64": "DT_INT64",
              "FP16": "DT_HALF", "FP32": "DT_FLOAT", "FP64": "DT_DOUBLE", "BYTES": "DT_STRING", "BF16": "DT_BFLOAT16"}
SHAPES = [[2, 3], [6], [], [0, 3], [1, 1, 2, 1]]


def v2_field(datatype):
    return {"BOOL": "bool_contents", "INT64": "int64_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents",
            "FP64": "fp64_contents", "BYTES": "bytes_contents"}.get(
                datatype, "int_contents" if datatype[0] == "I" else "uint_contents")


def tf_field(datatype):
    return {"BOOL": "bool_val", "INT64": "int64_val", "UINT64": "uint64_val", "UINT32": "uint32_val",
            "FP32": "float_val", "FP64": "double_val", "FP16": "half_val", "BF16": "half_val",
            "BYTES": "string_val"}.get(datatype, "int_val")


def pack(datatype, values):
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in values)
    return struct.pack(f"<{len(values)}{VALUES[datatype][0]}", *values)


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def v2_messages(datatype, shape, values, data):
    for direction, make in (("request", v2.ModelInferRequest), ("response", v2.ModelInferResponse)):
        for form in ("raw", "typed"):
            if form == "typed" and datatype in ("FP16", "BF16"):
                continue
            message = make(model_name="m", model_version="1", id="7")
            message.parameters["p"].double_param = 0.5
            tensors = message.inputs if direction == "request" else message.outputs
            tensor = tensors.add(name="x", datatype=datatype, shape=shape)
            tensor.parameters["q"].bool_param = False
            if form == "raw":
                raw = message.raw_input_contents if direction == "request" else message.raw_output_contents
                raw.append(data)
            else:
                getattr(tensor.contents, v2_field(datatype)).extend(values)
            yield f"v2-{direction}", message


def tf_messages(datatype, shape, values, data):
    for direction, make in (("request", serving.PredictRequest), ("response", serving.PredictResponse)):
        for form in ("content", "typed"):
            message = make()
            message.model_spec.name = "m"
            message.model_spec.version.value = 1
            message.model_spec.signature_name = "s"
            tensor = (message.inputs if direction == "request" else message.outputs)["x"]
            tensor.dtype = tf.DataType.Value(TENSORFLOW[datatype])
            for size in shape:
                tensor.tensor_shape.dim.add(size=size)
            if form == "typed":
                getattr(tensor, tf_field(datatype)).extend(values)
            elif datatype == "BYTES":
                tensor.tensor_content = b"".join(varint(len(value)) for value in values) + b"".join(values)
            else:
                tensor.tensor_content = data
            yield f"tf-{direction}", message


def sluice_messages(datatype, shape, values, data):
    for direction, make in (("request", sluice.UnifiedRequest), ("response", sluice.UnifiedResponse)):
        message = make(model="m", version="1", id="7")
        message.metadata["p"].number = 0.5
        tensor = message.tensors.add(
            name="x", datatype=sluice.DataType.Value("DATA_TYPE_" + datatype), shape=shape, data=data)
        tensor.metadata["q"].boolean = False
        yield f"sluice-{direction}", message


def vectors():
    for datatype, (_, values) in VALUES.items():
        for shape in SHAPES:
            count = 1
            for size in shape:
                count *= size
            data = pack(datatype, values[:count])
            for messages in (v2_messages, tf_messages, sluice_messages):
                for kind, message in messages(datatype, shape, values[:count], data):
                    shape_text = ",".join(map(str, shape)) or "-"
                    print(kind, datatype, shape_text, data.hex() or "-", message.SerializeToString().hex())


def text(name, datatype, shape, data):
    return f"{name}:{datatype}:{','.join(map(str, shape)) or '-'}:{data.hex() or '-'}"


def v2_parameters(parameters):
    return [f"{name}={parameters[name].WhichOneof('parameter_choice')}" for name in sorted(parameters)]


def read_v2(message, tensors, raw):
    out = [message.model_name, message.model_version, message.id, *v2_parameters(message.parameters)]
    for index, tensor in enumerate(tensors):
        if raw:
            data = raw[index]
        else:
            values = list(getattr(tensor.contents, v2_field(tensor.datatype)))
            data = pack(tensor.datatype, values)
        out.append(text(tensor.name, tensor.datatype, tensor.shape, data))
        out += v2_parameters(tensor.parameters)
    return out


def read_tf(message, tensors):
    out = [message.model_spec.name, str(message.model_spec.version.value) + message.model_spec.version_label,
           message.model_spec.signature_name]
    back = {value: name for name, value in TENSORFLOW.items()}
    for name in sorted(tensors):
        tensor = tensors[name]
        datatype = back[tf.DataType.Name(tensor.dtype)]
        data = tensor.tensor_content
        if datatype == "BYTES":
            data = pack(datatype, list(tensor.string_val))
        assert tensor.HasField("tensor_shape")
        out.append(text(name, datatype, [dim.size for dim in tensor.tensor_shape.dim], data))
    return out


def read_sluice(message):
    def values(entries):
        return [f"{name}={entries[name].WhichOneof('kind')}" for name in sorted(entries)]
    out = [message.model, message.version, message.id, *values(message.metadata)]
    for tensor in message.tensors:
        name = sluice.DataType.Name(tensor.datatype).removeprefix("DATA_TYPE_")
        out.append(text(tensor.name, name, tensor.shape, tensor.data))
        out += values(tensor.metadata)
    if message.HasField("data"):
        out.append(f"{message.data.type_url}:{message.data.value.hex()}")
    return out


def specs(tensors):
    return [f"{tensor.name}:{tensor.datatype}:{','.join(map(str, tensor.shape))}" for tensor in tensors]


def read_signature(message):
    made = serving.SignatureDefMap()
    assert message.metadata["signature_def"].Unpack(made)
    out = [message.model_spec.name, str(message.model_spec.version.value)]
    signature = made.signature_def["serving_default"]
    for infos in (signature.inputs, signature.outputs):
        for name in sorted(infos):
            sizes = ",".join(str(dim.size) for dim in infos[name].tensor_shape.dim)
            out.append(f"{name}:{tf.DataType.Name(infos[name].dtype)}:{sizes}")
    return out


READERS = {
    "v2-request": (v2.ModelInferRequest, lambda m: read_v2(m, m.inputs, m.raw_input_contents)
                   + [output.name for output in m.outputs]),
    "v2-response": (v2.ModelInferResponse, lambda m: read_v2(m, m.outputs, m.raw_output_contents)),
    "v2-metadata": (v2.ModelMetadataResponse,
                    lambda m: [m.name, *m.versions, m.platform, *specs(m.inputs), *specs(m.outputs)]),
    "v2-server": (v2.ServerMetadataResponse, lambda m: [m.name, m.version, *m.extensions]),
    "v2-name": (v2.ModelMetadataRequest, lambda m: [m.name, m.version]),
    "tf-request": (serving.PredictRequest, lambda m: read_tf(m, m.inputs) + list(m.output_filter)),
    "tf-response": (serving.PredictResponse, lambda m: read_tf(m, m.outputs)),
    "tf-metadata": (serving.GetModelMetadataResponse, read_signature),
    "tf-metadata-request": (serving.GetModelMetadataRequest,
                            lambda m: [m.model_spec.name, m.model_spec.version_label, *m.metadata_field]),
    "sluice-request": (sluice.UnifiedRequest, lambda m: read_sluice(m) + list(m.outputs)),
    "sluice-response": (sluice.UnifiedResponse, read_sluice),
    "sluice-batch": (sluice.BatchPredictRequest, lambda m: [part for r in m.requests for part in read_sluice(r)]),
}

if sys.argv[1] == "vectors":
    vectors()
else:
    for line in pathlib.Path(sys.argv[2]).read_text().splitlines():
        kind, _, encoded = line.partition(" ")
        make, reader = READERS[kind]
        print(" ".join(reader(make.FromString(bytes.fromhex(encoded)))))
