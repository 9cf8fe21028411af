"""An architecture that is not built in is added from outside the package, without a line of C++."""

from typing import Optional

import torch
import transformers
from sinkstream_export import architectures, llama, oracle
from sinkstream_export.blocks import Attention, Decoder, GatedMlp, RmsNorm, StepContext, Weights, rows_of
from sinkstream_export.step import stream_logits
from torch import Tensor, nn

import tiny_models


class QueryKeyNorm(nn.Module):
    """OLMo 2's RMS norms over the queries of all heads together, and over the keys."""

    def __init__(self, weights, attention, config):
        super().__init__()
        self.query = RmsNorm(weights, f"{attention}.q_norm", config.norm_epsilon)
        self.key = RmsNorm(weights, f"{attention}.k_norm", config.norm_epsilon)
        self.sizes = [heads * config.head_dim for heads in (config.heads, config.kv_heads, config.kv_heads)]

    def forward(self, qkv: Tensor) -> Tensor:
        query, key, value = qkv.split(self.sizes, dim=1)
        return torch.cat([self.query(query), self.key(key), value], dim=1)


class OlmoStyleLayer(nn.Module):
    """OLMo 2's layer: norms after attention and MLP instead of before."""

    def __init__(self, weights, index, config):
        super().__init__()
        layer = f"model.layers.{index}"
        self.attention = Attention(
            index, config, weights.linear(*(f"{layer}.self_attn.{part}_proj" for part in "qkv")),
            weights.linear(f"{layer}.self_attn.o_proj"), QueryKeyNorm(weights, f"{layer}.self_attn", config))
        self.attention_norm = RmsNorm(weights, f"{layer}.post_attention_layernorm", config.norm_epsilon)
        self.mlp = GatedMlp(weights.linear(f"{layer}.mlp.gate_proj", f"{layer}.mlp.up_proj"),
                            weights.linear(f"{layer}.mlp.down_proj"))
        self.mlp_norm = RmsNorm(weights, f"{layer}.post_feedforward_layernorm", config.norm_epsilon)

    def forward(self, x: Tensor, rotary: Optional[Tensor], step: StepContext, wanted: Optional[Tensor]) -> Tensor:
        attended = self.attention(x, torch.zeros_like(x), rotary, step, wanted)
        x = rows_of(x, wanted) + self.attention_norm(attended)
        return x + self.mlp_norm(self.mlp(x, torch.zeros_like(x)))


def build(checkpoint, config, precision):
    weights = Weights(checkpoint.tensors, precision)
    layers = [OlmoStyleLayer(weights, index, config) for index in range(config.layers)]
    return Decoder(weights, config, layers, RmsNorm(weights, "model.norm", config.norm_epsilon))


def test_olmo_2_exports_verifies_and_streams(tmp_path, export):
    torch.manual_seed(0)
    model = transformers.Olmo2ForCausalLM(transformers.Olmo2Config(
        vocab_size=301, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=2, pad_token_id=0)).eval()
    for name, parameter in model.named_parameters():
        parameter.uniform_(0.5, 1.5) if name.endswith("norm.weight") else parameter.normal_(0, 0.2)
    architectures.register("olmo2", architectures.Architecture(llama.read_config, build))
    artifact = export(tiny_models.write_hf(tmp_path, model))
    assert artifact.manifest["architecture"] == "olmo2"
    tokens = torch.randint(301, (90,), generator=torch.Generator().manual_seed(2))
    config = llama.read_config(model.config.to_dict())
    dense = stream_logits(artifact.module, config, tokens, 4, 86, 20)
    torch.testing.assert_close(dense, model(tokens[None]).logits[0], atol=1e-4, rtol=0)
    streamed = stream_logits(artifact.module, config, tokens, 4, 16, 20)
    torch.testing.assert_close(streamed, oracle.band_sink_logits(model, tokens, 4, 16), atol=1e-4, rtol=0)
