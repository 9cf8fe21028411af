"""Reads a GGUF file: metadata into config.json's words, tensors dequantised to float32, tokenizer rebuilt."""

from __future__ import annotations

import math
import re
from pathlib import Path

import gguf as gguf_format
import numpy as np
import torch
from gguf import GGMLQuantizationType as QuantizationType

from . import gguf_layouts, gguf_tokenizer
from .checkpoint import Checkpoint, ExportError, LazyTensors, Provenance, Quantized, file_sha256
from .gguf_layouts import Layout
from .gguf_metadata import Metadata

_PIECE = 1 << 22  # numbers dequantised at once
_FLOATS = {QuantizationType.F16, QuantizationType.BF16, QuantizationType.F32}
_SUPPORTED_TYPES = _FLOATS | {
    QuantizationType.Q4_0, QuantizationType.Q4_1, QuantizationType.Q5_0, QuantizationType.Q5_1, QuantizationType.Q8_0,
    QuantizationType.Q2_K, QuantizationType.Q3_K, QuantizationType.Q4_K, QuantizationType.Q5_K, QuantizationType.Q6_K,
    QuantizationType.IQ4_NL, QuantizationType.IQ4_XS,
}

# Keys that no layout reads -> the values that change nothing, as llama.cpp reads them.
_NEUTRAL_VALUES = {
    "general.type": ("model",),
    "split.count": (0, 1),
    "{arch}.attention.causal": (True,),
    "{arch}.attention.sliding_window": (0,),
    "{arch}.expert_count": (0,),
    "{arch}.expert_used_count": (0,),
    "{arch}.pooling_type": (0,),
    "{arch}.rope.scaling.finetuned": (True, False),
    "{arch}.tensor_data_layout": ("Meta AI original pth", "jploski"),  # the orders that the layouts know
}


def read(path: Path) -> Checkpoint:
    """Raises ExportError naming the key, tensor or type that is missing, malformed or not supported."""
    reader = _open(path)
    metadata = Metadata(reader)
    stored = _stored_tensors(reader)
    layout = gguf_layouts.find(metadata, stored)
    config = layout.read_config(metadata, stored)
    _refuse_unread_keys(metadata)
    eos = metadata.get("tokenizer.ggml.eos_token_id")
    return Checkpoint(
        name=_strip_quantization(path.stem),
        architecture=config["model_type"],
        source_config=config,
        tensors=_restored_tensors(stored, layout, metadata.architecture, config),
        tokenizer_json=gguf_tokenizer.build(metadata),
        chat_template=metadata.get("tokenizer.chat_template"),
        bos_token=metadata.get("tokenizer.ggml.bos_token_id"),
        eos_tokens=[] if eos is None else [eos],
        provenance=Provenance(path.name, file_sha256(path), metadata.get("general.license", "unknown")),
    )


class _Reader(gguf_format.GGUFReader):
    """The library takes what lies behind the file's end for empty, and reads on for as long as an array says."""

    def _get(self, offset, dtype, count=1, override_order=None):
        if int(offset) + np.dtype(dtype).itemsize * int(count) > len(self.data):
            raise IndexError("it ends within what it says to hold")
        return super()._get(offset, dtype, count, override_order)


def _open(path: Path) -> gguf_format.GGUFReader:
    with open(path, "rb") as file:
        if file.read(4) != b"GGUF":
            raise ExportError(f"{path.name} is not a GGUF file")
    try:
        return _Reader(path)
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ExportError(f"{path.name}: broken or truncated GGUF file: {error}") from error


def _refuse_unread_keys(metadata: Metadata) -> None:
    """A key of the architecture that was not read may change what the model computes."""
    neutral_values = {key.format(arch=metadata.architecture): values for key, values in _NEUTRAL_VALUES.items()}
    for key in metadata.unread():
        if key not in neutral_values:
            if key.startswith(f"{metadata.architecture}."):
                raise ExportError(f"GGUF metadata: {key} is not supported")
        elif (value := metadata.get(key)) not in neutral_values[key]:
            known = ", ".join(map(repr, neutral_values[key]))
            raise ExportError(f"GGUF metadata: {key} {value!r} is not supported (supported: {known})")


def _strip_quantization(stem: str) -> str:
    return re.sub(r"[.-](I?Q\d\w*|F16|F32|BF16)$", "", stem, flags=re.IGNORECASE)


def _stored_tensors(reader: gguf_format.GGUFReader) -> LazyTensors:
    """Under GGUF's names."""
    loaders, shapes, quantized = {}, {}, {}
    for tensor in reader.tensors:
        if tensor.tensor_type not in _SUPPORTED_TYPES:
            known = ", ".join(kind.name for kind in QuantizationType if kind in _SUPPORTED_TYPES)
            raise ExportError(f"tensor {tensor.name}: type {tensor.tensor_type.name} is not supported"
                              f" (supported: {known})")
        shapes[tensor.name] = _shape(tensor)
        loaders[tensor.name] = lambda tensor=tensor: _dequantize(tensor)
        if tensor.tensor_type not in _FLOATS:
            quantized[tensor.name] = Quantized(tensor.tensor_type.name, lambda tensor=tensor: _blocks(tensor))
    return LazyTensors(loaders, shapes, quantized)


def _shape(tensor: gguf_format.ReaderTensor) -> tuple[int, ...]:
    # GGUF writes the fastest dimension first.
    return tuple(reversed(tensor.shape.tolist()))


def _blocks(tensor: gguf_format.ReaderTensor) -> torch.Tensor:
    _, size = gguf_format.GGML_QUANT_SIZES[tensor.tensor_type]
    return torch.tensor(tensor.data).unflatten(-1, (-1, size))


def _dequantize(tensor: gguf_format.ReaderTensor) -> torch.Tensor:
    shape = _shape(tensor)
    rows, values = tensor.data.reshape(-1, tensor.data.shape[-1]), torch.empty(math.prod(shape[:-1]), shape[-1])
    # In pieces: gguf takes several copies of what it is given.
    count = max(1, _PIECE // shape[-1])
    for first in range(0, len(rows), count):
        piece = gguf_format.quants.dequantize(rows[first:first + count], tensor.tensor_type)
        values[first:first + count] = torch.tensor(piece, dtype=torch.float32)
    return values.reshape(shape)


def _restored_tensors(stored: LazyTensors, layout: Layout, architecture: str, config: dict) -> LazyTensors:
    """Under Hugging Face's names and in its order."""
    loaders, shapes, quantized = {}, {}, {}
    for source in stored:
        stem, layer, kind = _parts(source)
        if stem not in layout.names or kind not in ("weight", "bias"):
            raise ExportError(f"tensor {source} is not part of the {architecture} architecture")
        if (pattern := layout.names[stem]) is None:
            continue
        name = f"{pattern.format(layer=layer)}.{kind}"
        undo = layout.restore.get(stem, _as_it_is)
        loaders[name] = lambda source=source, undo=undo: undo(stored[source], config)
        shapes[name] = stored.shape(source)
        if found := stored.quantized(source):
            quantized[name] = Quantized(found.kind, lambda read=found.read, undo=undo: undo(read(), config))
    return LazyTensors(loaders, shapes, quantized)


def _as_it_is(tensor: torch.Tensor, config: dict) -> torch.Tensor:
    return tensor


def _parts(name: str) -> tuple[str, str, str]:
    """Name with {layer} for the layer's number and without its last part; that number; the last part."""
    stem, _, kind = name.rpartition(".")
    if layer := re.fullmatch(r"blk\.(\d+)\.(\w+)", stem):
        return f"blk.{{layer}}.{layer[2]}", layer[1], kind
    return stem, "", kind
