"""The test service of the gRPC project on grpcio: `serve_interop.py PORT`.

What each method does is in https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md under "Server".
"""

import sys
import time
from concurrent import futures

import grpc

from interop import OPTIONS, messages, reader, write


def echo_metadata(context):
    sent = dict(context.invocation_metadata())
    name = "x-grpc-test-echo-initial"
    if name in sent:
        context.send_initial_metadata(((name, sent[name]),))
    name = "x-grpc-test-echo-trailing-bin"
    if name in sent:
        context.set_trailing_metadata(((name, sent[name]),))


def echo_status(request, context):
    if request.HasField("response_status"):
        code = next(code for code in grpc.StatusCode if code.value[0] == request.response_status.code)
        context.abort(code, request.response_status.message)


def check_compressed(request, context):
    if request.HasField("expect_compressed") and request.expect_compressed.value != request.was_compressed:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"compressed: {request.was_compressed}")


def payload(size):
    return messages.Payload(body=bytes(size))


def empty_call(request, context):
    echo_metadata(context)
    return messages.Empty()


def unary_call(request, context):
    if request.response_compressed.value:
        context.set_compression(grpc.Compression.Gzip)
    echo_metadata(context)
    check_compressed(request, context)
    echo_status(request, context)
    return messages.SimpleResponse(payload=payload(request.response_size))


def streaming_input_call(requests, context):
    size = 0
    for request in requests:
        check_compressed(request, context)
        size += len(request.payload.body)
    return messages.StreamingInputCallResponse(aggregated_payload_size=size)


def answers(request, context):
    echo_status(request, context)
    for wanted in request.response_parameters:
        time.sleep(wanted.interval_us / 1e6)
        if not wanted.compressed.value:
            context.disable_next_message_compression()
        yield messages.StreamingOutputCallResponse(payload=payload(wanted.size))


def streaming_output_call(request, context):
    if any(wanted.compressed.value for wanted in request.response_parameters):
        context.set_compression(grpc.Compression.Gzip)
    echo_metadata(context)
    yield from answers(request, context)


def full_duplex_call(requests, context):
    echo_metadata(context)
    for request in requests:
        yield from answers(request, context)


def half_duplex_call(requests, context):
    for request in list(requests):
        yield from answers(request, context)


class TestService(grpc.GenericRpcHandler):
    methods = {
        "EmptyCall": (grpc.unary_unary_rpc_method_handler, empty_call, messages.Empty),
        "UnaryCall": (grpc.unary_unary_rpc_method_handler, unary_call, messages.SimpleRequest),
        "StreamingInputCall": (
            grpc.stream_unary_rpc_method_handler, streaming_input_call, messages.StreamingInputCallRequest),
        "StreamingOutputCall": (
            grpc.unary_stream_rpc_method_handler, streaming_output_call, messages.StreamingOutputCallRequest),
        "FullDuplexCall": (
            grpc.stream_stream_rpc_method_handler, full_duplex_call, messages.StreamingOutputCallRequest),
        "HalfDuplexCall": (
            grpc.stream_stream_rpc_method_handler, half_duplex_call, messages.StreamingOutputCallRequest),
    }

    def service(self, details):
        service, _, method = details.method[1:].partition("/")
        if service != "grpc.testing.TestService" or method not in self.methods:
            return None
        make, work, kind = self.methods[method]
        return make(work, request_deserializer=reader(kind), response_serializer=write)


server = grpc.server(futures.ThreadPoolExecutor(64), options=OPTIONS)
server.add_generic_rpc_handlers((TestService(),))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print("ready", flush=True)
server.wait_for_termination()
