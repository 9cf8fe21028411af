"""A tiny random model of each family, in the shapes its members come in, and odd ones: heads that are no power of two,
head_dim 80, vocabularies that are no multiple of 8, heads tied and not."""

from collections.abc import Callable

import torch
import transformers
from sinkstream_export import architectures

VOCAB = 307
_TOKENS = dict(vocab_size=VOCAB, bos_token_id=1, eos_token_id=2, pad_token_id=0)
_SIZES = dict(**_TOKENS, hidden_size=48, intermediate_size=88, num_hidden_layers=2, num_attention_heads=6,
              max_position_embeddings=512)
_GROUPED = dict(**_SIZES, num_key_value_heads=2)
_FALCON = dict(**_TOKENS, hidden_size=60, num_hidden_layers=2, num_attention_heads=6, max_position_embeddings=512)


def _rope(**parameters):
    return {"rope_parameters": {"rope_theta": 1000.0, **parameters}}


def _scaled(rope_type, **parameters):
    return transformers.LlamaConfig(**_GROUPED, **_rope(rope_type=rope_type, factor=4.0, **parameters))


FAMILIES: dict[str, Callable[[], transformers.PretrainedConfig]] = {
    "llama": lambda: transformers.LlamaConfig(**_GROUPED, head_dim=20, attention_bias=True, mlp_bias=True),
    "llama, linear": lambda: _scaled("linear"),
    "llama, dynamic": lambda: _scaled("dynamic"),
    "llama, llama3": lambda: _scaled(
        "llama3", original_max_position_embeddings=64, low_freq_factor=1.0, high_freq_factor=4.0),
    "llama, yarn": lambda: _scaled("yarn", original_max_position_embeddings=64),
    "llama, yarn with factors of its own": lambda: _scaled(
        "yarn", original_max_position_embeddings=64, beta_fast=8.0, beta_slow=2.0, truncate=False, mscale=0.8,
        mscale_all_dim=0.4),
    "mistral": lambda: transformers.MistralConfig(**_GROUPED, head_dim=16, sliding_window=None),
    "qwen2": lambda: transformers.Qwen2Config(**_GROUPED, tie_word_embeddings=True),
    "qwen3": lambda: transformers.Qwen3Config(**_GROUPED, head_dim=20, tie_word_embeddings=True),
    "qwen3, biased": lambda: transformers.Qwen3Config(**_GROUPED, head_dim=16, attention_bias=True),
    "gemma": lambda: transformers.GemmaConfig(**{**_GROUPED, "num_key_value_heads": 1}, head_dim=20),
    "stablelm": lambda: transformers.StableLmConfig(**{**_GROUPED, "hidden_size": 480}, use_qkv_bias=True),
    "stablelm, parallel": lambda: transformers.StableLmConfig(
        **_GROUPED, use_parallel_residual=True, **_rope(partial_rotary_factor=0.5)),
    "phi": lambda: transformers.PhiConfig(
        **{**_GROUPED, "hidden_size": 240, "num_attention_heads": 3, "num_key_value_heads": 3},
        **_rope(partial_rotary_factor=0.4)),
    "phi, tied": lambda: transformers.PhiConfig(**_GROUPED, tie_word_embeddings=True),
    "gptj": lambda: transformers.GPTJConfig(
        **_TOKENS, n_positions=512, n_embd=60, n_layer=2, n_head=3, rotary_dim=12),
    "gptj, whole heads": lambda: transformers.GPTJConfig(
        **_TOKENS, n_positions=512, n_embd=48, n_layer=2, n_head=3, rotary_dim=16, n_inner=70),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**{**_SIZES, "hidden_size": 240, "num_attention_heads": 3}),
    "gpt_neox, sequential": lambda: transformers.GPTNeoXConfig(
        **_SIZES, use_parallel_residual=False, hidden_act="gelu_fast", attention_bias=False, tie_word_embeddings=True,
        **_rope(partial_rotary_factor=1.0)),
    "falcon": lambda: transformers.FalconConfig(**_FALCON),
    "falcon, new decoder": lambda: transformers.FalconConfig(
        **_FALCON, new_decoder_architecture=True, num_kv_heads=2, tie_word_embeddings=False),
    "falcon, new decoder, one norm": lambda: transformers.FalconConfig(
        **_FALCON, new_decoder_architecture=True, num_kv_heads=3, num_ln_in_parallel_attn=1),
    "falcon, alibi": lambda: transformers.FalconConfig(
        **_FALCON, alibi=True, multi_query=False, parallel_attn=False, bias=True),
    "mpt": lambda: transformers.MptConfig(**_TOKENS, d_model=60, n_heads=6, n_layers=2, max_seq_len=512),
    "mpt, clipped": lambda: transformers.MptConfig(
        **_TOKENS, d_model=64, n_heads=4, n_layers=2, max_seq_len=512, tie_word_embeddings=False,
        attn_config=dict(clip_qkv=2.0, alibi_bias_max=5, softmax_scale=0.3)),
    "bloom": lambda: transformers.BloomConfig(**_TOKENS, hidden_size=60, n_layer=2, n_head=6),
}


def in_blocks(config: transformers.PretrainedConfig) -> transformers.PretrainedConfig:
    """`config` with sizes of which every matrix's inputs are a multiple of 32, as quantised ones must be. It is
    changed."""
    config.hidden_size = 96
    for size, value in (("head_dim", 32), ("intermediate_size", 160), ("ffn_hidden_size", 160)):
        if size in config.to_dict() and getattr(config, size) is not None:
            setattr(config, size, value)
    if "n_inner" in config.to_dict():  # GPT-J's word for the intermediate size
        config.n_inner = 160
    return config


def make_model(family: str | transformers.PretrainedConfig, seed: int = 0) -> transformers.PreTrainedModel:
    """transformers' model, prepared as the exporter's verifier does it. Weights are spread widely enough that attention
    is far from uniform and every bias and norm counts."""
    config = FAMILIES[family]() if isinstance(family, str) else family
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 1.5 / parameter.shape[-1]**0.5)
            else:  # biases, and the weights of norms about their own middle
                parameter.copy_(parameter.mean() + torch.empty_like(parameter).uniform_(-0.5, 0.5))
    architectures.find(config.model_type).prepare_reference(model)
    return model


def random_tokens(count: int, seed: int = 5) -> torch.Tensor:
    return torch.randint(VOCAB, (count,), generator=torch.Generator().manual_seed(seed))
