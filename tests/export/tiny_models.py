"""Tiny random Llamas with a small byte-level BPE tokenizer, written as Hugging Face directories and GGUF files."""

import copy
import json
from pathlib import Path

import gguf
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = Path(__file__).parents[2]

CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are tiny.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # ids 0, 1, 2


def make_tokenizer() -> Tokenizer:
    """Trained on a few lines; 300-odd tokens, of which the first three are special."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=299, special_tokens=[AddedToken(name, special=True) for name in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    lines = ["system user assistant", "You are tiny and you are the last of the band.", "the window and the sinks",
             "one\n\ntwo\n\nthree\n\n"]
    tokenizer.train_from_iterator(lines * 4, trainer)
    return tokenizer


def make_model(seed: int = 0, **overrides) -> transformers.LlamaForCausalLM:
    """Weights spread widely enough that attention is far from uniform and every bias counts."""
    settings = dict(
        vocab_size=301, hidden_size=48, intermediate_size=88, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, head_dim=20, max_position_embeddings=4096, rms_norm_eps=1e-5, bos_token_id=1,
        eos_token_id=2, rope_parameters={"rope_type": "default", "rope_theta": 5000.0}, tie_word_embeddings=False)
    config = transformers.LlamaConfig(**{**settings, **overrides})
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0.0, 1.5 / parameter.shape[-1]**0.5 if parameter.dim() > 1 else 0.5)
    return model


def make_model_in_blocks(seed: int = 0, **overrides) -> transformers.LlamaForCausalLM:
    """make_model() whose matrices' inputs are multiples of 32, as quantised ones must be."""
    sizes = dict(hidden_size=96, intermediate_size=160, head_dim=32, num_attention_heads=3, num_key_value_heads=1)
    return make_model(seed, **{**sizes, **overrides})


def write_hf(folder, model=None, dtype=torch.float32, shard_size=None, chat_template=CHATML, tokenizer=None):
    """Saves `model` (default: make_model()) as transformers would, rounded to `dtype`; returns the folder."""
    copied = copy.deepcopy(model or make_model()).to(dtype)
    copied.save_pretrained(folder, max_shard_size=shard_size or "1GB")
    (folder / "tokenizer.json").write_text((tokenizer or make_tokenizer()).to_str(), encoding="utf-8")
    settings = {"eos_token": "<|im_end|>"}
    if chat_template is not None:
        settings["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def edit_json(path, **changes):
    """Sets (or, with None, removes) keys of a JSON file."""
    value = json.loads(path.read_text(encoding="utf-8"))
    for key, change in changes.items():
        if change is None:
            value.pop(key, None)
        else:
            value[key] = change
    path.write_text(json.dumps(value), encoding="utf-8")


GGUF_LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
GGUF_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name):
    stem, _, kind = name.rpartition(".")
    if stem in GGUF_TOP:
        return f"{GGUF_TOP[stem]}.{kind}"
    index, _, part = stem.removeprefix("model.layers.").partition(".")
    return f"blk.{index}.{GGUF_LAYER[part]}.{kind}"


def permute(weight, heads):
    """As llama.cpp's converter: from the two halves of a head to neighbouring pairs."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path, model, kind=gguf.GGMLQuantizationType.F32, architecture="llama", **metadata):
    """Writes `model` with its matrices as `kind`; `metadata` adds or replaces keys (dots as double underscores; None
    leaves a key out). Returns the path."""
    writer = gguf.GGUFWriter(path, architecture)
    values = gguf_metadata(model.config) | {key.replace("__", "."): value for key, value in metadata.items()}
    for key, value in values.items():
        add_metadata(writer, key, value)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        data = gguf_order(name, tensor.float().numpy(), model.config)
        wanted = kind if data.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(gguf_name(name), gguf.quantize(data, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_metadata(config):
    return {
        "llama.block_count": config.num_hidden_layers, "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size, "llama.feed_forward_length": config.intermediate_size,
        "llama.attention.head_count": config.num_attention_heads,
        "llama.attention.head_count_kv": config.num_key_value_heads, "llama.attention.key_length": config.head_dim,
        "llama.rope.freq_base": config.rope_parameters["rope_theta"], "llama.rope.dimension_count": config.head_dim,
        "llama.attention.layer_norm_rms_epsilon": config.rms_norm_eps, "llama.vocab_size": config.vocab_size,
        "general.license": "apache-2.0", "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.chat_template": CHATML,
        **gguf_vocabulary(make_tokenizer()),
    }


def gguf_order(name, data, config):
    if ".q_proj." in name:
        return permute(data, config.num_attention_heads)
    return permute(data, config.num_key_value_heads) if ".k_proj." in name else data


def gguf_vocabulary(tokenizer):
    parts = json.loads(tokenizer.to_str())
    tokens = sorted(parts["model"]["vocab"], key=parts["model"]["vocab"].get)
    return {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token in SPECIAL else 1 for token in tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in parts["model"]["merges"]],
    }


def add_metadata(writer, key, value):
    if value is None:
        return
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
