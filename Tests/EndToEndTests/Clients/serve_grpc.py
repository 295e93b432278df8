"""A server of gRPC that shows what crosses a proxy: `serve_grpc.py PORT`.

Generic handlers, so that no generated code is needed: messages are bytes. The service is `test.Echo`; beside it there
are gRPC's own health checking, for the services "good" and "tired", and its own reflection.
"""

import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

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


def turn(request, context):
    """Sets the health of a service: `name=STATUS`."""
    name, _, status = request.decode().partition("=")
    checker.set(name, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    return b""


class Echo(grpc.GenericRpcHandler):
    unary = {"Unary": unary, "Fail": fail, "Hang": hang, "WasCancelled": was_cancelled, "Turn": turn}
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


checker = health.HealthServicer()
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
checker.set("good", SERVING)
checker.set("tired", NOT_SERVING)
# The server as a whole says other than a gateway in front of it.
checker.set("", NOT_SERVING)

# What reflection tells of: messages are bytes here, so the file names none.
echo = descriptor_pb2.FileDescriptorProto(name="echo.proto", package="test")
echo.service.add(name="Echo")
descriptor_pool.Default().AddSerializedFile(echo.SerializeToString())

server = grpc.server(
    futures.ThreadPoolExecutor(32),
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
server.add_generic_rpc_handlers((Echo(),))
health_pb2_grpc.add_HealthServicer_to_server(checker, server)
reflection.enable_server_reflection(("test.Echo", health.SERVICE_NAME, reflection.SERVICE_NAME), server)
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print("ready", flush=True)
server.wait_for_termination()
