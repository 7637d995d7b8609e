# attestry: thin names over Meson and the scripts.
#   make         build into build/
#   make demo    the whole story on this machine; NODES=3: on PostgreSQL and three nodes
#   make test    every test; ends with "N passed, N failed"
#   make run     a registry under ./var
#   make bench   what is measured, against whom; writes build/bench.json
#   make lint    format, banned calls, includes, globals, function length
BUILD ?= build

#   make arm64   the device's side for a Raspberry Pi, its tests under qemu-user
#   make mcu     the part of libiotsafe for microcontrollers, compiled for one
.PHONY: all setup demo test run bench lint mcu arm64 clean

all: setup
	@scripts/build $(BUILD)

setup:
	@scripts/setup

demo: all
	@scripts/demo $(BUILD) $(if $(NODES),--nodes $(NODES))

test: setup
	@scripts/test

run: all
	@scripts/run $(BUILD)

bench: setup
	@scripts/bench

lint: setup
	@scripts/lint

mcu: setup
	@scripts/mcu

arm64:
	@scripts/arm64

clean:
	rm -rf build build-asan build-fuzz build-clang build-bench build-arm64
