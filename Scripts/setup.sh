#!/usr/bin/env bash
# Installs what is missing on a Debian 12 machine that has a Swift toolchain, and only that:
#
#     Scripts/setup.sh build     what the gateway is compiled and linked with
#     Scripts/setup.sh abi       what compares two versions of the plugin ABI
#     Scripts/setup.sh test      what its tests run: load generators, etcd, Redis, and a Python environment in
#                                .venv-test with the model servers and clients of
#                                Tests/EndToEndTests/Clients/requirements.txt
#
# Running it again costs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

command -v swift >/dev/null || fail "no swift in PATH; install a toolchain of version 6.3 or later from swift.org"

declare -A want=()
for purpose in "$@"; do
    case $purpose in
    build)
        # file:package, the file being what the compiler or linker looks for.
        for need in \
            /usr/include/yaml.h:libyaml-dev /usr/include/openssl/ssl.h:libssl-dev \
            /usr/include/nghttp2/nghttp2.h:libnghttp2-dev /usr/include/zlib.h:zlib1g-dev; do
            [ -e "${need%%:*}" ] || want[${need##*:}]=1
        done
        compgen -G '/usr/include/*/ffi.h' >/dev/null || [ -e /usr/include/ffi.h ] || want[libffi-dev]=1
        command -v pkg-config >/dev/null || want[pkg-config]=1
        command -v git >/dev/null || want[git]=1
        ;;
    test)
        command -v gcc >/dev/null || want[gcc]=1
        [ -e /usr/include/stdio.h ] || want[libc6-dev]=1
        command -v wrk >/dev/null || want[wrk]=1
        command -v h2load >/dev/null || want[nghttp2-client]=1
        command -v openssl >/dev/null || want[openssl]=1
        command -v curl >/dev/null || want[curl]=1
        command -v etcd >/dev/null || want[etcd-server]=1
        command -v etcdctl >/dev/null || want[etcd-client]=1
        command -v redis-server >/dev/null || want[redis-server]=1
        command -v python3 >/dev/null || want[python3]=1
        python3 -c 'import ensurepip, venv' 2>/dev/null || want[python3-venv]=1
        ;;
    abi)
        command -v gcc >/dev/null || want[gcc]=1
        command -v abidiff >/dev/null || want[abigail-tools]=1
        ;;
    *) fail "unknown purpose \"$purpose\"; build, test and abi are known" ;;
    esac
done

if [ ${#want[@]} -gt 0 ]; then
    packages=("${!want[@]}")
    command -v apt-get >/dev/null ||
        fail "missing: ${packages[*]} (names of Debian 12), and no apt-get here; install them by hand"
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            fail "missing: ${packages[*]}; run as root, or: su -c 'apt-get install ${packages[*]}'"
        as_root=(sudo)
    fi
    echo "setup: installing ${packages[*]}"
    "${as_root[@]}" apt-get update --quiet=2 </dev/null
    # The run level: no service is started by its package; tests start their own.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install --yes --quiet=2 --no-install-recommends "${packages[@]}" </dev/null
fi

for purpose in "$@"; do
    [ "$purpose" = test ] || continue
    requirements=Tests/EndToEndTests/Clients/requirements.txt
    # The environment is made again when the list or the interpreter changes, and never updated in place.
    wanted="$(python3 -c 'import sys; print(sys.version)' | cat - "$requirements" | sha256sum | cut -d ' ' -f 1)"
    if [ "$(cat .venv-test/made-from 2>/dev/null)" != "$wanted" ]; then
        python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' ||
            fail "$(python3 --version) cannot run the pinned model servers; 3.11 or 3.12 is needed"
        echo "setup: making .venv-test with the model servers and clients that the tests drive (about 1.5 minutes)"
        rm -rf .venv-test
        python3 -m venv .venv-test
        # The list is complete: nothing is resolved, so two machines get the same.
        .venv-test/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-compile \
            --requirement "$requirements" </dev/null
        echo "$wanted" >.venv-test/made-from
    fi
done
