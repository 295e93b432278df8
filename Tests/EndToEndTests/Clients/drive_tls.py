"""What a client of TLS may expect of a listener: drive_tls.py CHECK PORT CA. An AssertionError when it is not so."""

import os
import socket
import ssl
import struct
import subprocess
import sys
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
CHECK, PORT, CA = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def context(least=None, most=None, alpn=()):
    made = ssl.create_default_context(cafile=CA)
    if least:
        made.minimum_version = least
    if most:
        made.maximum_version = most
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def connect(made, session=None):
    plain = socket.create_connection(("127.0.0.1", PORT), timeout=20)
    return made.wrap_socket(plain, server_hostname="localhost", session=session)


def ask(connection, path="/v2"):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65_536)
        assert piece, answer
        answer += piece
    head, body = answer.split(b"\r\n\r\n", 1)
    size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(body) < size:
        body += connection.recv(65_536)
    return head.split(b" ")[1].decode(), body


def refused(work):
    try:
        work()
    except (ssl.SSLError, ConnectionError) as error:
        return str(error)
    raise AssertionError("it was let in")


def versions():
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with connect(context(version, version)) as connection:
            assert ask(connection)[0] == "200"
            assert connection.compression() is None
            name = connection.cipher()[0]
            assert "GCM" in name or "CHACHA20" in name, name
    old = context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    refused(lambda: connect(old))
    # Nothing without forward secrecy.
    static = context(most=ssl.TLSVersion.TLSv1_2)
    static.set_ciphers("AES128-GCM-SHA256:AES128-SHA")
    refused(lambda: connect(static))


def alpn():
    for offered, chosen in ((["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"),
                            (["spdy/3", "http/1.1"], "http/1.1")):
        with connect(context(alpn=offered)) as connection:
            assert connection.selected_alpn_protocol() == chosen, (offered, connection.selected_alpn_protocol())
    with connect(context()) as connection:
        assert connection.selected_alpn_protocol() is None
        assert ask(connection)[0] == "200"
    assert "no application protocol" in refused(lambda: connect(context(alpn=["foo"]))).lower()
    # Who has agreed on HTTP/1.1 cannot go on in HTTP/2, nor the other way round.
    with connect(context(alpn=["http/1.1"])) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 "), "frames for HTTP/1.1"
    with connect(context(alpn=["h2"])) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        seen = b""
        while piece := connection.recv(65_536):
            seen += piece
        assert b"HTTP/1.1" not in seen, seen


def resumption():
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        made = context(version, version)
        with connect(made) as connection:
            assert not connection.session_reused
            # Tickets of TLS 1.3 come behind the handshake.
            ask(connection)
            session = connection.session
        with connect(made, session) as connection:
            assert connection.session_reused, version
            assert ask(connection)[0] == "200"


def renegotiation():
    process = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{PORT}", "-tls1_2", "-CAfile", CA], input=b"R\n",
        capture_output=True, timeout=30, check=False)
    output = (process.stdout + process.stderr).lower()
    assert b"no renegotiation" in output, output[-800:]


def garbage():
    hello = b"\x16\x03\x01"
    name = b"a" * 65_000
    entry = struct.pack(">BH", 0, len(name)) + name
    extension = struct.pack(">HHH", 0, (len(entry) + 2) & 0xFFFF, len(entry) & 0xFFFF) + entry
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\xc0\x2f" + b"\x01\0"
    body += struct.pack(">H", len(extension) & 0xFFFF) + extension
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    records = b"".join(
        hello + struct.pack(">H", len(message[at:at + 16_384])) + message[at:at + 16_384]
        for at in range(0, len(message), 16_384))
    for sent in (os.urandom(4_096), hello + b"\xff\xff" + os.urandom(65_535), hello + b"\0\0" * 64,
                 b"\x80\x2e\x01" * 50, b"\0" * 10_000, hello, records):
        with socket.create_connection(("127.0.0.1", PORT), timeout=20) as plain:
            try:
                plain.sendall(sent)
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(65_536):
                    pass
            except OSError:
                pass
    with socket.create_connection(("127.0.0.1", PORT), timeout=20) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while piece := plain.recv(65_536):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        head, said = answer.split(b"\r\n\r\n", 1)
        assert b"Content-Length: %d\r\n" % len(said) in head, answer
    with connect(context()) as connection:
        assert ask(connection)[0] == "200"


def goodbye():
    # An answer that ends with the connection ends with TLS's own word, so that it cannot be cut short unseen.
    made = context()
    made.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    with connect(made) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        while connection.recv(65_536):
            pass
        connection.unwrap()


{"versions": versions, "alpn": alpn, "resumption": resumption, "renegotiation": renegotiation, "garbage": garbage,
 "goodbye": goodbye}[CHECK]()
print("ok")
