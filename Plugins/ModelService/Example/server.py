"""A model server for the gateway's own protocol, Protos/sluice/v1/model_service.proto, in grpcio and protobuf alone.

Its one model, `line`, is y = 2 a + 3 b + 1 for each row (a, b) of its input. To serve a model of your own, replace
`line` and its name in MODELS: a function from a request to the tensors of its answer.
"""

import argparse
import array
import concurrent.futures
import signal
import sys

import grpc

import health_pb2
from sluice.v1 import model_service_pb2 as sluice

# Messages, in bytes: grpcio's own limit of 4 MiB is a small batch of images. As much as the gateway takes by default.
MAXIMUM_MESSAGE = 256 << 20


class Refused(Exception):
    """An error for the client: a code of gRPC and words."""

    def __init__(self, code, words):
        super().__init__(words)
        self.code = code


def line(request):
    """The gateway's batchers join requests along the first dimension, so an answer has as many rows as its request."""
    tensors = request.tensors
    if (len(tensors) != 1 or tensors[0].name != "x" or tensors[0].datatype != sluice.DATA_TYPE_FP32
            or len(tensors[0].shape) != 2 or tensors[0].shape[1] != 2):
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "the model takes one tensor x, FP32 of shape [n, 2]")
    values = array.array("f", tensors[0].data)
    if len(values) != 2 * tensors[0].shape[0]:
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "the tensor is not as large as its shape says")
    if sys.byteorder == "big":
        values.byteswap()
    rows = array.array("f", [2 * a + 3 * b + 1 for a, b in zip(values[::2], values[1::2])])
    if sys.byteorder == "big":
        rows.byteswap()
    return [sluice.Tensor(name="y", datatype=sluice.DATA_TYPE_FP32, shape=[len(rows)], data=rows.tobytes())]


MODELS = {"line": line}


def answer(request):
    model = MODELS.get(request.model)
    if model is None:
        raise Refused(grpc.StatusCode.NOT_FOUND, f"no model '{request.model}'")
    tensors = model(request)
    if request.outputs:
        tensors = [tensor for tensor in tensors if tensor.name in request.outputs]
    return sluice.UnifiedResponse(model=request.model, version=request.version, id=request.id, tensors=tensors)


def predict(request, context):
    try:
        return answer(request)
    except Refused as refused:
        context.abort(refused.code, str(refused))


def batch_predict(request, context):
    """An error of one member is that member's alone."""
    results = sluice.BatchPredictResponse()
    for member in request.requests:
        try:
            results.results.add(response=answer(member))
        except Refused as refused:
            results.results.add(error=sluice.BatchError(code=refused.code.value[0], message=str(refused)))
    return results


def stream_predict(requests, context):
    for request in requests:
        yield predict(request, context)


def check(request, context):
    """grpc.health.v1.Health/Check: the gateway asks with the model's name, others without one for the server."""
    if request.service and request.service not in MODELS:
        context.abort(grpc.StatusCode.NOT_FOUND, f"no model '{request.service}'")
    return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


def unary(method, request):
    return grpc.unary_unary_rpc_method_handler(
        method, request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one; what it is is printed")
    port = parser.parse_args().port

    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(),
        options=[("grpc.max_receive_message_length", MAXIMUM_MESSAGE), ("grpc.max_send_message_length", -1)])
    stream = grpc.stream_stream_rpc_method_handler(
        stream_predict, request_deserializer=sluice.UnifiedRequest.FromString,
        response_serializer=sluice.UnifiedResponse.SerializeToString)
    server.add_generic_rpc_handlers([
        grpc.method_handlers_generic_handler("sluice.v1.ModelService", {
            "Predict": unary(predict, sluice.UnifiedRequest),
            "BatchPredict": unary(batch_predict, sluice.BatchPredictRequest),
            "StreamPredict": stream,
        }),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {
            "Check": unary(check, health_pb2.HealthCheckRequest),
        }),
    ])
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    # What is under way may end.
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=5))
    server.wait_for_termination()


if __name__ == "__main__":
    main()
