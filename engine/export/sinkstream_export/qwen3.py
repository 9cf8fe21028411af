"""Qwen 3: Llama with an RMS norm over each head's query and key before they are rotated."""

import torch
from torch import Tensor, nn

from . import llama, qwen2
from .architectures import Architecture, register
from .blocks import Decoder, RmsNorm, Weights
from .checkpoint import Checkpoint, DecoderConfig
from .precision import Precision


def read_config(config: dict) -> DecoderConfig:
    return qwen2.read_config({"head_dim": 128, **config})  # not hidden_size / num_attention_heads


class HeadNorm(nn.Module):
    """One weight for all queries, one for all keys; values stay."""

    def __init__(self, weights: Weights, index: int, config: DecoderConfig):
        super().__init__()
        self.epsilon = config.norm_epsilon
        query, key = (weights.vector(f"model.layers.{index}.self_attn.{part}_norm.weight") for part in "qk")
        rows = torch.cat([query.expand(config.heads, -1), key.expand(config.kv_heads, -1)])
        self.register_buffer("weight", rows)  # [heads + kv_heads, head_dim]

    def forward(self, qkv: Tensor) -> Tensor:
        return torch.ops.sinkstream.head_rms_norm(qkv, self.weight, self.epsilon)


def build(checkpoint: Checkpoint, config: DecoderConfig, precision: Precision) -> nn.Module:
    weights = Weights(checkpoint.tensors, precision)
    layers = [llama.LlamaLayer(weights, index, config, prepare=HeadNorm(weights, index, config))
              for index in range(config.layers)]
    return Decoder(weights, config, layers, RmsNorm(weights, "model.norm", config.norm_epsilon))


register("qwen3", Architecture(read_config, build))
