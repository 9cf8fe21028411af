"""GPT-J: attention and a plain MLP beside each other on one LayerNorm, and rotary positions that turn neighbours."""

from dataclasses import dataclass
from typing import Optional

import torch
from torch import Tensor, nn

from . import options
from .architectures import Architecture, register
from .blocks import Attention, Decoder, LayerNorm, PlainMlp, StepContext, Weights, rows_of
from .checkpoint import Checkpoint, DecoderConfig, ExportError, Rope
from .precision import Precision

_WORDS = {
    "hidden_size": "n_embd", "num_attention_heads": "n_head", "num_hidden_layers": "n_layer",
    "intermediate_size": "n_inner", "max_position_embeddings": "n_positions",
}


@dataclass(frozen=True)
class GptJConfig(DecoderConfig):
    activation: str


def read_config(config: dict) -> GptJConfig:
    sizes = options.sizes(config, _WORDS, intermediate_size=4 * options.positive(config, "n_embd", "hidden_size"))
    rotated = options.positive(config, "rotary_dim", default=64)
    if rotated % 2 != 0 or rotated > sizes["head_dim"]:
        raise ExportError(f"rotary_dim {rotated} must be even and at most the {sizes['head_dim']} dimensions of a head")
    return GptJConfig(
        **sizes, norm_epsilon=options.number(config, "layer_norm_epsilon", 1e-5),
        positions=Rope(10000.0, rotated),
        activation=options.activation(config, "activation_function", options.GELU, "gelu_new"))


def tensor_name(name: str) -> str | None:
    """Old checkpoints have buffers among the weights."""
    return None if name.endswith((".attn.bias", ".attn.masked_bias")) else name


def order_of_halves(config: GptJConfig) -> Tensor:
    """Rows of queries, keys and values such that a head's pairs (2i, 2i + 1) lie half the rotated dimensions apart, as
    the operator turns them. Queries and keys change alike, so their products stay."""
    rotated = config.positions.dims
    head = torch.cat([torch.arange(0, rotated, 2), torch.arange(1, rotated, 2),
                      torch.arange(rotated, config.head_dim)])
    rows = torch.arange((config.heads + 2 * config.kv_heads) * config.head_dim).view(-1, config.head_dim)
    turned = config.heads + config.kv_heads
    return torch.cat([rows[:turned, head].flatten(), rows[turned:].flatten()])


class GptJLayer(nn.Module):
    def __init__(self, weights: Weights, index: int, config: GptJConfig):
        super().__init__()
        layer = f"transformer.h.{index}"
        self.norm = LayerNorm(weights, f"{layer}.ln_1", config.norm_epsilon)
        qkv = weights.linear(*(f"{layer}.attn.{part}_proj" for part in "qkv"), order=order_of_halves(config))
        self.attention = Attention(index, config, qkv, weights.linear(f"{layer}.attn.out_proj"))
        self.mlp = PlainMlp(weights.linear(f"{layer}.mlp.fc_in"), weights.linear(f"{layer}.mlp.fc_out"),
                            config.activation)

    def forward(self, x: Tensor, rotary: Optional[Tensor], step: StepContext, wanted: Optional[Tensor]) -> Tensor:
        normed = self.norm(x)
        return self.mlp(rows_of(normed, wanted), self.attention(normed, x, rotary, step, wanted))


def build(checkpoint: Checkpoint, config: GptJConfig, precision: Precision) -> nn.Module:
    weights = Weights(checkpoint.tensors, precision)
    layers = [GptJLayer(weights, index, config) for index in range(config.layers)]
    return Decoder(weights, config, layers, LayerNorm(weights, "transformer.ln_f", config.norm_epsilon),
                   embedding="transformer.wte")


register("gptj", Architecture(read_config, build, tensor_name=tensor_name))
