"""Phi 1, 1.5 and 2: attention and a plain MLP beside each other on one LayerNorm, half of each head rotated or less,
biases everywhere, the head's included."""

from dataclasses import dataclass
from typing import Optional

from torch import Tensor, nn

from . import options, rope
from .architectures import Architecture, register
from .blocks import Attention, Decoder, LayerNorm, PlainMlp, StepContext, Weights, rows_of
from .checkpoint import Checkpoint, DecoderConfig
from .precision import Precision


@dataclass(frozen=True)
class PhiConfig(DecoderConfig):
    activation: str


def read_config(config: dict) -> PhiConfig:
    options.refuse(config, "qk_layernorm")
    sizes = options.sizes(config)
    return PhiConfig(
        **sizes, norm_epsilon=options.number(config, "layer_norm_eps", 1e-5),
        positions=rope.read(config, sizes["head_dim"], partial=0.5),
        activation=options.activation(config, "hidden_act", options.GELU, "gelu_new"))


class PhiLayer(nn.Module):
    def __init__(self, weights: Weights, index: int, config: PhiConfig):
        super().__init__()
        layer = f"model.layers.{index}"
        self.norm = LayerNorm(weights, f"{layer}.input_layernorm", config.norm_epsilon)
        self.attention = Attention(
            index, config, weights.linear(*(f"{layer}.self_attn.{part}_proj" for part in "qkv")),
            weights.linear(f"{layer}.self_attn.dense"))
        self.mlp = PlainMlp(weights.linear(f"{layer}.mlp.fc1"), weights.linear(f"{layer}.mlp.fc2"), config.activation)

    def forward(self, x: Tensor, rotary: Optional[Tensor], step: StepContext, wanted: Optional[Tensor]) -> Tensor:
        normed = self.norm(x)
        return self.mlp(rows_of(normed, wanted), self.attention(normed, x, rotary, step, wanted))


def build(checkpoint: Checkpoint, config: PhiConfig, precision: Precision) -> nn.Module:
    weights = Weights(checkpoint.tensors, precision)
    layers = [PhiLayer(weights, index, config) for index in range(config.layers)]
    return Decoder(weights, config, layers, LayerNorm(weights, "model.final_layernorm", config.norm_epsilon))


register("phi", Architecture(read_config, build))
