"""A server of gRPC that shows what crosses a proxy: `serve_grpc.py PORT`.

Generic handlers, so that no generated code is needed: messages are bytes. The service is `test.Echo`.
"""

import sys
import threading
from concurrent import futures

import grpc

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
    context.add_callback(done.set)
    done.wait(30)
    cancelled.set()
    return b""


def hang_stream(request, context):
    done = threading.Event()
    # Before the first message: once the call has ended, nobody comes back for a second one.
    context.add_callback(cancelled.set)
    context.add_callback(done.set)
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


server = grpc.server(
    futures.ThreadPoolExecutor(32),
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
server.add_generic_rpc_handlers((Echo(),))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print("ready", flush=True)
server.wait_for_termination()
