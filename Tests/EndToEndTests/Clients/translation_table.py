"""What drive_translation.py sends: the rows of its table, their shapes, and the codes of datatypes."""

import math

SHAPES = [[2, 3], [6], [], [0, 3], [1, 2, 1]]
# The letters of `struct`; half floats are given by their bits, all of them finite.
LETTERS = {"BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h",
           "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d", "BF16": "H"}
# A name, the datatype, and values at its bounds.
ROWS = [
    ("BOOL", "BOOL", [True, False, True, True, False, False]),
    ("UINT8", "UINT8", [0, 255, 128, 127, 1, 2]),
    ("UINT16", "UINT16", [0, 65535, 32768, 127, 128, 300]),
    ("UINT32", "UINT32", [0, 2**32 - 1, 2**31, 127, 128, 70000]),
    ("UINT64", "UINT64", [0, 2**64 - 1, 2**63, 127, 128, 2**40]),
    ("INT8", "INT8", [-128, 127, 0, -1, 5, 64]),
    ("INT16", "INT16", [-32768, 32767, 0, -1, 128, 300]),
    ("INT32", "INT32", [-(2**31), 2**31 - 1, 0, -1, 128, 70000]),
    ("INT64", "INT64", [-(2**63), 2**63 - 1, 0, -1, 128, 2**40]),
    ("FP16", "FP16", [1.0, -0.0, 65504.0, 0.5, 2.0**-24, -3.25]),
    ("FP32", "FP32", [0.0, -0.0, 1.5, 3.4028234663852886e38, 1.401298464324817e-45, -2.25]),
    ("FP64", "FP64", [0.0, -0.0, 1.1, 1.7976931348623157e308, 5e-324, -2.25]),
    ("BYTES", "BYTES", [b"", b"a", b"x" * 300, "\u00e4".encode(), b"\n", b'"\\']),
    ("BF16", "BF16", [0x3F80, 0x8000, 0x0001, 0xFF7F, 0x4049, 0xC000]),
    ("FP16, not finite", "FP16", [math.inf, -math.inf, math.nan, 1.0, math.inf, -1.0]),
    ("FP32, not finite", "FP32", [math.inf, -math.inf, math.nan, 1.0, math.inf, -1.0]),
    ("FP64, not finite", "FP64", [math.inf, -math.inf, math.nan, 1.0, math.inf, -1.0]),
    ("BF16, not finite", "BF16", [0x7F80, 0xFF80, 0x7FC0, 0x3F80, 0x7F80, 0xBF80]),
    ("BYTES, no UTF-8", "BYTES", [b"\xff", b"\x80a", b"\xc3", b"\xed\xa0\x80", b"\0", b"\xfe"]),
]
# Client, backend, bytes. What has text between is smaller: a number takes three bytes there in place of four.
LARGE = [
    ("v2-binary", "v2-grpc", 64 << 20), ("v2-grpc", "v2-binary", 64 << 20), ("v2-grpc", "tf-serving", 64 << 20),
    ("tf-serving", "model-service", 64 << 20), ("model-service", "in-process", 64 << 20),
    ("v2-json", "v2-grpc", 8 << 20), ("v2-grpc", "v2-json", 8 << 20), ("predict", "v2-binary", 8 << 20),
    ("v2-typed", "model-service", 8 << 20), ("tf-typed", "predict", 8 << 20),
    ("tcp", "v2-grpc", 64 << 20), ("v2-binary", "tcp", 64 << 20), ("tcp", "tcp", 8 << 20),
]
TENSORFLOW = {"BOOL": 10, "UINT8": 4, "UINT16": 17, "UINT32": 22, "UINT64": 23, "INT8": 6, "INT16": 5, "INT32": 3,
              "INT64": 9, "FP16": 19, "FP32": 1, "FP64": 2, "BYTES": 7, "BF16": 14}
