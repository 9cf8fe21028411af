"""Gemma 1: Llama with embeddings times sqrt(hidden), norms whose weight is 1 + w, and GELU in the MLP's gate."""

from torch import Tensor, nn

from . import options, rope
from .architectures import Architecture, register
from .blocks import Decoder, RmsNorm, Weights
from .checkpoint import Checkpoint, DecoderConfig
from .llama import LlamaLayer
from .precision import Precision


def read_config(config: dict) -> DecoderConfig:
    # The first releases say "gelu" and mean its approximation; transformers reads it so.
    for key in ("hidden_act", "hidden_activation"):
        options.activation(config, key, options.GELU, "gelu_pytorch_tanh")
    options.refuse(config, "use_bidirectional_attention")
    sizes = options.sizes(config, head_dim=256, tie_word_embeddings=True)
    return DecoderConfig(
        **sizes, norm_epsilon=options.number(config, "rms_norm_eps", 1e-6),
        positions=rope.read(config, sizes["head_dim"]))


class Scale(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def build(checkpoint: Checkpoint, config: DecoderConfig, precision: Precision) -> nn.Module:
    weights = Weights(checkpoint.tensors, precision)
    layers = [LlamaLayer(weights, index, config, activation="tanh", norm_offset=1.0) for index in range(config.layers)]
    return Decoder(weights, config, layers, RmsNorm(weights, "model.norm", config.norm_epsilon, offset=1.0),
                   after_embedding=Scale(config.hidden**0.5))


register("gemma", Architecture(read_config, build))
