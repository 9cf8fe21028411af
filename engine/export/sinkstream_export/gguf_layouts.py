"""How each architecture is written in GGUF: what llama.cpp's converter makes of a Hugging Face model, undone.

What the converter leaves out is what transformers takes by default, such as the kind of GELU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from . import architectures
from .checkpoint import ExportError, LazyTensors
from .gguf_metadata import (
    Metadata, head_dim, llama3_parameters, partial_rotary_factor, rope_parameters, vocab_size)


@dataclass(frozen=True)
class Layout:
    """One architecture. Add one to LAYOUTS for another."""

    # (metadata, the file's tensors) -> config.json; ExportError for what is not supported. A key below
    # "<architecture>." that it does not read is refused.
    read_config: Callable[[Metadata, LazyTensors], dict]
    # GGUF name without .weight or .bias -> Hugging Face name; None for what is no tensor of the model. {layer}: the
    # layer's number.
    names: dict[str, str | None]
    # GGUF name as above -> (tensor, config) -> the tensor as Hugging Face stores it, in the same shape. Of matrices it
    # moves whole rows: blocks [out, blocks of a row, bytes] come as well.
    restore: dict[str, Callable[[torch.Tensor, dict], torch.Tensor]] = field(default_factory=dict)


def _tied(tensors: LazyTensors) -> bool:
    return "output.weight" not in tensors


# ---- llama, and what has its tensors ----

_GATED_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "blk.{layer}.attn_norm": "model.layers.{layer}.input_layernorm",
    "blk.{layer}.attn_q": "model.layers.{layer}.self_attn.q_proj",
    "blk.{layer}.attn_k": "model.layers.{layer}.self_attn.k_proj",
    "blk.{layer}.attn_v": "model.layers.{layer}.self_attn.v_proj",
    "blk.{layer}.attn_output": "model.layers.{layer}.self_attn.o_proj",
    "blk.{layer}.ffn_norm": "model.layers.{layer}.post_attention_layernorm",
    "blk.{layer}.ffn_gate": "model.layers.{layer}.mlp.gate_proj",
    "blk.{layer}.ffn_up": "model.layers.{layer}.mlp.up_proj",
    "blk.{layer}.ffn_down": "model.layers.{layer}.mlp.down_proj",
}


def _sizes(metadata: Metadata, tensors: LazyTensors) -> dict:
    """The sizes, in the words that most architectures use."""
    heads = metadata.size("attention.head_count")
    return {
        "vocab_size": vocab_size(metadata, tensors),
        "hidden_size": metadata.size("embedding_length"),
        "intermediate_size": metadata.size("feed_forward_length"),
        "num_hidden_layers": metadata.size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.size("attention.head_count_kv", heads),
        "max_position_embeddings": metadata.size("context_length"),
        "tie_word_embeddings": _tied(tensors),
    }


def _gated_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    sizes = _sizes(metadata, tensors)
    dims = head_dim(metadata, sizes["num_attention_heads"])
    return {
        **sizes,
        "head_dim": dims,
        "rms_norm_eps": metadata.number("attention.layer_norm_rms_epsilon"),
        "rope_parameters": rope_parameters(metadata, dims),
    }


def _llama_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    config = _gated_config(metadata, tensors)
    if "rope_freqs.weight" in tensors:
        config["rope_parameters"] = _llama3(config, tensors["rope_freqs.weight"])
    if window := metadata.own("attention.sliding_window"):
        return {"model_type": "mistral", **config, "sliding_window": window}
    return {
        "model_type": "llama", **config,
        "attention_bias": "blk.0.attn_q.bias" in tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in tensors,
    }


def _llama3(config: dict, factors: torch.Tensor) -> dict:
    rope = config["rope_parameters"]
    if rope["rope_type"] != "default":
        raise ExportError(f"tensor rope_freqs.weight is not supported beside rope scaling '{rope['rope_type']}'")
    return llama3_parameters(factors, rope["rope_theta"], config["head_dim"])


def _halves(heads_key: str) -> Callable[[torch.Tensor, dict], torch.Tensor]:
    """llama.cpp pairs rotary dimensions as neighbours; Hugging Face pairs the two halves of a head."""

    def restore(tensor: torch.Tensor, config: dict) -> torch.Tensor:
        paired = tensor.reshape(config[heads_key], -1, 2, *tensor.shape[1:])
        return paired.transpose(1, 2).reshape(tensor.shape).contiguous()

    return restore


_LLAMA = Layout(
    _llama_config,
    {**_GATED_NAMES, "rope_freqs": None},  # read by _llama_config
    {"blk.{layer}.attn_q": _halves("num_attention_heads"), "blk.{layer}.attn_k": _halves("num_key_value_heads")})


def _qwen2_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    config = _gated_config(metadata, tensors)
    if config["head_dim"] == config["hidden_size"] // config["num_attention_heads"]:
        del config["head_dim"]  # Qwen2Config does not know the word, though the model does
    return {"model_type": "qwen2", **config}


def _qwen3_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    return {"model_type": "qwen3", **_gated_config(metadata, tensors),
            "attention_bias": "blk.0.attn_q.bias" in tensors}


_QWEN2 = Layout(_qwen2_config, _GATED_NAMES)
_QWEN3 = Layout(_qwen3_config, {
    **_GATED_NAMES,
    "blk.{layer}.attn_q_norm": "model.layers.{layer}.self_attn.q_norm",
    "blk.{layer}.attn_k_norm": "model.layers.{layer}.self_attn.k_norm",
})


def _gemma_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    return {"model_type": "gemma", **_gated_config(metadata, tensors), "hidden_act": "gelu_pytorch_tanh"}


def _minus_one(tensor: torch.Tensor, config: dict) -> torch.Tensor:
    """Hugging Face adds 1 to the weight of a norm, llama.cpp's converter has done so."""
    return tensor - 1


_GEMMA = Layout(
    _gemma_config, _GATED_NAMES,
    {name: _minus_one for name in ("output_norm", "blk.{layer}.attn_norm", "blk.{layer}.ffn_norm")})


# ---- partial rotary positions, layer norms ----


def _partial_rotary_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    sizes = _sizes(metadata, tensors)
    dims = head_dim(metadata, sizes["num_attention_heads"])
    rotary = metadata.size("rope.dimension_count", dims)
    return {
        **sizes,
        "layer_norm_eps": metadata.number("attention.layer_norm_epsilon"),
        "rope_parameters": {
            **rope_parameters(metadata, rotary), "partial_rotary_factor": partial_rotary_factor(rotary, dims)},
    }


def _stablelm_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    # The converter writes True where config.json says nothing; llama.cpp goes by the tensor.
    metadata.own("use_parallel_residual")
    return {
        "model_type": "stablelm", **_partial_rotary_config(metadata, tensors),
        "use_parallel_residual": "blk.0.ffn_norm.weight" not in tensors,
        "use_qkv_bias": "blk.0.attn_q.bias" in tensors,
    }


_STABLELM = Layout(_stablelm_config, _GATED_NAMES)


def _phi_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    return {"model_type": "phi", **_partial_rotary_config(metadata, tensors)}


_PHI2 = Layout(_phi_config, {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.final_layernorm",
    "output": "lm_head",
    "blk.{layer}.attn_norm": "model.layers.{layer}.input_layernorm",
    "blk.{layer}.attn_q": "model.layers.{layer}.self_attn.q_proj",
    "blk.{layer}.attn_k": "model.layers.{layer}.self_attn.k_proj",
    "blk.{layer}.attn_v": "model.layers.{layer}.self_attn.v_proj",
    "blk.{layer}.attn_output": "model.layers.{layer}.self_attn.dense",
    "blk.{layer}.ffn_up": "model.layers.{layer}.mlp.fc1",
    "blk.{layer}.ffn_down": "model.layers.{layer}.mlp.fc2",
})


# ---- one projection for queries, keys and values ----


def _interleave_heads(tensor: torch.Tensor, config: dict) -> torch.Tensor:
    """All queries, all keys, all values -> query, key and value of one head after another."""
    heads = config.get("num_attention_heads") or config["n_head"]
    split = tensor.reshape(3, heads, -1, *tensor.shape[1:])
    return split.transpose(0, 1).reshape(tensor.shape).contiguous()


def _gpt_neox_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    config = _partial_rotary_config(metadata, tensors)
    metadata.expect("attention.head_count_kv", config["num_attention_heads"], "supported: as attention.head_count,")
    del config["num_key_value_heads"]
    return {
        "model_type": "gpt_neox", **config,
        "use_parallel_residual": metadata.own("use_parallel_residual", True),
        "attention_bias": "blk.0.attn_qkv.bias" in tensors,
    }


_GPTNEOX = Layout(
    _gpt_neox_config,
    {
        "token_embd": "gpt_neox.embed_in",
        "output_norm": "gpt_neox.final_layer_norm",
        "output": "lm_head",
        "blk.{layer}.attn_norm": "gpt_neox.layers.{layer}.input_layernorm",
        "blk.{layer}.attn_qkv": "gpt_neox.layers.{layer}.attention.query_key_value",
        "blk.{layer}.attn_output": "gpt_neox.layers.{layer}.attention.dense",
        "blk.{layer}.ffn_norm": "gpt_neox.layers.{layer}.post_attention_layernorm",
        "blk.{layer}.ffn_up": "gpt_neox.layers.{layer}.mlp.dense_h_to_4h",
        "blk.{layer}.ffn_down": "gpt_neox.layers.{layer}.mlp.dense_4h_to_h",
    },
    {"blk.{layer}.attn_qkv": _interleave_heads})


def _falcon_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    """GGUF carries the two kinds with parallel attention: multi-query (7B), and the new decoder (40B, 180B, 11B)."""
    sizes = _sizes(metadata, tensors)
    groups = sizes.pop("num_key_value_heads")
    norms = 2 if "blk.0.attn_norm_2.weight" in tensors else 1
    grouped = norms == 2 or groups > 1
    dims = head_dim(metadata, sizes["num_attention_heads"])
    return {
        "model_type": "falcon",
        "ffn_hidden_size": sizes.pop("intermediate_size"),
        **sizes,
        "num_kv_heads": groups,
        "multi_query": not grouped,
        "new_decoder_architecture": grouped,
        "num_ln_in_parallel_attn": norms,
        "parallel_attn": True,
        "alibi": False,
        "bias": "blk.0.attn_qkv.bias" in tensors,
        "layer_norm_epsilon": metadata.number("attention.layer_norm_epsilon"),
        "rope_parameters": rope_parameters(metadata, dims),
    }


def _group_by_key(tensor: torch.Tensor, config: dict) -> torch.Tensor:
    """All queries, all keys, all values -> each key and value behind the queries that share it."""
    heads, groups = config["num_attention_heads"], config["num_kv_heads"]
    rows = tensor.shape[0] // (heads + 2 * groups)
    parts = tensor.split([heads * rows, groups * rows, groups * rows])
    return torch.cat([part.reshape(groups, -1, *tensor.shape[1:]) for part in parts], dim=1).reshape(tensor.shape)


_FALCON = Layout(
    _falcon_config,
    {
        "token_embd": "transformer.word_embeddings",
        "output_norm": "transformer.ln_f",
        "output": "lm_head",
        "blk.{layer}.attn_norm": "transformer.h.{layer}.input_layernorm",
        "blk.{layer}.attn_qkv": "transformer.h.{layer}.self_attention.query_key_value",
        "blk.{layer}.attn_output": "transformer.h.{layer}.self_attention.dense",
        "blk.{layer}.ffn_up": "transformer.h.{layer}.mlp.dense_h_to_4h",
        "blk.{layer}.ffn_down": "transformer.h.{layer}.mlp.dense_4h_to_h",
    },
    {"blk.{layer}.attn_qkv": _group_by_key})
_FALCON_TWO_NORMS = replace(_FALCON, names={
    **_FALCON.names,
    "blk.{layer}.attn_norm": "transformer.h.{layer}.ln_mlp",
    "blk.{layer}.attn_norm_2": "transformer.h.{layer}.ln_attn",
})


# ---- ALiBi ----


def _alibi_sizes(metadata: Metadata) -> tuple[int, int, int]:
    """Width, layers, heads; what these architectures derive from them must be so."""
    hidden, heads = metadata.size("embedding_length"), metadata.size("attention.head_count")
    metadata.expect("feed_forward_length", 4 * hidden, "supported: 4 x embedding_length,")
    metadata.expect("attention.head_count_kv", heads, "supported: as attention.head_count,")
    return hidden, metadata.size("block_count"), heads


def _mpt_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    hidden, layers, heads = _alibi_sizes(metadata)
    bias = metadata.number("attention.max_alibi_bias", 0.0)
    if bias < 1 or bias != int(bias):
        raise ExportError(f"GGUF metadata: {metadata.name('attention.max_alibi_bias')} {bias} is not supported: MPT is"
                          " supported with ALiBi alone, its largest bias a whole number")
    clamp = metadata.number("attention.clamp_kqv", 0.0)
    return {
        "model_type": "mpt",
        "vocab_size": vocab_size(metadata, tensors),
        "d_model": hidden, "n_layers": layers, "n_heads": heads,
        "expansion_ratio": 4,
        "max_seq_len": metadata.size("context_length"),
        "layer_norm_epsilon": metadata.number("attention.layer_norm_epsilon"),
        "no_bias": "blk.0.attn_qkv.bias" not in tensors,
        "tie_word_embeddings": _tied(tensors),
        "attn_config": {"alibi": True, "alibi_bias_max": int(bias), "clip_qkv": clamp if clamp > 0 else None},
    }


_MPT = Layout(_mpt_config, {
    "token_embd": "transformer.wte",
    "output_norm": "transformer.norm_f",
    "output": "lm_head",
    "blk.{layer}.attn_norm": "transformer.blocks.{layer}.norm_1",
    "blk.{layer}.attn_qkv": "transformer.blocks.{layer}.attn.Wqkv",
    "blk.{layer}.attn_output": "transformer.blocks.{layer}.attn.out_proj",
    "blk.{layer}.ffn_norm": "transformer.blocks.{layer}.norm_2",
    "blk.{layer}.ffn_up": "transformer.blocks.{layer}.ffn.up_proj",
    "blk.{layer}.ffn_down": "transformer.blocks.{layer}.ffn.down_proj",
})


def _bloom_config(metadata: Metadata, tensors: LazyTensors) -> dict:
    hidden, layers, heads = _alibi_sizes(metadata)
    metadata.expect("attention.max_alibi_bias", 8.0, "supported:")
    return {
        "model_type": "bloom",
        "vocab_size": vocab_size(metadata, tensors),
        "hidden_size": hidden, "n_layer": layers, "n_head": heads,
        "seq_length": metadata.size("context_length"),
        "layer_norm_epsilon": metadata.number("attention.layer_norm_epsilon"),
        "tie_word_embeddings": _tied(tensors),
    }


_BLOOM = Layout(
    _bloom_config,
    {
        "token_embd": "transformer.word_embeddings",
        "token_embd_norm": "transformer.word_embeddings_layernorm",
        "output_norm": "transformer.ln_f",
        "output": "lm_head",
        "blk.{layer}.attn_norm": "transformer.h.{layer}.input_layernorm",
        "blk.{layer}.attn_qkv": "transformer.h.{layer}.self_attention.query_key_value",
        "blk.{layer}.attn_output": "transformer.h.{layer}.self_attention.dense",
        "blk.{layer}.ffn_norm": "transformer.h.{layer}.post_attention_layernorm",
        "blk.{layer}.ffn_up": "transformer.h.{layer}.mlp.dense_h_to_4h",
        "blk.{layer}.ffn_down": "transformer.h.{layer}.mlp.dense_4h_to_h",
    },
    {"blk.{layer}.attn_qkv": _interleave_heads})


# general.architecture -> its layout. Mistral is written as llama.
LAYOUTS = {
    "llama": _LLAMA, "qwen2": _QWEN2, "qwen3": _QWEN3, "gemma": _GEMMA, "stablelm": _STABLELM, "phi2": _PHI2,
    "gptneox": _GPTNEOX, "falcon": _FALCON, "mpt": _MPT, "bloom": _BLOOM,
}


def find(metadata: Metadata, tensors: LazyTensors) -> Layout:
    """ExportError for an architecture that has none."""
    if metadata.architecture not in LAYOUTS:
        # The registry of architectures knows the reason, if there is one.
        architectures.find(metadata.architecture)
        raise ExportError(f"architecture '{metadata.architecture}' is not supported from GGUF"
                          f" (supported: {', '.join(LAYOUTS)})")
    if metadata.architecture == "falcon" and "blk.0.attn_norm_2.weight" in tensors:
        return _FALCON_TWO_NORMS
    return LAYOUTS[metadata.architecture]
