"""The roster: which peers there are, with the settings that suit each best on a CPU."""

import fnmatch
import os

from comparison.peers.in_process import InProcess
from comparison.peers.llama_batched import LlamaBatched
from comparison.peers.llama_server import LlamaServer
from comparison.peers.sinkstream import Sinkstream

_WITHOUT_ENDLESS = ("reply", "prefill", "history")


def ours(arguments):
    """One a model file of --model NAME=FILE; --isa of --server_flags is told in the name."""
    flags = arguments.server_flags.split()
    isa = "".join(f" {flag.partition('=')[2]}" for flag in flags if flag.startswith("--isa="))
    return [Sinkstream(f"sinkstream {name}{isa}", arguments.binaries, file, arguments.threads, arguments.text, flags)
            for name, file in (model.split("=", 1) for model in arguments.model)]


def _llama(bench, threads):
    def place(name):
        return os.path.join(bench, name)

    def binary(build, name):
        return place(os.path.join("llama.cpp", build, "bin", name))

    server, batched = binary("build", "llama-server"), binary("build", "llama-batched-bench")
    q4, q8 = place("q4_1.gguf"), place("q8_0.gguf")
    native = [LlamaServer("llama.cpp server Q4_1", server, q4, threads),
              LlamaServer("llama.cpp server Q4_1 -fa off", server, q4, threads, flash_attention=False),
              LlamaServer("llama.cpp server Q4_1 exact", server, q4, threads, flash_attention=False, exact=True),
              LlamaServer("llama.cpp server Q8_0", server, q8, threads),
              LlamaBatched("llama.cpp in process Q4_1", batched, q4, threads),
              LlamaBatched("llama.cpp in process Q8_0", batched, q8, threads)]
    # Of one build for fewer instructions, where it was asked for.
    limited = [peer(f"llama.cpp {kind} {weights} {isa}", binary(f"build-{isa}", program), file, threads)
               for isa in ("avx2", "avx512") if os.path.exists(binary(f"build-{isa}", "llama-server"))
               for peer, kind, program in ((LlamaServer, "server", "llama-server"), (LlamaBatched, "in process", "llama-batched-bench"))
               for weights, file in (("Q4_1", q4), ("Q8_0", q8))]
    return native + limited


def _libraries(root, bench, threads):
    def python(environment):
        return os.path.join(root, "build", environment, "bin/python")

    def openvino(name, weights, kinds=_WITHOUT_ENDLESS, **settings):
        exported = os.path.join(bench, f"openvino-{weights}")
        return InProcess(f"OpenVINO GenAI {name}", python("bench-openvino"), "openvino_genai_worker.py",
                         {"model": exported, "threads": threads} | settings, [exported], kinds)

    checkpoint = os.path.join(bench, "hf-float32")
    torch = {"model": checkpoint, "threads": threads, "precision": "bfloat16"}
    return [openvino("bf16", "float32", precision="bf16"),
            openvino("bf16 eviction", "float32", ("endless",), precision="bf16", eviction=True),
            openvino("float32", "float32", precision="f32"),
            openvino("int8", "int8"), openvino("int4", "int4"),
            InProcess("transformers bf16", python("venv"), "transformers_worker.py", torch, [checkpoint], _WITHOUT_ENDLESS),
            InProcess("vLLM bf16", python("bench-vllm"), "vllm_worker.py", torch, [checkpoint], _WITHOUT_ENDLESS)]


def peers(root, bench, threads):
    return _llama(bench, threads) + _libraries(root, bench, threads)


def chosen(roster, patterns):
    """Those whose names match one of the patterns, parted by ";" ("llama*;vLLM*"). ValueError names a pattern that has none."""
    for pattern in patterns.split(";"):
        if not any(fnmatch.fnmatchcase(peer.name, pattern) for peer in roster):
            raise ValueError(f"no peer {pattern!r}; there are {'; '.join(peer.name for peer in roster)}")
    return [peer for peer in roster
            if any(fnmatch.fnmatchcase(peer.name, pattern) for pattern in patterns.split(";"))]
