#!/usr/bin/env bash
# Lets two scanners look at a listener with TLS: sslyze, against Mozilla's "intermediate" profile, and testssl.sh.
# Installs what is missing, makes an authority of its own, and starts the gateway of the debug build on a free port.
# What they say of that authority, which nobody knows, is left out; anything else is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

Scripts/setup.sh build test
command -v testssl >/dev/null || {
    apt-get update --quiet=2 </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends testssl.sh </dev/null
}
[ -x .venv-scan/bin/sslyze ] || {
    python3 -m venv .venv-scan
    .venv-scan/bin/python -m pip install --quiet --disable-pip-version-check sslyze==6.3.1 </dev/null
}
swift build --product sluice </dev/null
Scripts/close-modes.sh .build/debug

folder="$(mktemp -d)"
gateway=
trap '[ -z "$gateway" ] || kill "$gateway"; rm -rf "$folder"' EXIT
root="$PWD"
cd "$folder"
openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj "/CN=Authority of the scan" -keyout ca.key -out ca.pem 2>errors
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout a.key -out a.csr \
    2>errors
openssl x509 -req -in a.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 60 -out a.pem \
    -extfile <(echo "subjectAltName=DNS:localhost") 2>errors
cat >plugins.yaml <<YAML
gateway:
  listeners: [ { address: "127.0.0.1:0", tls: { certificate: a.pem, key: a.key } } ]
  admin: { socket: admin.sock }
YAML
"$root/.build/debug/sluice" serve --config plugins.yaml >greeting 2>log &
gateway=$!
for _ in $(seq 200); do grep -q '^ready' greeting && break; read -rt 0.05 <> <(:) || true; done
port="$(sed -n 's/^listening on https:.*:\([0-9]*\)$/\1/p' greeting)"

# The scanners' exit codes tell of the authority too; their words are read instead.
"$root/.venv-scan/bin/sslyze" --mozilla_config=intermediate "localhost:$port" >sslyze || true
findings="$(sed -n '/COMPLIANCE/,$p' sslyze | grep '^ *\*' | grep -v certificate_path_validation || true)"
timeout 600 testssl --color 0 --quiet --ip 127.0.0.1 --nodns min --warnings off "localhost:$port" >testssl || true
grep -q 'TLS 1.3' testssl || findings+=$'\ntestssl.sh did not run'
findings+="$(grep -E 'NOT ok|VULNERABLE|MEDIUM|HIGH|CRITICAL' testssl |
    grep -vE 'Chain of trust|CRL nor OCSP' || true)"
echo "findings beyond the unknown authority:${findings:- none}"
[ -z "$findings" ]
