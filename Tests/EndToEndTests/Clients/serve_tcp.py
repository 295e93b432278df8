"""A model server over the length-prefixed protocol: `serve_tcp.py PORT`. The model's name says how it behaves."""

import socket
import struct
import sys
import threading

from length_prefixed import ERROR, INFER, READY, READY_ANSWER, Connection, Message, infer_answer, message, tensor, text

begun, stopped = threading.Event(), threading.Event()


def answer(request, number):
    """What goes back, and whether the connection then lives on."""
    identity, name = request.id, request.model
    if request.kind == READY:
        return message(READY_ANSWER, identity, name, request.version, bytes([name != "loading"])), True
    assert request.kind == INFER
    tensors = [tensor(key, *value) for key, value in request.tensors.items()]
    good = infer_answer(name, tensors, identity, request.version)
    match name:
        case "fail":
            return message(ERROR, identity, name, "", text("the ünit is off"), status=9), True
        case "connection":
            return infer_answer(name, [tensor("number", "INT64", [], struct.pack("<q", number))], identity), True
        case "outputs":
            names = [tensor(key, "BOOL", [1], b"\1") for key in request.outputs]
            return infer_answer(name, names, identity), True
        case "names":
            shown = request.model + "/" + request.version
            return infer_answer(name, [tensor(shown, "UINT8", [0], b"")], identity), True
        case "once":
            return good, False
        case "early":
            return b"", False
        case "garbage":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True
        case "short":
            return good[: len(good) // 2], False
        case "tail":
            return good + b"garbage", True
        case "another":
            return infer_answer(name, tensors, identity + 1), True
        case "oversized":
            return struct.pack(">I", 1 << 31) + good[4:], True
        case "mismatch":
            return infer_answer(name, [tensor("x", "FP32", [2], b"\0" * 4)], identity), True
        case "hang":
            return None, True
    return good, True


def serve(connection, number):
    while (data := connection.read_raw()) is not None:
        request = Message(data)
        reply, lives = answer(request, number)
        if reply is None:
            # Waits for the other side to give up, and tells who asks.
            begun.set()
            if connection.bytes(1) == b"":
                stopped.set()
            return
        if event := {"begun": begun, "stopped": stopped}.get(request.model):
            reply = infer_answer("", [tensor("yes", "BOOL", [], bytes([event.wait(20)]))], request.id)
        connection.send(reply)
        if not lives:
            break
    connection.socket.close()


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
count = 0
while True:
    accepted, _ = listener.accept()
    count += 1
    threading.Thread(target=serve, args=(Connection(accepted), count), daemon=True).start()
