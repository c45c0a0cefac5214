# Needs Rust, make, a C compiler, and Python's pip (only to fetch the ONNX Runtime library).

export CARGO_TARGET_DIR ?= $(HOME)/.cache/cloudops/target
CLOUDOPS := $(CARGO_TARGET_DIR)/release/cloudops

# The ONNX Runtime shared library, from the wheel of this version on PyPI, checked by SHA-256.
ORT_VERSION := 1.31.1
ORT_DIR := .runtime/onnxruntime
ORT_LIBRARY := $(ORT_DIR)/libonnxruntime.so.$(ORT_VERSION)
export ORT_DYLIB_PATH ?= $(abspath $(ORT_LIBRARY))
ORT_SHA256_x86_64 := 5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
ORT_SHA256_aarch64 := da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
MACHINE := $(shell uname -m)

.PHONY: demo test check bench doc runtime build kill-soak live-soak soak

## The main job: simulate, train, run all three streams, compare with the truth, query.
demo: build
	$(CLOUDOPS) demo $(if $(DATA),--data $(DATA))

## All tests. With CLOUDOPS_DATASETS=dir, those on real data too.
test: $(ORT_LIBRARY)
	cargo test --release --workspace

## Jobs killed at random until they end, and compared: KILLS=200 SEED=1.
kill-soak: $(ORT_LIBRARY)
	cargo test --release --workspace --test soak -- --ignored --nocapture

## Jobs whose store fails several times in every way, and compared: CASES=10000 SEED=1.
soak: $(ORT_LIBRARY)
	cargo test --release --workspace --test matrix -- --ignored --nocapture several

## A live job killed at random while its input grows, and compared: MINUTES=10 SEED=1.
live-soak: $(ORT_LIBRARY)
	cargo test --release --workspace --test live -- --ignored --nocapture

## Formatting, lints, doc links, licences.
check:
	cargo fmt --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps
	python3 .ci/licences.py

## Ratios against raw ONNX Runtime, raw DataFusion and plain loops, in one run.
bench: $(ORT_LIBRARY)
	REPORT=$(CURDIR)/pipeline/benches/job/report.md cargo bench --profile release --workspace \
	  --bench window --bench feature --bench bill --bench score --bench job

doc:
	cargo doc --release --workspace --no-deps --open

build: $(ORT_LIBRARY)
	cargo build --release --bin cloudops

runtime: $(ORT_LIBRARY)

$(ORT_LIBRARY):
	mkdir -p $(ORT_DIR)/wheel
	python3 -m pip download --quiet --no-deps --only-binary :all: --dest $(ORT_DIR)/wheel \
	  --platform manylinux_2_28_$(MACHINE) --python-version 3.11 --implementation cp --abi cp311 \
	  onnxruntime==$(ORT_VERSION)
	echo "$(ORT_SHA256_$(MACHINE))  $$(ls $(ORT_DIR)/wheel/*.whl)" | sha256sum --check --quiet
	python3 -m zipfile -e $(ORT_DIR)/wheel/*.whl $(ORT_DIR)/wheel
	mv $(ORT_DIR)/wheel/onnxruntime/capi/libonnxruntime.so.$(ORT_VERSION) $@
	rm -r $(ORT_DIR)/wheel
