"""The proxies that are measured: how each is configured. `wire` says what is spoken on both sides. All get one
worker, keep-alive on both sides, no access log, TCP on loopback, and as many upstream connections as there are requests
in flight. Where a proxy has a switch that makes it do less (no Via, no X-Forwarded-Proto), the switch is used: the
comparison is with its best."""

import dataclasses
import json

from processes import HERE, REPOSITORY, BenchmarkFailure, Server, certificate, compiled, free_port, program

# Connections of the load generator; the cap of idle upstream connections is the same.
CONNECTIONS = 64
# Longer than any benchmark, so that no timeout falls into a measurement.
PATIENT_SECONDS = 3600
# What a proxy must accept for the memory measurement, with room beside it.
CLIENT_CONNECTIONS = 12000

DEFAULT_SLUICE = REPOSITORY / ".build" / "release" / "sluice"


@dataclasses.dataclass(frozen=True)
class Wire:
    """What is spoken with clients and with the backend."""

    front_http2: bool = False
    front_tls: bool = False
    back_http2: bool = False


HTTP1 = Wire()


def relay(backend, directory):
    """The floor: bytes from one socket to another."""
    port = free_port()
    return [compiled("relay.c"), port, backend], port


def nginx(backend, directory, master=True, wire=HTTP1):
    listen = "backlog=4096" + (" ssl" if wire.front_tls else "") + (" http2" if wire.front_http2 else "")
    tls = ""
    if wire.front_tls:
        chain, key = certificate(directory)
        tls = f"ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;"
    pass_on = """proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";"""
    if wire.back_http2:
        pass_on = "grpc_pass grpc://origin;"
    port = free_port()
    home = directory / f"nginx-{port}"
    home.mkdir()
    home.chmod(0o777)
    path = home / "nginx.conf"
    scratch = "\n".join(
        f"    {kind}_temp_path {home}/{kind};" for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    path.write_text(f"""\
daemon off;
master_process {"on" if master else "off"};
worker_processes 1;
worker_rlimit_nofile {CLIENT_CONNECTIONS + 4096};
pid {home}/nginx.pid;
error_log {home}/error.log crit;
events {{ worker_connections {CLIENT_CONNECTIONS + 2048}; }}
http {{
    access_log off;
{scratch}
    keepalive_timeout {PATIENT_SECONDS}s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    upstream origin {{
        server 127.0.0.1:{backend};
        keepalive {CONNECTIONS};
        keepalive_requests 1000000000;
        keepalive_time 24h;
        keepalive_timeout {PATIENT_SECONDS}s;
    }}
    server {{
        listen 127.0.0.1:{port} {listen};
        {tls}
        location / {{
            {pass_on}
        }}
        location /stream/ {{
            {pass_on}
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
""")
    return [program("nginx"), "-p", home, "-e", home / "error.log", "-c", path], port


def haproxy(backend, directory, wire=HTTP1):
    listen = ""
    if wire.front_tls:
        # One file with both.
        bundle = directory / "bundle.pem"
        bundle.write_text("".join(path.read_text() for path in certificate(directory)))
        listen = f" ssl crt {bundle} alpn {'h2,' if wire.front_http2 else ''}http/1.1"
    elif wire.front_http2:
        listen = " proto h2"
    upstream = " proto h2" if wire.back_http2 else ""
    port = free_port()
    path = directory / f"haproxy-{port}.cfg"
    path.write_text(f"""\
global
    nbthread 1
    no log
defaults
    mode http
    timeout connect 5s
    timeout client {PATIENT_SECONDS}s
    timeout server {PATIENT_SECONDS}s
    timeout http-keep-alive {PATIENT_SECONDS}s
    option http-keep-alive
    http-reuse always
frontend entry
    bind 127.0.0.1:{port} backlog 4096{listen}
    default_backend origin
backend origin
    server origin 127.0.0.1:{backend}{upstream} pool-max-conn {CONNECTIONS} pool-purge-delay {PATIENT_SECONDS}s
""")
    return [program("haproxy"), "-db", "-q", "-f", path], port


def nghttpx(backend, directory, wire=HTTP1):
    port = free_port()
    chain, key = certificate(directory) if wire.front_tls else (None, None)
    command = [
        program("nghttpx"), "--conf=/dev/null",
        f"--frontend=127.0.0.1,{port}{'' if wire.front_tls else ';no-tls'}",
        f"--backend=127.0.0.1,{backend}{';;proto=h2' if wire.back_http2 else ''}",
        "--workers=1", "--single-process", "--no-via", "--no-server-rewrite",
        "--no-location-rewrite", "--no-add-x-forwarded-proto", "--errorlog-file=/dev/null",
        f"--frontend-keep-alive-timeout={PATIENT_SECONDS}s", f"--backend-keep-alive-timeout={PATIENT_SECONDS}s",
        f"--frontend-read-timeout={PATIENT_SECONDS}s", f"--backend-read-timeout={PATIENT_SECONDS}s", "--backlog=4096"]
    if wire.front_tls:
        command += [key, chain]
    return command, port


def envoy_binary():
    for path in (HERE / ".venv").glob("lib/python3*/site-packages/envoy/_bin/envoy"):
        return str(path)
    raise BenchmarkFailure("envoy is not installed: run Benchmarks/setup.sh, or leave it out with --without envoy")


def envoy(backend, directory, wire=HTTP1):
    port = free_port()
    path = directory / f"envoy-{port}.json"

    def address(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    connections = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
                 "HttpConnectionManager",
        "stat_prefix": "entry",
        "codec_type": "HTTP2" if wire.front_http2 else "HTTP1",
        "generate_request_id": False,
        "stream_idle_timeout": "0s",
        "common_http_protocol_options": {"idle_timeout": f"{PATIENT_SECONDS}s"},
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "origin", "timeout": "0s"}}]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "suppress_envoy_headers": True}}],
    }
    chain = {"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]}
    if wire.front_tls:
        certificate_path, key = certificate(directory)
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2"] if wire.front_http2 else ["http/1.1"],
                "tls_certificates": [{
                    "certificate_chain": {"filename": str(certificate_path)},
                    "private_key": {"filename": str(key)}}]}}}
    options = {"typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}}} if wire.back_http2 else {}
    path.write_text(json.dumps({"static_resources": {
        "listeners": [{"address": address(port), "filter_chains": [chain]}],
        "clusters": [{
            "name": "origin", "type": "STATIC", "connect_timeout": "5s", **options,
            "load_assignment": {"cluster_name": "origin", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address(backend)}}]}]},
        }]}}))
    command = [
        envoy_binary(), "-c", path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return command, port


# What a variant of the gateway is: the protocol of the model `m` that its requests name, or none for Passthrough.
# `spread` is Passthrough before 16 endpoints in turn; `routed` before the same with policies: a rule of five
# comparisons, then two versions by weight, then the lower moving average of two endpoints.
SLUICE_VARIANTS = {
    "passthrough": None, "spread": None, "routed": None, "rest-predict": "rest-predict",
    "open-inference": "open-inference"}
# The variant that is `passthrough` with more, and the one that has as many endpoints without that.
POLICIES = "routed"
SPREAD = "spread"
RULE = ('path == "/never" or path == "/ever" or method == "DELETE" or tenant == "nobody" '
        'or header("x-tier") == "gold"')
ENDPOINTS_OF_POLICIES = 16


def sluice_configuration(variant, port, metrics_port, backend, plugins, timeout_ms=1000, wire=HTTP1, tls=None):
    """The YAML of one variant: the whole chain that would run in production, in front of one endpoint. The adapters
    are all configured, whichever of them the variant's requests use. `tls`: paths of a certificate and its key."""
    protocol = SLUICE_VARIANTS[variant]
    scheme = "grpc" if wire.back_http2 else "http"
    secure = f", tls: {{ certificate: {json.dumps(str(tls[0]))}, key: {json.dumps(str(tls[1]))} }}" if tls else ""
    web = f'"1": {{ endpoints: [ "{scheme}://127.0.0.1:{backend}" ], protocol: passthrough }}'
    router, balancer = "by-version", "least-request"
    if variant in (POLICIES, SPREAD):
        endpoints = [f'"{scheme}://127.0.0.{number}:{backend}"' for number in range(1, ENDPOINTS_OF_POLICIES + 1)]
        shares = ((endpoints[:8], 90), (endpoints[8:], 10)) if variant == POLICIES else ((endpoints, 100),)
        web = ", ".join(
            f'"{version}": {{ endpoints: [ {", ".join(share)} ], protocol: passthrough, weight: {weight} }}'
            for version, (share, weight) in enumerate(shares, 1))
        balancer = "round-robin"
    if variant == POLICIES:
        router, balancer = "[ content-based, canary ]", "peak-ewma"
    model = "" if protocol is None else f"""
  m:
    versions: {{ "1": {{ endpoints: [ "{scheme}://127.0.0.1:{backend}" ], protocol: {protocol} }} }}"""
    return f"""\
gateway:
  server: {{ worker_threads: 1, max_connections: {CLIENT_CONNECTIONS}, cpu_affinity: off }}
  listeners: [ {{ address: "127.0.0.1:{port}"{secure} }} ]
  routing: {{ default_timeout_ms: {timeout_ms} }}
  monitoring: {{ metrics_port: {metrics_port}, trace_sample_rate: 0.1 }}
  admin: {{ socket: sluice-{port}.sock }}

plugin_path: [ {json.dumps(str(plugins))} ]

plugins:
  - {{ name: open-inference, library: libOpenInference.so }}
  - {{ name: rest-predict, library: libRestPredict.so }}
  - name: passthrough
    library: libPassthrough.so
    config: {{ routes: [ {{ prefix: /, model: web }} ] }}
  - {{ name: by-version, library: libByVersion.so }}
  - {{ name: least-request, library: libLeastRequest.so }}
  - {{ name: round-robin, library: libRoundRobin.so }}
  - name: content-based
    library: libContentBased.so
    config: {{ rules: [ {{ name: rare, when: {json.dumps(RULE)}, then: {{ priority: 0 }} }} ] }}
  - {{ name: canary, library: libCanary.so }}
  - {{ name: peak-ewma, library: libPeakEWMA.so }}

pipeline:
  adapters: [ open-inference, rest-predict, passthrough ]
  filters: [ ]
  router: {router}
  balancer: {balancer}

models:
  web:
    versions: {{ {web} }}{model}
"""


def sluice(backend, directory, variant="passthrough", binary=DEFAULT_SLUICE, timeout_ms=1000, wire=HTTP1):
    """Writes the variant's configuration and returns the command that serves it, and its port."""
    binary = binary.resolve()
    if not binary.exists():
        raise BenchmarkFailure(f"{binary} does not exist: build it with `swift build -c release`")
    port = free_port()
    path = directory / f"sluice-{variant}-{port}.yaml"
    tls = certificate(directory) if wire.front_tls else None
    path.write_text(
        sluice_configuration(variant, port, free_port(), backend, binary.parent, timeout_ms, wire, tls))
    return [binary, "serve", "--config", path], port


def sluice_model(directory, binary=DEFAULT_SLUICE):
    """The command of a gateway that serves the model `iris` itself, over the Open Inference Protocol, and its port."""
    return _sluice_of_iris("model", '"1": { backend: linear-model }', directory, binary)


def sluice_batching(backend, directory, binary=DEFAULT_SLUICE):
    """The command of a gateway that asks the model `iris` of such a one in batches of eight rows, and its port."""
    version = f'"1": {{ endpoints: [ "http://127.0.0.1:{backend}" ], protocol: open-inference }}'
    return _sluice_of_iris(
        "batching", version, directory, binary, "\n  batching: { max_batch_size: 8, max_delay_ms: 100 }")


def _sluice_of_iris(name, version, directory, binary, more=""):
    binary = binary.resolve()
    port = free_port()
    path = directory / f"sluice-{name}-{port}.yaml"
    path.write_text(f"""\
gateway:
  server: {{ worker_threads: 1, cpu_affinity: off }}
  listeners: [ {{ address: "127.0.0.1:{port}" }} ]
  monitoring: {{ metrics_port: {free_port()} }}
  admin: {{ socket: sluice-{port}.sock }}{more}

plugin_path: [ {json.dumps(str(binary.parent))} ]

plugins:
  - {{ name: open-inference, library: libOpenInference.so }}
  - {{ name: by-version, library: libByVersion.so }}
  - {{ name: least-request, library: libLeastRequest.so }}
  - {{ name: size-or-delay, library: libSizeOrDelay.so }}
  - {{ name: linear-model, library: libLinearModel.so }}

pipeline: {{ adapters: open-inference, router: by-version, balancer: least-request, batcher: size-or-delay }}

models: {{ iris: {{ versions: {{ {version} }} }} }}
""")
    return [binary, "serve", "--config", path], port


RIVALS = {"nginx": nginx, "haproxy": haproxy, "nghttpx": nghttpx}
# Each writes the configuration that it needs into a directory and returns the command and its port.
PEERS = {**RIVALS, "envoy": envoy, "relay": relay}


def backend(directory, core=None, http2=False):
    """The common origin. Returns the server and the file in which it counts answered requests."""
    port = free_port()
    counter = directory / f"answered-{port}"
    if http2:
        return Server("backend", [compiled("grpc_backend.c", "-lnghttp2"), port, counter], port, core), counter
    return Server("backend", [compiled("backend.c"), port, counter], port, core), counter
