"""The gRPC project's interoperability cases against `serve_interop.py`, through a gateway: `drive_interop.py PORT`.

They are described in https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md, and named as there.
`client_compressed_streaming` is in InteropTests.swift: grpcio compresses all messages of a call or none. Not here are
those that need accounts of a cloud (`compute_engine_creds`, `jwt_token_creds`, `oauth2_auth_token`, `per_rpc_creds`,
`google_default_credentials`), xDS (`rpc_behavior` and others) or load reports (`orca_per_rpc`, `orca_oob`).
"""

import queue
import sys

import grpc

from interop import OPTIONS, messages, reader, write

PORT = sys.argv[1]
SERVICE = "/grpc.testing.TestService/"
REQUEST, RESPONSE = 271828, 314159


def connect():
    return grpc.insecure_channel(f"127.0.0.1:{PORT}", options=OPTIONS)


channel = connect()


def method(kind, name, answer, service=SERVICE, channel=channel):
    return getattr(channel, kind)(service + name, request_serializer=write, response_deserializer=reader(answer))


empty = method("unary_unary", "EmptyCall", messages.Empty)
unary = method("unary_unary", "UnaryCall", messages.SimpleResponse)
upload = method("stream_unary", "StreamingInputCall", messages.StreamingInputCallResponse)
download = method("unary_stream", "StreamingOutputCall", messages.StreamingOutputCallResponse)
duplex = method("stream_stream", "FullDuplexCall", messages.StreamingOutputCallResponse)
half_duplex = method("stream_stream", "HalfDuplexCall", messages.StreamingOutputCallResponse)


def zeroes(size):
    return messages.Payload(body=bytes(size))


def boolean(value):
    return messages.BoolValue(value=value)


def simple(size=RESPONSE, **fields):
    return messages.SimpleRequest(response_size=size, payload=zeroes(REQUEST), **fields)


def output(*sizes, body=0, **fields):
    wanted = [messages.ResponseParameters(size=size) for size in sizes]
    return messages.StreamingOutputCallRequest(response_parameters=wanted, payload=zeroes(body), **fields)


def error_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call went well")


def sizes(answers):
    answers = list(answers)
    assert all(not any(answer.payload.body) for answer in answers)
    return [len(answer.payload.body) for answer in answers]


class Requests:
    """Messages one by one, as a case wants them."""

    def __init__(self):
        self.queue = queue.Queue()

    def __iter__(self):
        return iter(self.queue.get, None)

    def send(self, message):
        self.queue.put(message)

    def close(self):
        self.queue.put(None)


def case_empty_unary():
    assert empty(messages.Empty(), timeout=30).content == messages.Empty()


def case_large_unary():
    assert sizes([unary(simple(), timeout=30)]) == [RESPONSE]


def case_client_compressed_unary():
    probe = simple(expect_compressed=boolean(True))
    assert error_of(lambda: unary(probe, timeout=30)).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sizes([unary(probe, timeout=30, compression=grpc.Compression.Gzip)]) == [RESPONSE]
    assert sizes([unary(simple(expect_compressed=boolean(False)), timeout=30)]) == [RESPONSE]


def case_server_compressed_unary():
    for wanted in (True, False):
        answer = unary(simple(response_compressed=boolean(wanted)), timeout=30)
        assert answer.was_compressed is wanted and sizes([answer]) == [RESPONSE], wanted


def case_client_streaming():
    requests = (messages.StreamingInputCallRequest(payload=zeroes(size)) for size in (27182, 8, 1828, 45904))
    assert upload(requests, timeout=30).aggregated_payload_size == 74922


def case_server_streaming():
    assert sizes(download(output(31415, 9, 2653, 58979), timeout=30)) == [31415, 9, 2653, 58979]


def case_server_compressed_streaming():
    request = output(31415, 92653)
    request.response_parameters[0].compressed.value = True
    request.response_parameters[1].compressed.value = False
    answers = list(download(request, timeout=30))
    assert [answer.was_compressed for answer in answers] == [True, False]
    assert sizes(answers) == [31415, 92653]


def case_ping_pong():
    requests = Requests()
    answers = duplex(iter(requests), timeout=30)
    for size, body in ((31415, 27182), (9, 8), (2653, 1828), (58979, 45904)):
        requests.send(output(size, body=body))
        assert sizes([next(answers)]) == [size]
    requests.close()
    assert list(answers) == [] and answers.code() is grpc.StatusCode.OK


def case_empty_stream():
    answers = duplex(iter([]), timeout=30)
    assert list(answers) == [] and answers.code() is grpc.StatusCode.OK


def case_half_duplex():
    requests = (output(size, body=body) for size, body in ((31415, 27182), (9, 8), (2653, 1828)))
    assert sizes(half_duplex(requests, timeout=30)) == [31415, 9, 2653]


def case_custom_metadata():
    sent = (("x-grpc-test-echo-initial", "test_initial_metadata_value"),
            ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"))
    answer, call = unary.with_call(simple(), timeout=30, metadata=sent)
    stream = duplex(iter([output(RESPONSE, body=REQUEST)]), timeout=30, metadata=sent)
    assert sizes([answer]) == sizes(stream) == [RESPONSE]
    for one in (call, stream):
        assert dict(one.initial_metadata())[sent[0][0]] == sent[0][1]
        assert dict(one.trailing_metadata())[sent[1][0]] == sent[1][1]


def statuses(message):
    status = messages.EchoStatus(code=2, message=message)
    calls = (lambda: unary(messages.SimpleRequest(response_status=status), timeout=30),
             lambda: list(duplex(iter([output(response_status=status)]), timeout=30)))
    for call in calls:
        error = error_of(call)
        assert error.code() is grpc.StatusCode.UNKNOWN and error.details() == message, error


def case_status_code_and_message():
    statuses("test status message")


def case_special_status_message():
    statuses("\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n")


def case_unimplemented_method():
    call = method("unary_unary", "UnimplementedCall", messages.Empty)
    assert error_of(lambda: call(messages.Empty(), timeout=30)).code() is grpc.StatusCode.UNIMPLEMENTED


def case_unimplemented_service():
    call = method("unary_unary", "UnimplementedCall", messages.Empty, "/grpc.testing.UnimplementedService/")
    assert error_of(lambda: call(messages.Empty(), timeout=30)).code() is grpc.StatusCode.UNIMPLEMENTED


def case_cancel_after_begin():
    requests = Requests()
    call = upload.future(iter(requests), timeout=30)
    call.cancel()
    requests.close()
    assert call.cancelled() and call.code() is grpc.StatusCode.CANCELLED


def case_cancel_after_first_response():
    requests = Requests()
    answers = duplex(iter(requests), timeout=30)
    requests.send(output(31415, body=27182))
    assert sizes([next(answers)]) == [31415]
    answers.cancel()
    requests.close()
    assert answers.code() is grpc.StatusCode.CANCELLED


def case_timeout_on_sleeping_server():
    # With 1 ms, as the document has it, the client gives up before it has sent; with 200 ms it is under way.
    for timeout in (0.001, 0.2):
        requests = Requests()
        requests.send(output(body=27182))
        error = error_of(lambda: list(duplex(iter(requests), timeout=timeout)))
        requests.close()
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED, error


def case_concurrent_large_unary():
    calls = [unary.future(simple(), timeout=60) for _ in range(200)]
    assert sizes(call.result() for call in calls) == [RESPONSE] * 200


def case_large_metadata():
    # Of the document's list of what should be tested too: one field that takes several CONTINUATION frames.
    value = "X" * 60_000
    _, call = empty.with_call(messages.Empty(), timeout=30, metadata=(("x-grpc-test-echo-initial", value),))
    assert dict(call.initial_metadata())["x-grpc-test-echo-initial"] == value


def case_rpc_soak():
    for _ in range(200):
        assert sizes([unary(simple(), timeout=30)]) == [RESPONSE]


def case_channel_soak():
    for _ in range(30):
        with connect() as other:
            call = method("unary_unary", "UnaryCall", messages.SimpleResponse, channel=other)
            assert sizes([call(simple(), timeout=30)]) == [RESPONSE]


cases = {name.removeprefix("case_"): case for name, case in list(globals().items()) if name.startswith("case_")}
failures = 0
for name, case in cases.items():
    if sys.argv[2:] and name not in sys.argv[2:]:
        continue
    try:
        case()
        print(f"{name}: passed")
    except Exception as error:
        failures += 1
        print(f"{name}: {type(error).__name__} {error}")
print(f"{len(cases)} cases, {failures} failed")
sys.exit(1 if failures else 0)
