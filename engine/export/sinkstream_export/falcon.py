"""Falcon in its three shapes: 7B (one key for all queries, MLP beside attention on one norm), the new decoder
architecture (grouped keys, a norm for each), and RW (ALiBi, a key each, MLP after attention)."""

import math
from dataclasses import dataclass
from typing import Any, Final, Optional

import torch
from torch import Tensor, nn

from . import options, oracle, rope
from .architectures import Architecture, register
from .blocks import Attention, Decoder, LayerNorm, PlainMlp, StepContext, Weights, order_of_groups, rows_of
from .checkpoint import Alibi, Checkpoint, DecoderConfig, ExportError
from .precision import Precision


@dataclass(frozen=True)
class FalconConfig(DecoderConfig):
    parallel: bool  # the MLP reads the layer's input, not attention's result
    attention_norm: str
    mlp_norm: str | None  # None: the MLP reads attention's norm
    activation: str


def read_config(config: dict) -> FalconConfig:
    options.refuse(config, "apply_residual_connection_post_layernorm")
    sizes = options.sizes(
        config, {"intermediate_size": "ffn_hidden_size"}, max_position_embeddings=2048, tie_word_embeddings=True,
        intermediate_size=4 * options.positive(config, "hidden_size"))
    sizes["kv_heads"] = _kv_heads(config, sizes["heads"])
    attention_norm, mlp_norm = _norms(config)
    # ALiBi is added before the scores are scaled.
    biases = Alibi(scale=sizes["head_dim"]**-0.5) if config.get("alibi") else None
    return FalconConfig(
        **sizes, norm_epsilon=options.number(config, "layer_norm_epsilon", 1e-5),
        positions=biases or rope.read(config, sizes["head_dim"]),
        parallel=bool(config.get("parallel_attn", True)), attention_norm=attention_norm, mlp_norm=mlp_norm,
        activation=options.activation(config, "activation", options.GELU, "gelu"))


def _kv_heads(config: dict, heads: int) -> int:
    if not config.get("new_decoder_architecture"):
        return 1 if config.get("multi_query", True) else heads
    kv_heads = options.positive(config, "num_kv_heads", default=heads)
    if heads % kv_heads != 0:
        raise ExportError(f"num_attention_heads {heads} is not a multiple of num_kv_heads {kv_heads}")
    return kv_heads


def _norms(config: dict) -> tuple[str, str | None]:
    """Of attention and the MLP, as the checkpoint calls them."""
    new_decoder = bool(config.get("new_decoder_architecture"))
    if not config.get("parallel_attn", True):
        if new_decoder:
            raise ExportError("new_decoder_architecture without parallel_attn is not supported")
        return "input_layernorm", "post_attention_layernorm"
    known, usual = ((1, 2), 2) if new_decoder else ((1,), 1)
    if options.supported(config, "num_ln_in_parallel_attn", known, usual) == 1:
        return "input_layernorm", None
    return "ln_attn", "ln_mlp"


class FalconLayer(nn.Module):
    parallel: Final[bool]

    def __init__(self, weights: Weights, index: int, config: FalconConfig):
        super().__init__()
        layer = f"transformer.h.{index}"
        self.parallel = config.parallel
        self.attention_norm = LayerNorm(weights, f"{layer}.{config.attention_norm}", config.norm_epsilon)
        qkv = weights.linear(f"{layer}.self_attention.query_key_value", order=order_of_groups(config))
        self.attention = Attention(index, config, qkv, weights.linear(f"{layer}.self_attention.dense"))
        self.mlp_norm = None if config.mlp_norm is None else LayerNorm(
            weights, f"{layer}.{config.mlp_norm}", config.norm_epsilon)
        self.mlp = PlainMlp(weights.linear(f"{layer}.mlp.dense_h_to_4h"),
                            weights.linear(f"{layer}.mlp.dense_4h_to_h"), config.activation)

    def forward(self, x: Tensor, rotary: Optional[Tensor], step: StepContext, wanted: Optional[Tensor]) -> Tensor:
        normed = self.attention_norm(x)
        attended = self.attention(normed, x, rotary, step, wanted)
        if self.mlp_norm is not None:
            return self.mlp(self.mlp_norm(rows_of(x, wanted) if self.parallel else attended), attended)
        return self.mlp(rows_of(normed, wanted), attended)


def build(checkpoint: Checkpoint, config: FalconConfig, precision: Precision) -> nn.Module:
    weights = Weights(checkpoint.tensors, precision)
    layers = [FalconLayer(weights, index, config) for index in range(config.layers)]
    return Decoder(weights, config, layers, LayerNorm(weights, "transformer.ln_f", config.norm_epsilon),
                   embedding="transformer.word_embeddings")


def prepare_reference(model: nn.Module) -> None:
    """Gives transformers' layers exact ALiBi, all of it in the mask: its own is rounded to bfloat16, and in eager
    attention added twice, once with the mask and once by itself."""
    if not model.config.alibi:
        return
    heads = model.config.num_attention_heads
    # float64, by the oracle's own formula: those of alibi.py are what is verified.
    slopes = oracle.alibi_slopes(heads)[:, None, None] * model.config.head_dim**-0.5

    def exact(layer: nn.Module, arguments: tuple, keywords: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        count, dtype = arguments[0].shape[1], arguments[0].dtype
        future = torch.full((count, count), -math.inf, dtype=dtype).triu(1)
        biases = (slopes * torch.arange(count)).to(dtype) + future  # [heads, queries, keys]
        return arguments, {**keywords, "alibi": torch.zeros_like(biases[:, :1]), "attention_mask": biases[None]}

    for layer in model.transformer.h:
        layer.register_forward_pre_hook(exact, with_kwargs=True)


register("falcon", Architecture(read_config, build, prepare_reference=prepare_reference))
