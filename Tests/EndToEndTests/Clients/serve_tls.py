"""A server of HTTP over TLS that says what it sees: serve_tls.py PORT CERTIFICATE KEY [CA [VERSION]]. Prints `ready`.

With CA clients have to show a certificate of it, by TLS of that version at most.
POST gives the body back; GET /subject the client's subject, /fields
the request's fields, /whole and /cut a body that ends with the connection, in TLS's way or without.
"""

import json
import socket
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self):
        if self.path in ("/whole", "/cut"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")
            self.wfile.flush()
            self.close_connection = True
            if self.path == "/whole":
                self.connection.unwrap()
            else:
                self.connection.shutdown(socket.SHUT_WR)
            return
        if self.path == "/subject":
            names = self.connection.getpeercert().get("subject", ())
            return self.answer(",".join(value for part in names for _, value in part).encode())
        if self.path == "/resumed":
            return self.answer(str(self.connection.session_reused).encode())
        if self.path == "/fields":
            return self.answer(json.dumps({name.lower(): value for name, value in self.headers.items()}).encode())
        self.answer(b"ok")

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
if len(sys.argv) > 4:
    context.load_verify_locations(sys.argv[4])
    context.verify_mode = ssl.CERT_REQUIRED
if len(sys.argv) > 5:
    context.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[sys.argv[5]]
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("ready", flush=True)
server.serve_forever()
