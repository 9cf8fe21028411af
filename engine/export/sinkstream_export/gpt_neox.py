"""GPT-NeoX and Pythia: LayerNorm, a quarter of each head rotated, plain MLP, beside attention or after it."""

from dataclasses import dataclass
from typing import Final, Optional

from torch import Tensor, nn

from . import options, rope
from .architectures import Architecture, register
from .blocks import Attention, Decoder, LayerNorm, PlainMlp, StepContext, Weights, order_of_groups, rows_of
from .checkpoint import Checkpoint, DecoderConfig
from .precision import Precision


@dataclass(frozen=True)
class GptNeoXConfig(DecoderConfig):
    parallel: bool  # the MLP reads the layer's input, through a norm of its own, not attention's result
    activation: str


def read_config(config: dict) -> GptNeoXConfig:
    sizes = options.sizes(config)
    return GptNeoXConfig(
        **sizes, norm_epsilon=options.number(config, "layer_norm_eps", 1e-5),
        positions=rope.read(config, sizes["head_dim"], partial=0.25, theta_key="rotary_emb_base",
                            partial_key="rotary_pct"),
        parallel=bool(config.get("use_parallel_residual", True)),
        activation=options.activation(config, "hidden_act", options.GELU, "gelu"))


def tensor_name(name: str) -> str | None:
    """Old checkpoints have another name for the head, and buffers among the weights."""
    if name.endswith((".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq")):
        return None
    return name.replace("embed_out.", "lm_head.")


class GptNeoXLayer(nn.Module):
    parallel: Final[bool]

    def __init__(self, weights: Weights, index: int, config: GptNeoXConfig):
        super().__init__()
        layer = f"gpt_neox.layers.{index}"
        self.parallel = config.parallel
        self.attention_norm = LayerNorm(weights, f"{layer}.input_layernorm", config.norm_epsilon)
        qkv = weights.linear(f"{layer}.attention.query_key_value", order=order_of_groups(config))
        self.attention = Attention(index, config, qkv, weights.linear(f"{layer}.attention.dense"))
        self.mlp_norm = LayerNorm(weights, f"{layer}.post_attention_layernorm", config.norm_epsilon)
        self.mlp = PlainMlp(weights.linear(f"{layer}.mlp.dense_h_to_4h"),
                            weights.linear(f"{layer}.mlp.dense_4h_to_h"), config.activation)

    def forward(self, x: Tensor, rotary: Optional[Tensor], step: StepContext, wanted: Optional[Tensor]) -> Tensor:
        attended = self.attention(self.attention_norm(x), x, rotary, step, wanted)
        return self.mlp(self.mlp_norm(rows_of(x, wanted) if self.parallel else attended), attended)


def build(checkpoint: Checkpoint, config: GptNeoXConfig, precision: Precision) -> nn.Module:
    weights = Weights(checkpoint.tensors, precision)
    layers = [GptNeoXLayer(weights, index, config) for index in range(config.layers)]
    return Decoder(weights, config, layers, LayerNorm(weights, "gpt_neox.final_layer_norm", config.norm_epsilon),
                   embedding="gpt_neox.embed_in")


register("gpt_neox", Architecture(read_config, build, tensor_name=tensor_name))
