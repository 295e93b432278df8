#!/usr/bin/env bash
# Builds and runs all tests; arguments go to `swift build` and `swift test`. Run it as `make test`, which first installs
# what the tests need.
set -euo pipefail
cd "$(dirname "$0")/.."

# Makes a missing model server or client a failure. Without it, as in a bare `swift test`, those tests are skipped.
export SLUICE_TEST_CLIENTS=required

scratch=.build
arguments=()
filter=()
while [ $# -gt 0 ]; do
    case $1 in
    --sanitize=*)
        # The tests leave out what a sanitizer makes no sense of: how much memory the process has.
        export SLUICE_TEST_SANITIZER="${1#--sanitize=}"
        arguments+=("$1"); shift
        # Swift's own calls into ThreadSanitizer, which a plugin makes too: the runtime is linked into the executable,
        # and its list of exported symbols leaves these out.
        if [ "$SLUICE_TEST_SANITIZER" = thread ]; then
            for symbol in external_{read,write,register_tag,assign_tag,register_header} ignore_thread_{begin,end}; do
                arguments+=(-Xlinker "--export-dynamic-symbol=__tsan_$symbol")
            done
        fi ;;
    --scratch-path) scratch=$2; arguments+=("$1" "$2"); shift 2 ;;
    --filter) filter=("$1" "$2"); shift 2 ;;
    *) arguments+=("$1"); shift ;;
    esac
done

# The gateway's threads and plugins live as long as the process: what they hold at its end is no leak.
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-suppressions=$PWD/Scripts/thread-sanitizer.txt}"

swift build --build-tests "${arguments[@]}" </dev/null
Scripts/close-modes.sh "$scratch/debug"

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
status=0
swift test --skip-build "${arguments[@]}" "${filter[@]}" </dev/null 2>&1 | tee "$log" || status=$?

# The runner's own last line has the same shape as that of a test.
count() { grep -v 'Test run with' "$log" | grep -cE "$1" || true; }
# The JSON Schema that editors use must accept and refuse what the program does.
if [ ${#filter[@]} -eq 0 ]; then
    .venv-test/bin/python3 Tests/ConfigurationTests/check_schema.py </dev/null || status=1
    # The part of the linter that no toolchain words differently.
    python3 Scripts/tidy.py </dev/null || status=1
fi

# Fuzzers are a package of their own, with links to files that this one may move.
if [ ${#filter[@]} -eq 0 ] && [ -z "${SLUICE_TEST_SANITIZER:-}" ]; then
    swift build --package-path Tests/Fuzz --configuration release </dev/null || status=1
fi

passed="$(count '✔ Test .* passed after')"
failed="$(count '✘ Test .* failed after')"
echo
echo "$passed passed, $failed failed, $(count '➜ Test .* skipped') skipped"
# A filter that names nothing would pass for a run in which all is well.
if [ $((passed + failed)) -eq 0 ]; then
    echo "no test ran${filter[1]:+: nothing is named like '${filter[1]}'}" >&2
    exit 1
fi
exit "$status"
