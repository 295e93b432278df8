"""Calls `serve_grpc.py` through a gateway, one case of grpcio's at a time: `drive_grpc.py PORT CASE`."""

import queue
import sys

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

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


def reflection(requests):
    return reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(requests.get, None), timeout=30)


def case_reflection():
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) >= {"test.Echo", "grpc.health.v1.Health"}, database.get_services()
    pool = descriptor_pool.DescriptorPool(database)
    service = pool.FindServiceByName("grpc.health.v1.Health")
    assert [method.name for method in service.methods][:2] == ["Check", "Watch"], service
    assert pool.FindServiceByName("test.Echo").file.name == "echo.proto"
    # A conversation: each request is made of the answer to the one before it.
    requests = queue.Queue()
    answers = reflection(requests)
    requests.put(reflection_pb2.ServerReflectionRequest(list_services=""))
    for named in next(answers).list_services_response.service:
        requests.put(reflection_pb2.ServerReflectionRequest(file_containing_symbol=named.name))
        answer = next(answers)
        assert answer.file_descriptor_response.file_descriptor_proto, answer
    requests.put(reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Such"))
    assert next(answers).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    requests.put(None)
    assert list(answers) == []


def case_no_reflection():
    requests = queue.Queue()
    requests.put(None)
    error = error_of(lambda: next(reflection(requests)))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error


SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
checker = health_pb2_grpc.HealthStub(channel)


def health(service):
    return checker.Check(health_pb2.HealthCheckRequest(service=service), timeout=30).status


def watch(service):
    return checker.Watch(health_pb2.HealthCheckRequest(service=service), timeout=30)


def case_health():
    for known in ("", "iris", "good"):
        assert health(known) == SERVING, known
    assert health("tired") == NOT_SERVING
    statuses = {
        "nobody": grpc.StatusCode.NOT_FOUND,
        "down": grpc.StatusCode.UNAVAILABLE,
        "plain": grpc.StatusCode.UNIMPLEMENTED,
    }
    for service, status in statuses.items():
        error = error_of(lambda: health(service))
        assert error.code() is status, (service, error)
    # Bytes that are no message.
    error = error_of(lambda: channel.unary_unary("/grpc.health.v1.Health/Check")(b"\n\x05ab", timeout=30))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error
    error = error_of(lambda: next(watch("")))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED and "Check" in error.details(), error
    error = error_of(lambda: channel.unary_unary("/grpc.health.v1.Health/Else")(b"", timeout=30))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error


def case_health_passes():
    # Of the server as a whole it is the server that speaks, which says other than the gateway would.
    assert health("good") == SERVING and health("tired") == NOT_SERVING and health("") == NOT_SERVING
    assert error_of(lambda: health("nobody")).code() is grpc.StatusCode.NOT_FOUND
    # What is watched is told of at once, and when it changes; what is not known may come to be.
    turn = channel.unary_unary("/test.Echo/Turn")
    good, late = watch("good"), watch("late")
    assert next(good).status == SERVING and next(late).status == SERVICE_UNKNOWN
    turn(b"good=NOT_SERVING", timeout=30)
    assert next(good).status == NOT_SERVING
    turn(b"late=SERVING", timeout=30)
    assert next(late).status == SERVING
    for call in (good, late):
        call.cancel()
    turn(b"good=SERVING", timeout=30)


globals()["case_" + sys.argv[2]]()
