"""Finds and loads the library of sinkstream's operators, libsinkstream_ops.so."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from .checkpoint import ExportError

_NAME = "libsinkstream_ops.so"


def load(path: str | None = None) -> None:
    """Loads `path`, else $SINKSTREAM_OPS, else build/lib/ of the checkout this file lies in. Once is enough."""
    chosen = Path(path or os.environ.get("SINKSTREAM_OPS") or Path(__file__).parents[3] / "build" / "lib" / _NAME)
    if not chosen.is_file():
        raise ExportError(f"operator library {chosen} not found: build it (cmake target sinkstream_ops) or name it"
                          " with --ops or SINKSTREAM_OPS")
    try:
        torch.ops.load_library(str(chosen.resolve()))
    except OSError as error:
        raise ExportError(f"operator library {chosen} cannot be loaded: {error}") from error


def check_text(tokenizer_json: str, chat_format_json: str, vocab_size: int) -> None:
    """ExportError with what the server's own parsers say if they refuse one of the texts. The library is loaded."""
    try:
        torch.ops.sinkstream.check_text(tokenizer_json, chat_format_json, vocab_size)
    except RuntimeError as error:
        said = str(error).partition("\nException raised from ")[0]  # there where torch shows C++ stacks
        raise ExportError(" ".join(said.split())) from error
