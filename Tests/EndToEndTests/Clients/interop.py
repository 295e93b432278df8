"""What the two ends of the interoperability cases share: the messages of interop.proto, and whether a message came
compressed."""

import gzip
import pathlib
import sys
import tempfile

from grpc_tools import protoc

with tempfile.TemporaryDirectory() as made:
    here = pathlib.Path(__file__).parent
    if protoc.main(["protoc", f"-I{here}", f"--python_out={made}", "interop.proto"]) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, made)
    import interop_pb2 as messages

# Large messages are what the cases are about. Without decompression by grpcio a message shows how it was on the wire.
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           ("grpc.max_metadata_size", 1 << 20), ("grpc.absolute_max_metadata_size", 1 << 20),
           ("grpc.per_message_decompression", 0)]


def reader(kind):
    """Bytes to a message, which knows whether it `was_compressed`: no message begins with gzip's two bytes, for their
    first would be a field of a type that protobuf does not have."""

    def read(data):
        compressed = data[:2] == b"\x1f\x8b"
        return Message(kind.FromString(gzip.decompress(data) if compressed else data), compressed)

    return read


class Message:
    def __init__(self, content, was_compressed):
        self.content = content
        self.was_compressed = was_compressed

    def __getattr__(self, name):
        return getattr(self.content, name)


def write(message):
    return message.SerializeToString()
