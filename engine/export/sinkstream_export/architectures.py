"""Which architectures can be exported. `register` adds one, also from outside this package."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .checkpoint import Checkpoint, DecoderConfig, ExportError


def _as_it_is(reference: torch.nn.Module) -> None:
    pass


@dataclass(frozen=True)
class Architecture:
    """`read_config` turns Checkpoint.source_config into sizes and refuses (ExportError) what it does not implement.

    `build` makes the module that is scripted: forward(tokens, logit_rows, step) as in docs/model_artifact.md, weights
    in the given dtype. `streaming_oracle` (transformers' model, tokens [T], sinks, window, float32 or float64) gives
    the logits [T, vocab_size] of the streamed text by other means, computed in that type, for the verifier; left out,
    it is oracle.band_sink_logits, which knows transformers' models. `prepare_reference` corrects
    transformers' model where it departs from what the model was trained as.
    """

    read_config: Callable[[dict], DecoderConfig]
    build: Callable[[Checkpoint, DecoderConfig, torch.dtype], torch.nn.Module]
    streaming_oracle: Callable[[torch.nn.Module, torch.Tensor, int, int, torch.dtype], torch.Tensor] | None = None
    prepare_reference: Callable[[torch.nn.Module], None] = _as_it_is


# Their modules name classes of the operator library, so they are imported once it has been loaded.
_BUILT_IN = {"llama": "sinkstream_export.llama"}
_registered: dict[str, Architecture] = {}

_LEARNED_POSITIONS = {
    "gpt2", "opt", "gpt_neo", "gpt_bigcode", "openai-gpt", "biogpt", "xglm", "ctrl", "bert", "roberta",
}


def register(model_type: str, architecture: Architecture) -> None:
    """Makes `model_type` (as in config.json) exportable. The last registration counts."""
    _registered[model_type] = architecture


def find(model_type: str) -> Architecture:
    """The architecture of `model_type`; ExportError names what is not supported and why."""
    if model_type in _registered:
        return _registered[model_type]
    if model_type in _LEARNED_POSITIONS:
        raise ExportError(
            f"architecture '{model_type}' has learned absolute positions, which cannot stream: there is no embedding"
            " for a position beyond the trained context, and a cached token cannot be moved to an earlier one")
    if model_type not in _BUILT_IN:
        known = ", ".join(sorted({*_BUILT_IN, *_registered}))
        raise ExportError(f"architecture '{model_type}' is not supported (supported: {known})")
    importlib.import_module(_BUILT_IN[model_type])
    return _registered[model_type]
