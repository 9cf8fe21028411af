"""One export: read, check, build, verify, write."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from . import archive, architectures, chat_format, gguf, hf, manifest, operators, tokenizer, verify
from .architectures import Architecture
from .checkpoint import Checkpoint, DecoderConfig, ExportError, check_token_ids
from .precision import Precision

# Norms and biases, which are float32 in every file, the module's code and the texts.
_BESIDE_MATRICES = 16 << 20  # bytes


@dataclass(frozen=True)
class Request:
    source: Path  # GGUF file or Hugging Face directory
    out: Path
    dtype: str  # one of precision.NAMES
    name: str | None = None  # else the source's
    ops: str | None = None  # path of the operator library, else where operators.load looks
    chat_format: str | None = None  # a name of chat_formats.NAMES, else the source's template


def run(request: Request) -> dict:
    """Writes `request.out` and returns its manifest. On an error (ExportError, OSError) an existing file stays as it
    was and nothing else is left behind."""
    if request.out.is_dir():
        raise ExportError(f"--out {request.out} is a folder")
    operators.load(request.ops)
    _return_freed_tensors()
    _report(f"reading {request.source}")
    checkpoint = read(request.source)
    architecture = architectures.find(checkpoint.architecture)
    checkpoint = replace(checkpoint, tensors=checkpoint.tensors.renamed(architecture.tensor_name))
    config = architecture.read_config(checkpoint.source_config)
    # The ids that end a reply: these, and the chat format's, which are the tokenizer's own.
    check_token_ids(checkpoint, config.vocab_size)
    verify.check_tensors(checkpoint)
    model_tokenizer = tokenizer.check(checkpoint.tokenizer_json, config.vocab_size)
    files = chat_format.compile_format(checkpoint, model_tokenizer, request.chat_format)
    extra_files = {"tokenizer.json": files.tokenizer_json, "chat_format.json": _json(files.chat_format)}
    operators.check_text(extra_files["tokenizer.json"], extra_files["chat_format.json"], config.vocab_size)
    with _made(request.out.parent) as beside:  # so that the last step is a rename
        with tempfile.TemporaryDirectory(prefix=".sinkstream-export-", dir=beside) as folder:
            return _write(request, checkpoint, architecture, config, extra_files, Path(folder))


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """`folder` is there. On an error those of it and its parents that were not are removed."""
    missing = list(itertools.takewhile(lambda path: not path.exists(), [folder, *folder.parents]))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except BaseException:
        for path in missing:
            with contextlib.suppress(OSError):  # not made, or somebody has put something there
                path.rmdir()
        raise


def _write(
    request: Request, checkpoint: Checkpoint, architecture: Architecture, config: DecoderConfig,
    extra_files: dict[str, str], folder: Path,
) -> dict:
    """Builds, verifies and writes by way of `folder`, which is empty and on the result's disk."""
    precision = Precision(request.dtype)
    # torch writes a file's own name into it: a fixed name.
    module_path, final_path = folder / "module.pt", folder / "model.pt"
    _require_space([module_path, final_path],
                   _BESIDE_MATRICES + math.ceil(checkpoint.tensors.elements * precision.weight_bytes))
    _report(f"building {checkpoint.architecture} with {config.layers} layers, {request.dtype}")
    archive.save_module(architecture.build(checkpoint, config, precision), module_path)
    gc.collect()  # scripted modules hold cycles; their weights are not needed again
    if precision.quantized:
        _report("matrices: " + ", ".join(f"{count} {kind}" for kind, count in sorted(precision.kinds.items())))
    _report("verifying against transformers")
    verification = verify.check(torch.jit.load(str(module_path)), architecture, checkpoint, config, precision)
    kv_dtype = verify.kv_dtype(request.dtype, verification)
    if precision.quantized:
        _report(f"{_kv_found(verification)}: the cache is {kv_dtype}")
    _report(f"{_found(verification)}; writing {request.out}")
    description = manifest.build(checkpoint, config, request.dtype, kv_dtype, request.name or checkpoint.name,
                                 verification, archive.digest(module_path, extra_files))
    archive.write_final(module_path, final_path, {**extra_files, "manifest.json": _json(description)})
    archive.publish(final_path, request.out)
    return description


def _found(verification: dict) -> str:
    if "source" not in verification:
        return f"logits differ by at most {verification['max_abs_logit_difference']:g}"
    source, same = (f"{figures['mean_kl']:g} nats (mean KL divergence), {figures['mean_nll_increase']:+g} (mean NLL)"
                    for figures in (verification["source"], verification["same_weights"]))
    sample = f"on a sample of {verification['tokens']} tokens"
    return f"{sample} predictions differ from the source's by {source}; from the same weights' in float32 by {same}"


def _kv_found(verification: dict) -> str:
    costs = (f"{figures['mean_kl']:g} nats as {name}" for name, figures in verification["kv"].items())
    return "rounding keys and values changes predictions by " + ", ".join(costs)


def read(source: Path) -> Checkpoint:
    """ExportError if `source` is neither a GGUF file nor a Hugging Face directory, or for what its reader refuses."""
    if source.is_dir():
        return hf.read(source)
    if source.is_file():
        return gguf.read(source)
    raise ExportError(f"{source} does not exist")


def _return_freed_tensors() -> None:
    """glibc would keep what is freed of tensors up to 32 MiB, as much as the whole model, from the system."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        m_mmap_threshold = -3  # malloc.h
        mallopt(m_mmap_threshold, 1 << 20)


def _require_space(paths: list[Path], size: int) -> None:
    """OSError unless each of `paths` can take `size` bytes: torch aborts the process when the disk fills up."""
    try:
        for path in paths:
            with open(path, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _json(value: dict) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _report(line: str) -> None:
    print(f"sinkstream_export: {line}", file=sys.stderr, flush=True)
