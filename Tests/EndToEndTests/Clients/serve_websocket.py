"""A server of WebSocket that echoes messages and refuses `/refused`: `serve_websocket.py PORT`."""

import http
import sys

from websockets.sync.server import serve


def echo(connection):
    for message in connection:
        if message == "leave":
            connection.close(4001, "as asked")
            return
        connection.send(message)


def judge(connection, request):
    if request.path == "/refused":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not here\n")
    return None


with serve(
    echo,
    "127.0.0.1",
    int(sys.argv[1]),
    process_request=judge,
    select_subprotocol=lambda connection, offered: offered[0] if offered else None,
    max_size=None,
) as server:
    print("ready", flush=True)
    server.serve_forever()
