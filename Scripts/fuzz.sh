#!/usr/bin/env bash
# Runs every fuzzer of Tests/Fuzz for FUZZ_SECONDS (60) each, and fails when one of them finds something.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${FUZZ_SECONDS:-60}"
failed=()
for directory in Tests/Fuzz/Sources/*Fuzzer; do
    fuzzer="$(basename "$directory")"
    # What is no fuzzer of its own has no main.swift.
    [ -f "$directory/main.swift" ] || continue
    echo "fuzz: $fuzzer for $seconds s"
    Tests/Fuzz/run.sh "$fuzzer" "$seconds" </dev/null || failed+=("$fuzzer")
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz: findings of ${failed[*]}" >&2; exit 1; }
