# sinkstream: `make run` for a chat, `make test` for every test, `make help` for the rest.
PORT         ?=
DTYPE        ?= float32
model_suffix  = $(if $(filter float32,$(DTYPE)),,-$(DTYPE))
MODEL        ?= build/models/smollm2-135m-instruct$(model_suffix).pt
SERVER_FLAGS ?=
CHAT_FLAGS   ?=
LOAD_FLAGS   ?= --sessions=4 --turns=1000000 --max-tokens=exp:60 --think-ms=exp:3000 --cancel-share=0.05 --drop-share=0.05
WATCH_PORT   ?=
BENCH_FLAGS  ?=
JOBS         ?= $(shell nproc)
TORCH_INDEX  ?= https://download.pytorch.org/whl/cpu
# run takes any free port, so that several can run; serve and chat meet at 50051.
LISTEN       ?= 127.0.0.1:$(or $(PORT),50051)
run: LISTEN := $(if $(filter file,$(origin LISTEN)),127.0.0.1:$(or $(PORT),0),$(LISTEN))
export CTEST_PARALLEL_LEVEL ?= $(JOBS)
export LISTEN MODEL DTYPE SERVER_FLAGS CHAT_FLAGS LOAD_FLAGS WATCH_PORT BENCH_FLAGS JOBS TORCH_INDEX

.DEFAULT_GOAL := help
.PHONY: help run serve chat watch tools package build model test bench lint tidy format asan tsan clean
.SILENT:

help:  ## this list
	sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16
	echo "Variables: PORT (or LISTEN=ADDRESS:PORT), MODEL, DTYPE, SERVER_FLAGS, CHAT_FLAGS, LOAD_FLAGS, WATCH_PORT, BENCH_FLAGS, JOBS, TORCH_INDEX"

run:  ## set up what is missing, start a server, chat with it
	scripts/prepare </dev/null
	scripts/run

serve:  ## set up what is missing, start a server alone
	scripts/prepare </dev/null
	eval "set -- $$SERVER_FLAGS"; exec build/bin/sinkstream-server --model="$$MODEL" --listen="$$LISTEN" "$$@"

chat:  ## chat with a server that is running
	scripts/setup </dev/null
	scripts/build release sinkstream-chat </dev/null
	eval "set -- $$CHAT_FLAGS"; exec build/bin/sinkstream-chat --server="$$LISTEN" "$$@"

watch:  ## a server, load, and Prometheus with a live dashboard
	scripts/prepare </dev/null
	scripts/build release sinkstream-loadgen </dev/null
	scripts/watch

tools:  ## build sinkstream-eval and sinkstream-loadgen
	scripts/setup </dev/null
	scripts/build release sinkstream-eval sinkstream-loadgen

package:  ## build Debian packages of the server and the clients, in build/package
	scripts/setup </dev/null
	scripts/package

build:  ## build everything, tests too
	scripts/setup </dev/null
	scripts/build release

model:  ## export the default model
	scripts/prepare </dev/null

test:  ## every test, under sanitizers too
	scripts/test </dev/null

bench:  ## speed beside that of other programs, which it sets up: some GB and half an hour
	eval "set -- $$BENCH_FLAGS"; scripts/bench "$$@" </dev/null

lint:  ## form and layers
	scripts/setup --tests </dev/null
	scripts/lint

tidy:  ## clang-tidy's short list and the thread-safety analysis
	scripts/setup --tests </dev/null
	scripts/tidy </dev/null

format:  ## lay out the C++ sources
	scripts/setup --tests </dev/null
	scripts/format

asan:  ## most tests, some of them end to end, under AddressSanitizer and UndefinedBehaviorSanitizer
	scripts/prepare </dev/null
	scripts/setup --tests </dev/null
	scripts/build asan
	ctest --preset asan -LE python

tsan:  ## the engine's and the server's threads under ThreadSanitizer
	scripts/setup --tests </dev/null
	scripts/build tsan
	ctest --preset tsan -LE python

clean:  ## remove what was built; keeps the Python environment
	scripts/clean
