# What a developer or an operator of a checkout types. `make run` and `make test` install what is missing themselves.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# address or thread: the tests run under that sanitizer, in a build directory of their own.
SANITIZE ?=
# One suite or test: `make test FILTER=HTTP1Tests`.
FILTER ?=

sanitizer_arguments = $(if $(SANITIZE),--sanitize=$(SANITIZE) --scratch-path .build-$(SANITIZE))

.PHONY: run build test abuse abi bench fuzz lint scan clean

run: build
	exec .build/release/sluice serve --config plugins.yaml

# The loader refuses a library that others may write; what a umask left open is closed here.
build:
	Scripts/setup.sh build
	swift build --configuration release
	Scripts/close-modes.sh .build/release

test:
	Scripts/setup.sh build test
	Scripts/test.sh $(sanitizer_arguments) $(if $(FILTER),--filter "$(FILTER)")

# The tests of abuse, and that a well-behaved client beside it has 99 of 100 answers within 100 ms; and those of faults of
# backends, with p99 as before two health intervals after each. Not part of `test`: a busy machine is late by itself.
abuse:
	Scripts/setup.sh build test
	SLUICE_TEST_LATENCY=100 Scripts/test.sh --filter 'EndToEnd/(HTTP2Abuse|Crowds|Faults|AllDead)'

bench: build
	Benchmarks/setup.sh
	python3 Benchmarks/instructions.py
	python3 Benchmarks/sse.py
	python3 Benchmarks/allocations.py
	python3 Benchmarks/memory.py
	python3 Benchmarks/memory_wires.py
	python3 Benchmarks/pick.py
	python3 Benchmarks/pick.py --quality
	swift run --configuration release --package-path Benchmarks/Rules
	python3 Benchmarks/bench.py
	python3 Benchmarks/http2_bench.py
	python3 Benchmarks/tls_bench.py
	python3 Benchmarks/translation.py
	python3 Benchmarks/faults.py

fuzz:
	Scripts/setup.sh build
	Scripts/fuzz.sh

lint:
	swift format lint --strict --recursive --parallel Package.swift Sources Plugins Tests
	python3 Scripts/tidy.py

# What of the plugin ABI differs from the newest release, or from SINCE.
abi:
	Scripts/setup.sh abi
	Scripts/abi-diff.sh $(SINCE)

# What scanners of TLS say of a listener.
scan:
	Scripts/scan-tls.sh

clean:
	rm -rf .build .build-address .build-thread Tests/Fuzz/.build Benchmarks/Rules/.build .venv-test run
