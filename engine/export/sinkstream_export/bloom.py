"""BLOOM: ALiBi, LayerNorm on the embedded tokens too, plain MLP, biases everywhere but in the head."""

from typing import Optional

from torch import Tensor, nn

from . import options
from .architectures import Architecture, register
from .blocks import Attention, Decoder, LayerNorm, PlainMlp, StepContext, Weights, order_of_groups
from .checkpoint import Alibi, Checkpoint, DecoderConfig
from .precision import Precision

_WORDS = {
    "hidden_size": "n_embed", "num_attention_heads": "n_head", "num_hidden_layers": "n_layer",
    "max_position_embeddings": "seq_length",
}


def read_config(config: dict) -> DecoderConfig:
    options.refuse(config, "apply_residual_connection_post_layernorm", "slow_but_exact")
    sizes = options.sizes(config, _WORDS, tie_word_embeddings=True, max_position_embeddings=2048,
                          intermediate_size=4 * options.positive(config, "n_embed", "hidden_size"))
    return DecoderConfig(
        **sizes, norm_epsilon=options.number(config, "layer_norm_epsilon", 1e-5), positions=Alibi())


def tensor_name(name: str) -> str:
    """Published checkpoints are those of the model without its head."""
    return name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}"


class BloomLayer(nn.Module):
    def __init__(self, weights: Weights, index: int, config: DecoderConfig):
        super().__init__()
        layer = f"transformer.h.{index}"
        self.attention_norm = LayerNorm(weights, f"{layer}.input_layernorm", config.norm_epsilon)
        qkv = weights.linear(f"{layer}.self_attention.query_key_value", order=order_of_groups(config))
        self.attention = Attention(index, config, qkv, weights.linear(f"{layer}.self_attention.dense"))
        self.mlp_norm = LayerNorm(weights, f"{layer}.post_attention_layernorm", config.norm_epsilon)
        self.mlp = PlainMlp(weights.linear(f"{layer}.mlp.dense_h_to_4h"),
                            weights.linear(f"{layer}.mlp.dense_4h_to_h"), "tanh")

    def forward(self, x: Tensor, rotary: Optional[Tensor], step: StepContext, wanted: Optional[Tensor]) -> Tensor:
        x = self.attention(self.attention_norm(x), x, rotary, step, wanted)
        return self.mlp(self.mlp_norm(x), x)


def build(checkpoint: Checkpoint, config: DecoderConfig, precision: Precision) -> nn.Module:
    weights = Weights(checkpoint.tensors, precision)
    layers = [BloomLayer(weights, index, config) for index in range(config.layers)]
    return Decoder(weights, config, layers, LayerNorm(weights, "transformer.ln_f", config.norm_epsilon),
                   embedding="transformer.word_embeddings",
                   after_embedding=LayerNorm(weights, "transformer.word_embeddings_layernorm", config.norm_epsilon))


register("bloom", Architecture(read_config, build, tensor_name=tensor_name))
