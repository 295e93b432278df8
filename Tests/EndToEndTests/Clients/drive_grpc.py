"""Calls `serve_grpc.py` through a gateway, one case of grpcio's at a time: `drive_grpc.py PORT CASE`."""

import queue
import sys

import grpc
from google.protobuf import descriptor_pb2

channel = grpc.insecure_channel(
    f"127.0.0.1:{sys.argv[1]}",
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
unary = channel.unary_unary("/test.Echo/Unary")


def error_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call went well")


def case_unary():
    answer, call = unary.with_call(b"hello", timeout=30, metadata=(("x-a", "1"), ("x-b-bin", b"\x00\xff\n")))
    assert answer == b"hello"
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert initial["echo-x-a"] == "1" and initial["echo-x-b-bin"] == b"\x00\xff\n", initial
    assert trailing["trail-x-a"] == "1" and trailing["trail-x-b-bin"] == b"\x00\xff\n", trailing
    # Passed on less the time spent.
    assert 0 < float(trailing["remaining"]) <= 30.0, trailing
    _, call = unary.with_call(b"")
    assert dict(call.trailing_metadata())["remaining"] == "none"


def case_empty():
    assert unary(b"", timeout=30) == b""


def case_large():
    for size in (16_383, 65_535, 1 << 20, 16 << 20):
        message = bytes(range(256)) * (size // 256)
        assert unary(message, timeout=60) == message


def case_streams():
    assert list(channel.unary_stream("/test.Echo/Count")(b"1000", timeout=30)) == [b"%d" % n for n in range(1000)]
    assert channel.stream_unary("/test.Echo/Join")((b"%d" % n for n in range(100)), timeout=30) == b",".join(
        b"%d" % n for n in range(100)
    )
    assert list(channel.stream_stream("/test.Echo/Reverse")(iter([]), timeout=30)) == []


def case_ping_pong():
    # Each answer comes before the next message is sent: nothing may be held back in either direction.
    messages = queue.Queue()
    answers = channel.stream_stream("/test.Echo/Reverse")(iter(messages.get, None), timeout=30)
    for number in range(50):
        messages.put(b"ab%d" % number)
        assert next(answers) == (b"ab%d" % number)[::-1]
    messages.put(None)
    assert list(answers) == []


def case_statuses():
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        error = error_of(lambda: channel.unary_unary("/test.Echo/Fail")(b"%d" % code.value[0], timeout=30))
        assert error.code() is code and error.details() == "no – não %41", error
        assert dict(error.trailing_metadata())["grpc-status-details-bin"] == b"\x08\x03\x00\xff"
    answers = channel.unary_stream("/test.Echo/FailLater")(b"", timeout=30)
    assert next(answers) == b"first"
    error = error_of(lambda: next(answers))
    assert error.code() is grpc.StatusCode.DATA_LOSS and error.details() == "half way"
    error = error_of(lambda: channel.unary_unary("/test.Echo/None")(b"", timeout=30))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def was_cancelled():
    return channel.unary_unary("/test.Echo/WasCancelled")(b"", timeout=30) == b"yes"


def case_deadline():
    error = error_of(lambda: channel.unary_unary("/test.Echo/Hang")(b"", timeout=0.3))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert was_cancelled()
    answers = channel.unary_stream("/test.Echo/HangStream")(b"", timeout=0.5)
    assert next(answers) == b"first"
    assert error_of(lambda: next(answers)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert was_cancelled()


def case_cancel():
    call = channel.unary_stream("/test.Echo/HangStream")(b"", timeout=30)
    assert next(call) == b"first"
    call.cancel()
    assert was_cancelled()


def case_compression():
    for algorithm in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        message = b"a" * 100_000
        assert unary(message, timeout=30, compression=algorithm) == message


def case_parallel():
    calls = [unary.future(b"%d" % n, timeout=60) for n in range(500)]
    assert [call.result() for call in calls] == [b"%d" % n for n in range(500)]


def case_unknown():
    error = error_of(lambda: channel.unary_unary("/nobody.Here/Call")(b"", timeout=30))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error
    assert "no adapter serves this method" in error.details(), error


def case_unreachable():
    error = error_of(lambda: unary(b"", timeout=30))
    assert error.code() is grpc.StatusCode.UNAVAILABLE, error
    assert error.details() == "the endpoint could not be reached", error


def case_plain_http():
    error = error_of(lambda: unary(b"", timeout=30))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error
    assert "HTTP/1.1" in error.details(), error


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def reflection():
    requests = queue.Queue()
    path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    return requests, channel.stream_stream(path)(iter(requests.get, None), timeout=30)


def case_reflection():
    # A conversation: each request is made of the answer to the one before it.
    requests, answers = reflection()
    question = field(7, b"*")
    requests.put(question)
    assert next(answers) == field(2, question) + field(6, field(1, field(1, b"test.Echo")))
    question = field(4, b"test.Echo")
    requests.put(question)
    answer = next(answers)
    head = field(2, question)
    assert answer.startswith(head), answer
    # Two fields of bytes, one in the other, around the file.
    file = descriptor_pb2.FileDescriptorProto.FromString(answer[len(head) + 4 :])
    assert [service.name for service in file.service] == ["Echo"], file
    requests.put(None)
    assert list(answers) == []


def case_no_reflection():
    requests, answers = reflection()
    requests.put(None)
    error = error_of(lambda: next(answers))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error


def health(service, message=None):
    call = channel.unary_unary("/grpc.health.v1.Health/Check")
    return call(field(1, service) if message is None else message, timeout=30)


def case_health():
    for known in (b"", b"iris", b"good"):
        assert health(known) == b"\x08\x01", known
    # A message without a field is the gateway, too.
    assert health(b"", message=b"") == b"\x08\x01"
    assert health(b"tired") == b"\x08\x02"
    statuses = {
        b"nobody": grpc.StatusCode.NOT_FOUND,
        b"down": grpc.StatusCode.UNAVAILABLE,
        b"plain": grpc.StatusCode.UNIMPLEMENTED,
    }
    for service, status in statuses.items():
        error = error_of(lambda: health(service))
        assert error.code() is status, (service, error)
    error = error_of(lambda: health(b"", message=b"\n\x05ab"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error
    error = error_of(lambda: next(channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED and "Check" in error.details(), error
    error = error_of(lambda: channel.unary_unary("/grpc.health.v1.Health/Else")(b"", timeout=30))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error


def case_health_passes():
    assert health(b"good") == b"\x08\x01" and health(b"tired") == b"\x08\x02"
    assert error_of(lambda: health(b"")).code() is grpc.StatusCode.NOT_FOUND


globals()["case_" + sys.argv[2]]()
