#!/bin/sh
# Runs one fuzzer for a while: Tests/Fuzz/run.sh TARGET [SECONDS]
#
# TARGET is a name in Package.swift, say HTTP1RequestFuzzer; its corpus is Corpus/http1-request. What libFuzzer learns
# goes to the build directory, and so does an input that breaks a promise, which is printed too. Add such an input to
# the corpus together with the correction.
set -eu
target=${1:?usage: run.sh TARGET [SECONDS]}
seconds=${2:-60}
here=$(cd "$(dirname "$0")" && pwd)
corpus=$here/Corpus/$(echo "${target%Fuzzer}" | sed -E 's/([a-z0-9])([A-Z])/\1-\2/g' | tr '[:upper:]' '[:lower:]')
[ -d "$corpus" ] || { echo "run.sh: no corpus $corpus" >&2; exit 2; }

${SWIFT:-swift} build --package-path "$here" --configuration release --product "$target"
build=$(swift build --package-path "$here" --configuration release --show-bin-path)
learned=$here/.build/learned/$target
found=$here/.build/found/$target
mkdir -p "$learned" "$found"
# Swift's own backtrace would take the signals before libFuzzer does.
export SWIFT_BACKTRACE=enable=no
# Inputs of 4 KiB pass every limit that the fuzzers set; one that takes 5 s or 1 GiB is a finding.
exec "$build/$target" -max_total_time="$seconds" -max_len=4096 -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="$found/" "$learned" "$corpus"
