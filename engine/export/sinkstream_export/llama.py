"""Llama 1, 2, 3 and SmolLM: RMS norms, grouped queries, rotary positions, gated MLP."""

from typing import Optional

from torch import Tensor, nn

from . import options, rope
from .architectures import Architecture, register
from .blocks import Attention, Decoder, GatedMlp, RmsNorm, StepContext, Weights
from .checkpoint import Checkpoint, DecoderConfig
from .precision import Precision


def read_config(config: dict) -> DecoderConfig:
    """Sizes from a config.json. Raises ExportError naming what is missing or not implemented, as each family's does."""
    options.activation(config, "hidden_act", options.SILU, "silu")
    options.refuse(config, "sliding_window", reason="a session sets its own window")
    sizes = options.sizes(config)
    return DecoderConfig(
        **sizes, norm_epsilon=options.number(config, "rms_norm_eps", 1e-6),
        positions=rope.read(config, sizes["head_dim"]))


class LlamaLayer(nn.Module):
    """The keywords are for architectures that differ there alone: `prepare` of Attention, `activation` of GatedMlp,
    `norm_offset` added to the norms' weights."""

    def __init__(self, weights: Weights, index: int, config: DecoderConfig, *, prepare: nn.Module | None = None,
                 activation: str = "silu", norm_offset: float = 0.0):
        super().__init__()
        layer = f"model.layers.{index}"
        self.attention = Attention(
            index, config, weights.linear(*(f"{layer}.self_attn.{part}_proj" for part in "qkv")),
            weights.linear(f"{layer}.self_attn.o_proj"), prepare,
            norm=RmsNorm(weights, f"{layer}.input_layernorm", config.norm_epsilon, norm_offset))
        self.mlp = GatedMlp(
            weights.linear(f"{layer}.mlp.gate_proj", f"{layer}.mlp.up_proj"),
            weights.linear(f"{layer}.mlp.down_proj"), activation,
            norm=RmsNorm(weights, f"{layer}.post_attention_layernorm", config.norm_epsilon, norm_offset))

    def forward(self, x: Tensor, rotary: Optional[Tensor], step: StepContext, wanted: Optional[Tensor]) -> Tensor:
        x = self.attention(x, x, rotary, step, wanted)
        return self.mlp(x, x)


def build(checkpoint: Checkpoint, config: DecoderConfig, precision: Precision) -> nn.Module:
    weights = Weights(checkpoint.tensors, precision)
    layers = [LlamaLayer(weights, index, config) for index in range(config.layers)]
    return Decoder(weights, config, layers, RmsNorm(weights, "model.norm", config.norm_epsilon))


register("llama", Architecture(read_config, build))
