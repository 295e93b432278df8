"""A backend that things are done to: `serve_patient.py http|grpc PORT`.

Over HTTP it answers every request with the same object, over gRPC every call of V2 inference with an empty answer, and
grpc.health.v1 about the server as a whole. SIGUSR1 makes each answer take three seconds, checks of health included, and
SIGUSR2 makes health say NOT_SERVING; the same signal again undoes it. Being killed and frozen needs no code.
"""

import asyncio
import signal
import sys
import time

SLOWLY = 3
slow = False


def toggle(number, frame):
    global slow
    slow = not slow


async def converse(reader, writer):
    body = b'{"model_name":"m","outputs":[],"port":%d}' % port
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            at = head.find(b"\r\ncontent-length:")
            if at >= 0:
                await reader.readexactly(int(head[at + 17 :].split(b"\r\n", 1)[0]))
            if slow:
                await asyncio.sleep(SLOWLY)
            # In one piece: who gets the head has the body, too, and a kill cannot come between.
            writer.write(answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve_http():
    server = await asyncio.start_server(converse, "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


def serve_grpc():
    from concurrent import futures

    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    def slowly(behaviour):
        def answer(request, context):
            if slow:
                time.sleep(SLOWLY)
            return behaviour(request, context)

        return answer

    class Checker(health.HealthServicer):
        def Check(self, request, context):
            return slowly(super().Check)(request, context)

    states = health_pb2.HealthCheckResponse
    checker = Checker()
    serving = True

    def turn(number, frame):
        nonlocal serving
        serving = not serving
        checker.set("", states.SERVING if serving else states.NOT_SERVING)

    class Inference(grpc.GenericRpcHandler):
        # ModelInferResponse of model "m".
        infer = staticmethod(slowly(lambda request, context: b"\x0a\x01m"))

        def service(self, details):
            if details.method != "/inference.GRPCInferenceService/ModelInfer":
                return None
            return grpc.unary_unary_rpc_method_handler(self.infer)

    # Every call in a thread: as many as may be slow at once.
    server = grpc.server(futures.ThreadPoolExecutor(64))
    server.add_generic_rpc_handlers((Inference(),))
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    if server.add_insecure_port(f"127.0.0.1:{port}") != port:
        sys.exit("the port is taken")
    signal.signal(signal.SIGUSR2, turn)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


wire, port = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGUSR1, toggle)
if wire == "http":
    asyncio.run(serve_http())
else:
    serve_grpc()
