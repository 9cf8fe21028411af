"""Mistral: Llama, trained with a sliding window until version 0.2. A session's window may not exceed that."""

from dataclasses import replace

from . import llama, options
from .architectures import Architecture, register
from .checkpoint import DecoderConfig


def read_config(config: dict) -> DecoderConfig:
    like_llama = llama.read_config({**config, "sliding_window": None})
    return replace(like_llama, trained_context=options.attention_span(config, like_llama))


register("mistral", Architecture(read_config, llama.build))
