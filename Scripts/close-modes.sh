#!/usr/bin/env bash
# Takes write permission from group and others for what a build made: `Scripts/close-modes.sh .build/release`. The
# plugin loader refuses libraries that anybody else could have changed, and SwiftPM leaves the modes to the umask.
set -euo pipefail

directory="$(readlink -f "$1")"
chmod go-w "$directory"
find "$directory" -maxdepth 1 -type f \( -name '*.so' -o -name sluice \) -exec chmod go-w {} +
