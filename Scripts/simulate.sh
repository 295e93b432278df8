#!/usr/bin/env bash
# Replays a run of the simulator of scheduler, breakers, retries and health: `simulate.sh SEED`; or runs all seeds from
# one to another: `simulate.sh FIRST LAST`. Prints the property that did not hold, if any, and what happened how often.
set -euo pipefail
cd "$(dirname "$0")/.."

swift build --product resilience-simulator </dev/null >&2
exec .build/debug/resilience-simulator "$@"
