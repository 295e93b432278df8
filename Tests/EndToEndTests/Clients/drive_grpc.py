"""Calls `serve_grpc.py` through a gateway, one case of grpcio's at a time: `drive_grpc.py PORT CASE`."""

import queue
import sys

import grpc

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


globals()["case_" + sys.argv[2]]()
