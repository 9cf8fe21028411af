"""manifest.json: what the model is (docs/model_artifact.md)."""

from __future__ import annotations

from dataclasses import asdict

import torch
import transformers

from . import __version__
from .checkpoint import Checkpoint, DecoderConfig, Provenance

MAGIC = "sinkstream-model"
FORMAT_VERSION = 1
_SIZES = ("vocab_size", "layers", "hidden", "intermediate", "heads", "kv_heads", "head_dim")


def build(
    checkpoint: Checkpoint, config: DecoderConfig, dtype: str, kv_dtype: str, name: str, verification: dict, digest: str
) -> dict:
    """`kv_dtype`, `verification` and `digest` as verify.kv_dtype(), verify.check() and archive.digest() give them."""
    return {
        "magic": MAGIC,
        "format_version": FORMAT_VERSION,
        "name": name,
        "architecture": checkpoint.architecture,
        "dtype": dtype,
        "kv_dtype": kv_dtype,
        **{size: getattr(config, size) for size in _SIZES},
        "positions": {"kind": type(config.positions).__name__.lower(), **asdict(config.positions)},
        "trained_context": config.trained_context,
        "bos_token": checkpoint.bos_token,
        "eos_token": next(iter(checkpoint.eos_tokens), None),
        "license": checkpoint.provenance.license,
        "provenance": _provenance(checkpoint.provenance),
        "verification": verification,
        "digest": digest,
    }


def _provenance(provenance: Provenance) -> dict:
    return {
        "source": provenance.source,
        "source_sha256": provenance.source_sha256,
        "exporter": __version__,
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
    }
