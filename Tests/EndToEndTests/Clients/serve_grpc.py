"""A server of gRPC that shows what crosses a proxy: `serve_grpc.py PORT`.

Generic handlers, so that no generated code is needed: messages are bytes. The service is `test.Echo`; beside it there
are gRPC's health checking, for the services "good" and "tired", and its reflection, of one file.
"""

import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2

cancelled = threading.Event()


def unary(request, context):
    """Echoes the message; metadata come back as initial and trailing metadata."""
    sent = context.invocation_metadata()
    context.send_initial_metadata(tuple(("echo-" + k, v) for k, v in sent if k.startswith("x-")))
    remaining = context.time_remaining()
    context.set_trailing_metadata(
        tuple(("trail-" + k, v) for k, v in sent if k.startswith("x-"))
        + (("remaining", "none" if remaining is None or remaining > 1e9 else f"{remaining:.3f}"),)
    )
    return request


def fail(request, context):
    code = int(request)
    context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x03\x00\xff"),))
    context.abort(next(c for c in grpc.StatusCode if c.value[0] == code), "no – não %41")


def fail_later(request, context):
    yield b"first"
    context.abort(grpc.StatusCode.DATA_LOSS, "half way")


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def join(requests, context):
    return b",".join(requests)


def reverse(requests, context):
    for request in requests:
        yield request[::-1]


def hang(request, context):
    done = threading.Event()
    context.add_callback(lambda: (cancelled.set(), done.set()))
    done.wait(30)
    return b""


def hang_stream(request, context):
    done = threading.Event()
    context.add_callback(lambda: (cancelled.set(), done.set()))
    yield b"first"
    done.wait(30)


def was_cancelled(request, context):
    answer = b"yes" if cancelled.wait(20) else b"no"
    cancelled.clear()
    return answer


class Echo(grpc.GenericRpcHandler):
    unary = {"Unary": unary, "Fail": fail, "Hang": hang, "WasCancelled": was_cancelled}
    server = {"Count": count, "FailLater": fail_later, "HangStream": hang_stream}

    def service(self, details):
        service, _, method = details.method[1:].partition("/")
        if service != "test.Echo":
            return None
        if method in self.unary:
            return grpc.unary_unary_rpc_method_handler(self.unary[method])
        if method in self.server:
            return grpc.unary_stream_rpc_method_handler(self.server[method])
        if method == "Join":
            return grpc.stream_unary_rpc_method_handler(join)
        if method == "Reverse":
            return grpc.stream_stream_rpc_method_handler(reverse)
        return None


def check(request, context):
    """HealthCheckRequest.service is field 1; HealthCheckResponse.status too: 1 serves, 2 does not."""
    answers = {b"\n\x04good": b"\x08\x01", b"\n\x05tired": b"\x08\x02"}
    if request not in answers:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return answers[request]


def field(number, content):
    """A field of bytes shorter than 128."""
    return bytes([number << 3 | 2, len(content)]) + content


def reflect(requests, context):
    """Answers each request as it comes: a list of services (7) by 6, a file that has a symbol (4) by 4."""
    file = descriptor_pb2.FileDescriptorProto(name="echo.proto", package="test")
    file.service.add(name="Echo")
    for request in requests:
        if request[0] == 7 << 3 | 2:
            yield field(2, request) + field(6, field(1, field(1, b"test.Echo")))
        else:
            yield field(2, request) + field(4, field(1, file.SerializeToString()))


class WellKnown(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(check)
        if details.method == "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":
            return grpc.stream_stream_rpc_method_handler(reflect)
        return None


server = grpc.server(
    futures.ThreadPoolExecutor(32),
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
server.add_generic_rpc_handlers((Echo(), WellKnown()))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print("ready", flush=True)
server.wait_for_termination()
