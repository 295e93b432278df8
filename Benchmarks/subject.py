"""The server that a counting script examines: a variant of the gateway, or for comparison one of the peers."""

import pathlib

import load
import proxies
from processes import BenchmarkFailure

# The scenarios that are counted: the variant of the gateway and the request it gets.
COUNTED = {
    "passthrough-get": ("passthrough", load.Request("/")),
    "routed-get": ("routed", load.Request("/")),
    "rest-predict": ("rest-predict", load.PREDICT),
    "open-inference": ("open-inference", load.INFER),
}
# Of HTTP/2, what is spoken on both sides and the request; by Passthrough. Allocations are not counted of these: the
# library that speaks HTTP/2 has its own ways with memory.
HTTP2_COUNTED = {
    "h2c-get": (proxies.Wire(front_http2=True), load.Request("/", http2=True)),
    "grpc-unary": (
        proxies.Wire(front_http2=True, back_http2=True),
        load.Request("/benchmark.Service/Unary", load.GRPC, load.GRPC_MESSAGE, http2=True)),
}


def add_arguments(parser):
    parser.add_argument("--subject", default="sluice", help="sluice (the default) or a peer")
    parser.add_argument("--sluice", type=pathlib.Path, default=proxies.DEFAULT_SLUICE, help="the gateway's binary")


def command_of(options, variant, backend, directory, timeout_ms=1000, wire=proxies.HTTP1):
    """The command of the subject, and its port. The subject is one process: a tool wraps it and sees all of it."""
    if options.subject == "sluice":
        return proxies.sluice(backend, directory, variant, options.sluice, timeout_ms, wire)
    if options.subject == "nginx":
        return proxies.nginx(backend, directory, master=False, wire=wire)
    if options.subject not in proxies.PEERS:
        raise BenchmarkFailure(f"no subject {options.subject!r}: sluice or one of {', '.join(proxies.PEERS)}")
    if options.subject == "relay":
        return proxies.relay(backend, directory)
    return proxies.PEERS[options.subject](backend, directory, wire=wire)
