"""Speaks WebSocket with `serve_websocket.py` through a gateway: `drive_websocket.py PORT`."""

import contextlib
import os
import sys

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

address = f"ws://127.0.0.1:{sys.argv[1]}"

# Compression (permessage-deflate) and a subprotocol are agreed on by fields of the two heads.
with connect(address + "/chat?a=b", subprotocols=["echo.v1"], max_size=None) as connection:
    assert connection.subprotocol == "echo.v1", connection.subprotocol
    assert "permessage-deflate" in connection.response.headers["Sec-WebSocket-Extensions"]
    for number in range(200):
        connection.send(f"message {number}")
        assert connection.recv(timeout=30) == f"message {number}"
    for size in (0, 125, 126, 65_536, 8_000_000):
        content = os.urandom(size)
        connection.send(content)
        assert connection.recv(timeout=60) == content, size
    assert connection.ping().wait(30)
    connection.send("leave")
    try:
        connection.recv(timeout=30)
        raise AssertionError("the server did not leave")
    except ConnectionClosed as closed:
        assert closed.rcvd.code == 4001 and closed.rcvd.reason == "as asked", closed

try:
    with connect(address + "/refused"):
        raise AssertionError("the server refuses this")
except InvalidStatus as refusal:
    assert refusal.response.status_code == 403, refusal.response
    assert refusal.response.body == b"not here\n", refusal.response.body

with contextlib.ExitStack() as stack:
    many = [stack.enter_context(connect(address)) for _ in range(50)]
    for number, connection in enumerate(many):
        connection.send(f"from {number}")
    for number, connection in enumerate(many):
        assert connection.recv(timeout=30) == f"from {number}"
        connection.close()
        assert connection.close_code == 1000, connection.close_code
