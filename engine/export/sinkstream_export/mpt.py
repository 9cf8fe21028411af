"""MPT: ALiBi with a steepness of its own, LayerNorm and projections without biases, queries to values clipped."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Optional

from torch import Tensor, nn
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

from . import options
from .architectures import Architecture, register
from .blocks import Attention, Decoder, LayerNorm, PlainMlp, StepContext, Weights
from .checkpoint import Alibi, Checkpoint, DecoderConfig, ExportError
from .precision import Precision

_WORDS = {
    "hidden_size": "d_model", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers",
    "max_position_embeddings": "max_seq_len",
}


@dataclass(frozen=True)
class MptConfig(DecoderConfig):
    clip: float  # of queries, keys and values; inf: none
    scale: float  # of the scores


def read_config(config: dict) -> MptConfig:
    attention = config.get("attn_config") or {}
    _refuse_variants(config, attention)
    sizes = options.sizes(config, _WORDS, tie_word_embeddings=True,
                          intermediate_size=4 * options.positive(config, "d_model", "hidden_size"))
    return MptConfig(
        **sizes, norm_epsilon=options.number(config, "layer_norm_epsilon", 1e-5),
        positions=Alibi(bias_max=options.number(attention, "alibi_bias_max", 8)),
        clip=options.number(attention, "clip_qkv", math.inf) or math.inf,
        scale=options.number(attention, "softmax_scale", sizes["head_dim"]**-0.5))


def reference_config(config: dict) -> dict:
    """Published ones have whole numbers, clip_qkv 6 for one, where transformers takes a float alone."""
    attention = dict(config.get("attn_config") or {})
    for key in ("clip_qkv", "softmax_scale"):
        if attention.get(key) is not None:
            attention[key] = float(attention[key])
    return {**config, "attn_config": attention}


def _refuse_variants(config: dict, attention: dict) -> None:
    options.refuse(config, "logit_scale")
    options.supported(config, "no_bias", (True,), True)
    options.supported(config, "expansion_ratio", (4,), 4)
    options.supported(config, "norm_type", ("low_precision_layernorm", "layernorm"), "low_precision_layernorm")
    options.supported(attention, "attn_type", ("multihead_attention",), "multihead_attention")
    options.refuse(attention, "qk_ln", "qk_gn", "prefix_lm", "attn_uses_sequence_id", "rope")
    if not attention.get("alibi", True):  # with ALiBi, learned_pos_emb is not read
        raise ExportError("attn_config: alibi false is not supported: learned absolute positions cannot stream")


class Clip(nn.Module):
    def __init__(self, limit: float):
        super().__init__()
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(-self.limit, self.limit)


class MptLayer(nn.Module):
    def __init__(self, weights: Weights, index: int, config: MptConfig):
        super().__init__()
        layer = f"transformer.blocks.{index}"
        self.attention_norm = LayerNorm(weights, f"{layer}.norm_1", config.norm_epsilon)
        self.attention = Attention(
            index, config, weights.linear(f"{layer}.attn.Wqkv"), weights.linear(f"{layer}.attn.out_proj"),
            Clip(config.clip) if math.isfinite(config.clip) else None, config.scale)
        self.mlp_norm = LayerNorm(weights, f"{layer}.norm_2", config.norm_epsilon)
        self.mlp = PlainMlp(weights.linear(f"{layer}.ffn.up_proj"), weights.linear(f"{layer}.ffn.down_proj"), "none")

    def forward(self, x: Tensor, rotary: Optional[Tensor], step: StepContext, wanted: Optional[Tensor]) -> Tensor:
        x = self.attention(self.attention_norm(x), x, rotary, step, wanted)
        return self.mlp(self.mlp_norm(x), x)


def build(checkpoint: Checkpoint, config: MptConfig, precision: Precision) -> nn.Module:
    weights = Weights(checkpoint.tensors, precision)
    layers = [MptLayer(weights, index, config) for index in range(config.layers)]
    return Decoder(weights, config, layers, LayerNorm(weights, "transformer.norm_f", config.norm_epsilon),
                   embedding="transformer.wte")


def prepare_reference(model: nn.Module) -> None:
    """Gives transformers' model the steepness of its configuration, which it does not read."""
    model.transformer.build_mpt_alibi_tensor = partial(
        build_mpt_alibi_tensor, alibi_bias_max=model.config.attn_config.alibi_bias_max)


register("mpt", Architecture(
    read_config, build, reference_config=reference_config, prepare_reference=prepare_reference))
