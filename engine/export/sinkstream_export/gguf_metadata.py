"""The metadata of a GGUF file, and the parts of it that architectures share, in config.json's words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import gguf as gguf_format
import numpy as np
import torch

from .checkpoint import ExportError, LazyTensors


class Metadata:
    """The key-value part of a GGUF file. Remembers which keys were asked for, so that the others can be refused.

    ExportError names the key that is missing or malformed.
    """

    def __init__(self, reader: gguf_format.GGUFReader):
        self._fields = reader.fields
        self._read: set[str] = set()
        self.architecture = self.text("general.architecture")

    def get(self, key: str, default: Any = None) -> Any:
        self._read.add(key)
        field = self._fields.get(key)
        return default if field is None else field.contents()

    def require(self, key: str) -> Any:
        if key not in self._fields:
            raise ExportError(f"GGUF metadata: {key} is missing")
        return self.get(key)

    def text(self, key: str) -> str:
        if not isinstance(value := self.require(key), str):
            raise ExportError(f"GGUF metadata: {key} must be a string, not {value!r}")
        return value

    def unread(self) -> Iterator[str]:
        return (key for key in self._fields if key not in self._read)

    # ---- keys below "<architecture>." ----

    def name(self, key: str) -> str:
        return f"{self.architecture}.{key}"

    def own(self, key: str, default: Any = None) -> Any:
        return self.get(self.name(key), default)

    def size(self, key: str, default: int | None = None) -> int:
        value = self.own(key, default)
        if type(value) is not int or value < 1:
            raise ExportError(f"GGUF metadata: {self.name(key)} must be one positive number for all layers, not"
                              f" {value!r}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """What config.json has: the shortest decimal of the float32 that GGUF stores."""
        value = self.own(key, default)
        if type(value) not in (int, float):
            raise ExportError(f"GGUF metadata: {self.name(key)} must be a number, not {value!r}")
        return float(str(np.float32(value)))

    def expect(self, key: str, value: int | float, why: str) -> None:
        """ExportError unless the key is absent or `value`."""
        if (found := self.own(key, value)) != value:
            raise ExportError(f"GGUF metadata: {self.name(key)} {found!r} is not supported ({why} {value!r})")


def vocab_size(metadata: Metadata, tensors: LazyTensors) -> int:
    if "token_embd.weight" not in tensors:
        raise ExportError("the file has no tensor token_embd.weight")
    return metadata.size("vocab_size", tensors.shape("token_embd.weight")[0])


def head_dim(metadata: Metadata, heads: int) -> int:
    dims = metadata.size("attention.key_length", metadata.size("embedding_length") // heads)
    metadata.expect("attention.value_length", dims, "supported: as long as keys,")
    return dims


def rope_parameters(metadata: Metadata, rotary_dims: int) -> dict:
    """transformers' `rope_parameters`; llama.cpp's defaults: an absent type is linear, a factor of 0 is 1."""
    base = {"rope_theta": metadata.number("rope.freq_base", 10000.0)}
    metadata.expect("rope.dimension_count", rotary_dims, "supported: the head's")
    kind = metadata.own("rope.scaling.type", "linear")
    older = metadata.own("rope.scale_linear", 1.0)
    factor = metadata.own("rope.scaling.factor", older) or 1.0
    if kind not in ("none", "linear", "yarn"):
        raise ExportError(f"GGUF metadata: {metadata.name('rope.scaling.type')} {kind!r} is not supported"
                          " (supported: 'none', 'linear', 'yarn')")
    if not (isinstance(factor, int | float) and 1 <= factor < math.inf) or (kind == "none" and factor != 1):
        raise ExportError(f"GGUF metadata: {metadata.name('rope.scaling.factor')} {factor!r} is not supported for"
                          f" {metadata.name('rope.scaling.type')} {kind!r}")
    if kind == "yarn":
        return {"rope_type": "yarn", **base, "factor": float(factor), **_yarn(metadata)}
    if factor != 1:
        return {"rope_type": "linear", **base, "factor": float(factor)}
    return {"rope_type": "default", **base}


def _yarn(metadata: Metadata) -> dict:
    # yarn_attn_factor is left unread, and so refused: the converter writes transformers' whole factor there, llama.cpp
    # multiplies it by 0.1 ln(factor) + 1.
    metadata.expect("rope.scaling.yarn_ext_factor", 1.0, "supported:")
    return {
        "original_max_position_embeddings": metadata.size("rope.scaling.original_context_length"),
        "beta_fast": metadata.number("rope.scaling.yarn_beta_fast", 32.0),
        "beta_slow": metadata.number("rope.scaling.yarn_beta_slow", 1.0),
    }


def partial_rotary_factor(rotary_dims: int, head_dims: int) -> float:
    """The factor that transformers turns back into `rotary_dims`: it truncates the product."""
    factor = rotary_dims / head_dims
    return factor if int(head_dims * factor) == rotary_dims else math.nextafter(factor, 1.0)


def llama3_parameters(factors: torch.Tensor, theta: float, rotary_dims: int) -> dict:
    """transformers' parameters of rope type llama3 from `factors`, what each frequency is divided by.

    The converter keeps the factors alone. Those that Llama 3.1 and later give, with any `factor`, are recognised;
    ExportError for others."""
    words = {"factor": float(factors.max()), "low_freq_factor": 1.0, "high_freq_factor": 4.0,
             "original_max_position_embeddings": 8192}
    wanted = _llama3_factors(theta, rotary_dims // 2, **words)
    # Both follow one formula, the file's in float32.
    if factors.shape != wanted.shape or not torch.allclose(factors.double(), wanted, rtol=1e-5, atol=0):
        raise ExportError("tensor rope_freqs.weight: these factors of the rotary frequencies are not supported"
                          " (supported: those of Llama 3.1 and later)")
    return {"rope_type": "llama3", "rope_theta": theta, **words}


def _llama3_factors(
    theta: float, count: int, factor: float, low_freq_factor: float, high_freq_factor: float,
    original_max_position_embeddings: int,
) -> torch.Tensor:
    frequencies = theta ** (-torch.arange(count, dtype=torch.float64) / count)
    turns = original_max_position_embeddings * frequencies / (2 * math.pi)  # in the original context
    smooth = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0, 1)
    return 1 / ((1 - smooth) / factor + smooth)
