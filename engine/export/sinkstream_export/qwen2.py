"""Qwen 2 and 2.5: Llama with biases on queries, keys and values. Its layers may slide, all of them or none."""

from dataclasses import replace

from . import llama, options
from .architectures import Architecture, register
from .checkpoint import DecoderConfig


def read_config(config: dict) -> DecoderConfig:
    like_llama = llama.read_config({**config, "sliding_window": None})
    span = options.attention_span(config, like_llama, slides=bool(config.get("use_sliding_window")),
                                  first=int(options.number(config, "max_window_layers", 28)))
    return replace(like_llama, trained_context=span)


register("qwen2", Architecture(read_config, llama.build))
