"""StableLM: LayerNorm, a quarter of each head rotated, gated MLP, after attention or beside it on the same norm."""

from dataclasses import dataclass
from typing import Optional

from torch import Tensor, nn

from . import options, rope
from .architectures import Architecture, register
from .blocks import Attention, Decoder, GatedMlp, LayerNorm, StepContext, Weights, rows_of
from .checkpoint import Checkpoint, DecoderConfig
from .precision import Precision


@dataclass(frozen=True)
class StableLmConfig(DecoderConfig):
    parallel: bool  # the MLP reads what attention reads


def read_config(config: dict) -> StableLmConfig:
    options.activation(config, "hidden_act", options.SILU, "silu")
    options.refuse(config, "qk_layernorm")
    sizes = options.sizes(config)
    return StableLmConfig(
        **sizes, norm_epsilon=options.number(config, "layer_norm_eps", 1e-5),
        positions=rope.read(config, sizes["head_dim"], partial=0.25),
        parallel=bool(config.get("use_parallel_residual", False)))


class StableLmLayer(nn.Module):
    def __init__(self, weights: Weights, index: int, config: StableLmConfig):
        super().__init__()
        layer = f"model.layers.{index}"
        self.attention_norm = LayerNorm(weights, f"{layer}.input_layernorm", config.norm_epsilon)
        self.attention = Attention(
            index, config, weights.linear(*(f"{layer}.self_attn.{part}_proj" for part in "qkv")),
            weights.linear(f"{layer}.self_attn.o_proj"))
        self.mlp_norm = None if config.parallel else LayerNorm(
            weights, f"{layer}.post_attention_layernorm", config.norm_epsilon)
        self.mlp = GatedMlp(weights.linear(f"{layer}.mlp.gate_proj", f"{layer}.mlp.up_proj"),
                            weights.linear(f"{layer}.mlp.down_proj"), "silu")

    def forward(self, x: Tensor, rotary: Optional[Tensor], step: StepContext, wanted: Optional[Tensor]) -> Tensor:
        normed = self.attention_norm(x)
        x = self.attention(normed, x, rotary, step, wanted)
        if self.mlp_norm is not None:
            return self.mlp(self.mlp_norm(x), x)
        return self.mlp(rows_of(normed, wanted), x)


def build(checkpoint: Checkpoint, config: StableLmConfig, precision: Precision) -> nn.Module:
    weights = Weights(checkpoint.tensors, precision)
    layers = [StableLmLayer(weights, index, config) for index in range(config.layers)]
    return Decoder(weights, config, layers, LayerNorm(weights, "model.norm", config.norm_epsilon))


register("stablelm", Architecture(read_config, build))
