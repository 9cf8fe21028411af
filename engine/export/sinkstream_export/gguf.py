"""Reads a GGUF file: metadata into config.json's words, tensors dequantised to float32, tokenizer rebuilt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf as gguf_format
import torch
from gguf import GGMLQuantizationType as QuantizationType

from . import gguf_tokenizer
from .checkpoint import Checkpoint, ExportError, LazyTensors, Provenance, file_sha256

_SUPPORTED_TYPES = {
    QuantizationType.Q4_0, QuantizationType.Q4_1, QuantizationType.Q8_0,
    QuantizationType.F16, QuantizationType.BF16, QuantizationType.F32,
}

# Keys -> the values that change nothing, as llama.cpp reads them: an absent scaling type is linear, a factor of 0 is 1.
_NEUTRAL_VALUES = {
    "split.count": (0, 1),
    "{arch}.rope.scaling.type": ("linear", "none"),
    "{arch}.rope.scaling.factor": (0, 1),
    "{arch}.rope.scale_linear": (0, 1),  # older files' scaling.factor
    "{arch}.attention.causal": (True,),
    "{arch}.attention.sliding_window": (0,),
    "{arch}.expert_count": (0,),
}
# Under these every key changes what the model computes.
_COMPUTING = ("{arch}.rope.", "{arch}.attention.")


class Metadata:
    """The key-value part of a GGUF file."""

    def __init__(self, reader: gguf_format.GGUFReader):
        self._fields = reader.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def get(self, key: str, default: Any = None) -> Any:
        field = self._fields.get(key)
        return default if field is None else field.contents()

    def require(self, key: str) -> Any:
        if key not in self._fields:
            raise ExportError(f"GGUF metadata: {key} is missing")
        return self.get(key)


@dataclass(frozen=True)
class Layout:
    """How one architecture is written in GGUF. Add one to LAYOUTS for another architecture."""

    # (metadata, names of the file's tensors) -> dict in config.json's words; ExportError for what is not supported
    read_config: Callable[[Metadata, set[str]], dict]
    # GGUF tensor name -> Hugging Face name; None for what is not part of the model
    rename: Callable[[str], str | None]
    # (Hugging Face name, tensor, config) -> the tensor as Hugging Face stores it, in the same shape
    restore: Callable[[str, torch.Tensor, dict], torch.Tensor]
    # the keys below "<architecture>." that read_config reads; others under rope and attention are refused
    reads: frozenset[str]


def read(path: Path) -> Checkpoint:
    """Raises ExportError naming the key, tensor or type that is missing, malformed or not supported."""
    reader = _open(path)
    metadata = Metadata(reader)
    architecture = metadata.require("general.architecture")
    if architecture not in LAYOUTS:
        # The registry of architectures knows the reason, if there is one; this reader can read no other layout.
        from . import architectures
        architectures.find(architecture)
        raise ExportError(f"architecture '{architecture}' is not supported from GGUF (supported: {', '.join(LAYOUTS)})")
    layout = LAYOUTS[architecture]
    _refuse_unread_keys(metadata, architecture, layout.reads)
    config = layout.read_config(metadata, {tensor.name for tensor in reader.tensors})
    eos = metadata.get("tokenizer.ggml.eos_token_id")
    return Checkpoint(
        name=_strip_quantization(path.stem),
        architecture=config["model_type"],
        source_config=config,
        tensors=_tensors(reader, layout, config),
        tokenizer_json=gguf_tokenizer.build(metadata),
        chat_template=metadata.get("tokenizer.chat_template"),
        bos_token=metadata.get("tokenizer.ggml.bos_token_id"),
        eos_tokens=[] if eos is None else [eos],
        provenance=Provenance(path.name, file_sha256(path), metadata.get("general.license", "unknown")),
    )


def _open(path: Path) -> gguf_format.GGUFReader:
    with open(path, "rb") as file:
        if file.read(4) != b"GGUF":
            raise ExportError(f"{path.name} is not a GGUF file")
    try:
        return gguf_format.GGUFReader(path)
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ExportError(f"{path.name}: broken or truncated GGUF file: {error}") from error


def _refuse_unread_keys(metadata: Metadata, architecture: str, reads: frozenset[str]) -> None:
    neutral_values = {key.format(arch=architecture): values for key, values in _NEUTRAL_VALUES.items()}
    computing = tuple(prefix.format(arch=architecture) for prefix in _COMPUTING)
    for key in metadata:
        if key.removeprefix(f"{architecture}.") in reads:
            continue
        if key not in neutral_values:
            if key.startswith(computing):
                raise ExportError(f"GGUF metadata: {key} is not supported")
        elif (value := metadata.get(key)) not in neutral_values[key]:
            known = ", ".join(map(repr, neutral_values[key]))
            raise ExportError(f"GGUF metadata: {key} {value!r} is not supported (supported: {known})")


def _strip_quantization(stem: str) -> str:
    return re.sub(r"[.-](I?Q\d\w*|F16|F32|BF16)$", "", stem, flags=re.IGNORECASE)


def _tensors(reader: gguf_format.GGUFReader, layout: Layout, config: dict) -> LazyTensors:
    loaders, shapes = {}, {}
    for tensor in reader.tensors:
        if tensor.tensor_type not in _SUPPORTED_TYPES:
            known = ", ".join(kind.name for kind in QuantizationType if kind in _SUPPORTED_TYPES)
            raise ExportError(f"tensor {tensor.name}: type {tensor.tensor_type.name} is not supported"
                              f" (supported: {known})")
        name = layout.rename(tensor.name)
        if name is not None:
            shapes[name] = _shape(tensor)
            loaders[name] = lambda tensor=tensor, name=name: layout.restore(name, _dequantize(tensor), config)
    return LazyTensors(loaders, shapes)


def _shape(tensor: gguf_format.ReaderTensor) -> tuple[int, ...]:
    # GGUF writes the fastest dimension first.
    return tuple(reversed(tensor.shape.tolist()))


def _dequantize(tensor: gguf_format.ReaderTensor) -> torch.Tensor:
    values = gguf_format.quants.dequantize(tensor.data, tensor.tensor_type)
    return torch.tensor(values, dtype=torch.float32).reshape(_shape(tensor))


# ---- llama ----

_LLAMA_TOP = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LLAMA_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _llama_size(metadata: Metadata, key: str, default: int | None = None) -> int:
    value = metadata.get(f"llama.{key}", default)
    if not isinstance(value, int):
        raise ExportError(f"GGUF metadata: llama.{key} must be one number for all layers, not {value!r}")
    return value


def _llama_config(metadata: Metadata, tensor_names: set[str]) -> dict:
    def size(key: str, default: int | None = None) -> int:
        return _llama_size(metadata, key, default)

    if "rope_freqs.weight" in tensor_names:
        raise ExportError("rope scaling 'llama3' (tensor rope_freqs.weight) is not supported (supported: none)")
    heads, hidden = size("attention.head_count"), size("embedding_length")
    head_dim = size("attention.key_length", hidden // heads)
    for key in ("rope.dimension_count", "attention.value_length"):
        if (dims := size(key, head_dim)) != head_dim:
            raise ExportError(f"llama.{key} {dims} differs from the head's {head_dim} dimensions: not supported")
    tokens = metadata.get("tokenizer.ggml.tokens") or []
    return {
        "model_type": "llama",
        "vocab_size": size("vocab_size", len(tokens)),
        "hidden_size": hidden,
        "intermediate_size": size("feed_forward_length"),
        "num_hidden_layers": size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": size("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": size("context_length"),
        "rms_norm_eps": float(metadata.require("llama.attention.layer_norm_rms_epsilon")),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": float(metadata.get("llama.rope.freq_base", 10000.0)),
        },
        "tie_word_embeddings": "output.weight" not in tensor_names,
        "attention_bias": "blk.0.attn_q.bias" in tensor_names,
        "mlp_bias": "blk.0.ffn_up.bias" in tensor_names,
    }


def _llama_rename(name: str) -> str | None:
    if (layer := re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)) and layer[2] in _LLAMA_LAYER:
        return f"model.layers.{layer[1]}.{_LLAMA_LAYER[layer[2]]}.{layer[3]}"
    stem, _, kind = name.rpartition(".")
    if stem in _LLAMA_TOP:
        return f"{_LLAMA_TOP[stem]}.{kind}"
    raise ExportError(f"tensor {name} is not part of the llama architecture")


def _llama_restore(name: str, tensor: torch.Tensor, config: dict) -> torch.Tensor:
    """llama.cpp pairs rotary dimensions as neighbours; Hugging Face pairs the two halves of a head."""
    if ".q_proj." in name:
        heads = config["num_attention_heads"]
    elif ".k_proj." in name:
        heads = config["num_key_value_heads"]
    else:
        return tensor
    half = tensor.shape[0] // heads // 2
    paired = tensor.reshape(heads, half, 2, *tensor.shape[1:])
    return paired.transpose(1, 2).reshape(tensor.shape).contiguous()


_LLAMA_READS = frozenset({
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
    "attention.layer_norm_rms_epsilon", "rope.dimension_count", "rope.freq_base",
})

LAYOUTS = {"llama": Layout(_llama_config, _llama_rename, _llama_restore, _LLAMA_READS)}
