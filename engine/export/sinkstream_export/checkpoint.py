"""Checkpoint: what every reader (hf.py, gguf.py) makes of its input, and what every architecture reads."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch


class ExportError(Exception):
    """Why a checkpoint cannot be exported, in one line for the person who asked."""


@dataclass(frozen=True)
class Quantized:
    """How the source holds a tensor that it has quantised."""

    kind: str  # of its blocks, as GGUF calls it: "Q4_1"
    read: Callable[[], torch.Tensor]  # the blocks as they are: uint8 [out, blocks of a row, bytes of a block]


class LazyTensors(Mapping[str, torch.Tensor]):
    """Name -> tensor, read from disk at each access and not kept, so that memory holds what is in use.

    Names are those of Hugging Face checkpoints ("model.layers.0.self_attn.q_proj.weight"). A missing name raises
    ExportError. `shapes` are known without reading; `elements`: numbers in all tensors together. `quantized` has those
    that the source holds so; read by name they are floats like all others.
    """

    def __init__(self, loaders: dict[str, Callable[[], torch.Tensor]], shapes: dict[str, tuple[int, ...]],
                 quantized: dict[str, Quantized] | None = None):
        self._loaders = loaders
        self._shapes = shapes
        self._quantized = quantized or {}
        self.elements = sum(map(math.prod, shapes.values()))

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self._shapes:
            raise ExportError(f"the checkpoint has no tensor {name}")
        return self._shapes[name]

    def quantized(self, name: str) -> Quantized | None:
        """None: the source holds floats."""
        return self._quantized.get(name)

    def renamed(self, rename: Callable[[str], str | None]) -> LazyTensors:
        """The same tensors under the names that `rename` gives; without those it gives None."""
        names = {new: name for name in self._loaders if (new := rename(name)) is not None}
        return LazyTensors({new: self._loaders[name] for new, name in names.items()},
                           {new: self._shapes[name] for new, name in names.items()},
                           {new: self._quantized[name] for new, name in names.items() if name in self._quantized})

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._loaders:
            raise ExportError(f"the checkpoint has no tensor {name}")
        return self._loaders[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._loaders

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)


@dataclass(frozen=True)
class Rope:
    """Rotary positions, in pairs (i, i + dims / 2) of a head's first `dims` dimensions; the others are not rotated."""

    theta: float
    dims: int
    scaling: dict | None = None  # its "type" and what that type is set by (rope.py); None: not scaled


@dataclass(frozen=True)
class Alibi:
    """Attention with linear biases: the score loses a head's slope (alibi.py) for each token of distance."""

    bias_max: float = 8.0  # the steepest exponent: slopes reach down to 2^-bias_max
    scale: float = 1.0  # of all slopes


@dataclass(frozen=True)
class DecoderConfig:
    """What every decoder-only model is described by; an architecture makes it from Checkpoint.source_config, and adds
    fields of its own in a subclass."""

    vocab_size: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    norm_epsilon: float
    positions: Rope | Alibi
    trained_context: int  # tokens; of a model trained with a sliding window: at most that window
    tied_head: bool  # the output head is the embedding


@dataclass(frozen=True)
class Provenance:
    source: str  # file or folder name, no path
    source_sha256: str  # of the file; of a folder: of its files' digests, sorted by name
    license: str  # SPDX identifier as the source states it, or "unknown"


@dataclass(frozen=True)
class Checkpoint:
    name: str
    architecture: str  # model_type of transformers
    source_config: dict  # in the words of a Hugging Face config.json, whatever the source
    tensors: LazyTensors
    tokenizer_json: str
    chat_template: str | None  # Jinja
    bos_token: int | None
    eos_tokens: list[int]  # what ends a reply, the likeliest first; may be empty
    provenance: Provenance


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_token_ids(checkpoint: Checkpoint, vocab_size: int) -> None:
    """ExportError naming the key and the id, unless the source's bos and eos ids lie in [0, vocab_size)."""
    for key, ids in (("bos_token_id", token_list(checkpoint.bos_token)), ("eos_token_id", checkpoint.eos_tokens)):
        for token in ids:
            if type(token) is not int or not 0 <= token < vocab_size:
                raise ExportError(f"{key} {token!r} is not a token id of the model's vocabulary of {vocab_size}")


def token_list(value: int | list[int] | None) -> list[int]:
    """The ids of a config's eos_token_id: absent, one, or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
