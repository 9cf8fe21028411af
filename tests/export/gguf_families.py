"""Writes transformers models as GGUF by the rules of llama.cpp's converter: its keys, its names, its order of rows.

Names are those of the gguf package's own table. A rule is a function of one family; `RULES` names them by model_type.
"""

import math
from dataclasses import dataclass
from typing import Callable

import gguf
import torch

import tiny_models


@dataclass(frozen=True)
class Rules:
    architecture: gguf.MODEL_ARCH
    keys: Callable[[object], dict]  # transformers' config -> keys below "<architecture>."
    # (config, name, tensor) -> the tensor as it is written
    change: Callable[[object, str, torch.Tensor], torch.Tensor] = lambda config, name, tensor: tensor


def write(path, model, kind=gguf.GGMLQuantizationType.F32, **metadata):
    """Matrices as `kind`, all else in float32. `metadata` adds or replaces keys (dots as double underscores; None leaves a key out)."""
    config, rules = model.config, RULES[model.config.model_type]
    architecture = gguf.MODEL_ARCH_NAMES[rules.architecture]
    values = {f"{architecture}.{key}": value for key, value in rules.keys(config).items()}
    values.update(vocabulary(config.vocab_size))
    values.update({key.replace("__", "."): value for key, value in metadata.items()})
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in values.items():
        tiny_models.add_metadata(writer, key, value)
    for name, tensor in written_tensors(model, rules):
        wanted = kind if tensor.dim() > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quantize(tensor.contiguous().numpy(), wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def vocabulary(size):
    """As the converter's get_vocab_base: rows of the embedding beyond the vocabulary are unused tokens."""
    values = tiny_models.gguf_vocabulary(tiny_models.make_tokenizer())
    missing = range(len(values["tokenizer.ggml.tokens"]), size)
    values["tokenizer.ggml.tokens"] += [f"[PAD{index}]" for index in missing]
    values["tokenizer.ggml.token_type"] += [int(gguf.TokenType.UNUSED) for _ in missing]
    return {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2, **values}


def written_tensors(model, rules):
    config = model.config
    table = gguf.get_tensor_name_map(rules.architecture, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        # BloomModel takes the prefix off.
        known = name.removeprefix("transformer.") if config.model_type == "bloom" else name
        yield table.get_name(known, (".weight", ".bias")), rules.change(config, name, tensor)
    if config.model_type == "llama" and config.rope_parameters["rope_type"] == "llama3":
        yield "rope_freqs.weight", llama3_factors(config)


# ---- keys ----


def sizes(config):
    return {
        "block_count": config.num_hidden_layers, "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size, "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
    }


def base_keys(config):
    """TextModel.set_gguf_parameters, which llama, qwen2 and qwen3 use."""
    keys = {**sizes(config), "attention.head_count_kv": config.num_key_value_heads,
            "rope.freq_base": config.rope_parameters["rope_theta"],
            "attention.layer_norm_rms_epsilon": config.rms_norm_eps}
    rope = config.rope_parameters
    if rope["rope_type"] in ("linear", "yarn"):
        keys["rope.scaling.type"] = rope["rope_type"]
        keys["rope.scaling.factor"] = rope["factor"]
    if rope["rope_type"] == "yarn":
        keys["rope.scaling.original_context_length"] = rope["original_max_position_embeddings"]
        keys.update({f"rope.scaling.yarn_{key}": rope[key] for key in ("beta_fast", "beta_slow") if key in rope})
    if getattr(config, "head_dim", None) is not None:
        keys["attention.key_length"] = keys["attention.value_length"] = config.head_dim
    return keys


def llama_keys(config):
    return {**base_keys(config), "vocab_size": config.vocab_size, "rope.dimension_count": config.head_dim}


def gemma_keys(config):
    return {**sizes(config), "attention.head_count_kv": config.num_key_value_heads,
            "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
            "attention.key_length": config.head_dim, "attention.value_length": config.head_dim}


def rotary_dims(config):
    head_dim = config.hidden_size // config.num_attention_heads
    return int(config.rope_parameters["partial_rotary_factor"] * head_dim)


def stablelm_keys(config):
    return {**sizes(config), "rope.dimension_count": rotary_dims(config),
            "attention.head_count_kv": config.num_key_value_heads,
            "use_parallel_residual": True,  # where config.json leaves it out
            "attention.layer_norm_epsilon": config.layer_norm_eps}


def phi_keys(config):
    return {**sizes(config), "feed_forward_length": 4 * config.hidden_size,
            "attention.head_count_kv": config.num_attention_heads, "rope.dimension_count": rotary_dims(config),
            "attention.layer_norm_epsilon": config.layer_norm_eps}


def gpt_neox_keys(config):
    return {**sizes(config), "rope.dimension_count": rotary_dims(config),
            "use_parallel_residual": config.use_parallel_residual,
            "attention.layer_norm_epsilon": config.layer_norm_eps}


def falcon_groups(config):
    return config.num_kv_heads if config.new_decoder_architecture else 1


def falcon_keys(config):
    return {"context_length": 2048, "tensor_data_layout": "jploski", "embedding_length": config.hidden_size,
            "feed_forward_length": 4 * config.hidden_size, "block_count": config.num_hidden_layers,
            "attention.head_count": config.num_attention_heads, "attention.head_count_kv": falcon_groups(config),
            "attention.layer_norm_epsilon": config.layer_norm_epsilon}


def mpt_keys(config):
    keys = {"context_length": config.max_seq_len, "embedding_length": config.d_model, "block_count": config.n_layers,
            "feed_forward_length": 4 * config.d_model, "attention.head_count": config.n_heads,
            "attention.layer_norm_epsilon": 1e-5,
            "attention.max_alibi_bias": float(config.attn_config.alibi_bias_max)}
    if config.attn_config.clip_qkv is not None:
        keys["attention.clamp_kqv"] = config.attn_config.clip_qkv
    return keys


def bloom_keys(config):
    return {"context_length": config.seq_length, "embedding_length": config.hidden_size,
            "feed_forward_length": 4 * config.hidden_size, "block_count": config.n_layer,
            "attention.head_count": config.n_head, "attention.head_count_kv": config.n_head,
            "attention.layer_norm_epsilon": config.layer_norm_epsilon}


# ---- tensors ----


def llama_tensor(config, name, tensor):
    if ".q_proj." in name:
        return tiny_models.permute(tensor, config.num_attention_heads)
    if ".k_proj." in name:
        return tiny_models.permute(tensor, config.num_key_value_heads)
    return tensor


def llama3_factors(config):
    """LlamaModel.generate_extra_tensors: what each frequency is divided by, in float32."""
    rope = config.rope_parameters
    factor, low, high, context = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"], 8192
    factors = []
    for frequency in 1.0 / rope["rope_theta"]**(torch.arange(0, config.head_dim, 2).float() / config.head_dim):
        wavelength = 2 * math.pi / frequency
        if wavelength < context / high:
            factors.append(1)
        elif wavelength > context / low:
            factors.append(factor)
        else:
            smooth = (context / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return torch.tensor(factors, dtype=torch.float32)


def gemma_tensor(config, name, tensor):
    return tensor + 1 if name.endswith("norm.weight") else tensor


def split_heads(config, name, tensor):
    """GPTNeoXModel and BloomModel: query, key, value of one head after another -> all queries, keys, values."""
    if "query_key_value" not in name:
        return tensor
    heads, hidden = config.num_attention_heads, config.hidden_size
    parts = tensor.reshape(heads, 3, hidden // heads, *tensor.shape[1:])
    return torch.cat([parts[:, part].reshape(hidden, *tensor.shape[1:]) for part in range(3)])


def falcon_tensor(config, name, tensor):
    if "query_key_value" not in name:
        return tensor
    heads, groups = config.num_attention_heads, falcon_groups(config)
    parts = tensor.reshape(groups, heads // groups + 2, config.head_dim, *tensor.shape[1:])
    parts = [parts[:, :-2], parts[:, [-2]], parts[:, [-1]]]
    return torch.cat([part.reshape(-1, *tensor.shape[1:]) for part in parts])


RULES = {
    "llama": Rules(gguf.MODEL_ARCH.LLAMA, llama_keys, llama_tensor),
    "mistral": Rules(gguf.MODEL_ARCH.LLAMA, llama_keys, llama_tensor),
    "qwen2": Rules(gguf.MODEL_ARCH.QWEN2, base_keys),
    "qwen3": Rules(gguf.MODEL_ARCH.QWEN3, base_keys),
    "gemma": Rules(gguf.MODEL_ARCH.GEMMA, gemma_keys, gemma_tensor),
    "stablelm": Rules(gguf.MODEL_ARCH.STABLELM, stablelm_keys),
    "phi": Rules(gguf.MODEL_ARCH.PHI2, phi_keys),
    "gpt_neox": Rules(gguf.MODEL_ARCH.GPTNEOX, gpt_neox_keys, split_heads),
    "falcon": Rules(gguf.MODEL_ARCH.FALCON, falcon_keys, falcon_tensor),
    "mpt": Rules(gguf.MODEL_ARCH.MPT, mpt_keys),
    "bloom": Rules(gguf.MODEL_ARCH.BLOOM, bloom_keys, split_heads),
}
