#!/usr/bin/env bash
# What of the plugin ABI differs from that of a commit, by abidiff: Scripts/abi-diff.sh [COMMIT]
#
# Without COMMIT: from the newest release (tag v*), or, before the first one, from the last commit. Exit code 0: nothing
# differs; 1: something does, which before 1.0 asks for a note in the log and afterwards for a new major version.
set -euo pipefail
cd "$(dirname "$0")/.."
header=Sources/PluginAPI/ABI/include/sluice/plugin.h
since="${1:-$(git describe --tags --match 'v*' --abbrev=0 2>/dev/null || echo HEAD)}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# A library with debug information on every type of the header: one variable of each.
compile() {
    grep -oE '^} sluice_[a-z0-9_]+;' "$work/$1/sluice/plugin.h" | tr -d '};' | while read -r type; do
        echo "$type the_$type;"
    done >"$work/$1/types.inc"
    printf '#include "sluice/plugin.h"\n#include "types.inc"\n' >"$work/$1/all.c"
    gcc -g -shared -fPIC -I "$work/$1" -DSLUICE_NO_ENTRY_PROTOTYPE -o "$work/$1/libabi.so" "$work/$1/all.c"
}
mkdir -p "$work/before/sluice" "$work/after/sluice"
git show "$since:$header" >"$work/before/sluice/plugin.h"
cp "$header" "$work/after/sluice/plugin.h"
compile before
compile after
if abidiff "$work/before/libabi.so" "$work/after/libabi.so"; then
    echo "abi: nothing differs from $since ($(wc -l <"$work/after/types.inc") types)"
else
    echo "abi: the above differs from $since" >&2
    exit 1
fi
