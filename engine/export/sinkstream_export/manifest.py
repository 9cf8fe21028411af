"""manifest.json: what the model is (docs/model_artifact.md)."""

from __future__ import annotations

from dataclasses import asdict

import torch
import transformers

from . import __version__
from .checkpoint import Checkpoint, DecoderConfig

MAGIC = "sinkstream-model"
FORMAT_VERSION = 1


def build(
    checkpoint: Checkpoint, config: DecoderConfig, dtype: str, name: str, verification: dict, digest: str
) -> dict:
    """`verification` and `digest` as verify.check() and archive.digest() give them."""
    return {
        "magic": MAGIC,
        "format_version": FORMAT_VERSION,
        "name": name,
        "architecture": checkpoint.architecture,
        "dtype": dtype,
        "vocab_size": config.vocab_size,
        "layers": config.layers,
        "hidden": config.hidden,
        "intermediate": config.intermediate,
        "heads": config.heads,
        "kv_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "positions": {"kind": type(config.positions).__name__.lower(), **asdict(config.positions)},
        "trained_context": config.trained_context,
        "bos_token": checkpoint.bos_token,
        "eos_token": next(iter(checkpoint.eos_tokens), None),
        "license": checkpoint.provenance.license,
        "provenance": {
            "source": checkpoint.provenance.source,
            "source_sha256": checkpoint.provenance.source_sha256,
            "exporter": __version__,
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
        },
        "verification": verification,
        "digest": digest,
    }
