"""An architecture that is not built in is added from outside the package, without a line of C++."""

import torch
import transformers
from sinkstream_export import architectures, llama
from sinkstream_export.step import stream_logits
from torch import Tensor, nn

import tiny_models

StepContext = torch.classes.sinkstream.StepContext


class OlmoStyleLayer(nn.Module):
    """OLMo 2's layer: norms after attention and MLP instead of before, and over all heads' queries and keys."""

    def __init__(self, tensors, index, config, dtype):
        super().__init__()
        prefix = f"model.layers.{index}"
        attention, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
        self.index, self.heads, self.kv_heads = index, config.heads, config.kv_heads
        self.head_dim, self.epsilon = config.head_dim, config.norm_epsilon
        self.scale = config.head_dim**-0.5
        for name, source in (("q_norm", f"{attention}.q_norm"), ("k_norm", f"{attention}.k_norm"),
                             ("attention_norm", f"{prefix}.post_attention_layernorm"),
                             ("mlp_norm", f"{prefix}.post_feedforward_layernorm")):
            self.register_buffer(name, tensors[f"{source}.weight"].float())
        for name, sources in (("q", [f"{attention}.q_proj"]), ("k", [f"{attention}.k_proj"]),
                              ("v", [f"{attention}.v_proj"]), ("out", [f"{attention}.o_proj"]),
                              ("gate_up", [f"{mlp}.gate_proj", f"{mlp}.up_proj"]), ("down", [f"{mlp}.down_proj"])):
            setattr(self, name, llama.fused_linear(tensors, sources, dtype))

    def forward(self, x: Tensor, rotary: Tensor, step: StepContext) -> Tensor:
        ops = torch.ops.sinkstream
        q = ops.rms_norm(ops.linear(x, self.q), self.q_norm, self.epsilon)
        k = ops.rms_norm(ops.linear(x, self.k), self.k_norm, self.epsilon)
        qkv = torch.cat([q, k, ops.linear(x, self.v)], dim=1)
        attended = ops.sink_attention(
            qkv, rotary, self.index, self.heads, self.kv_heads, self.head_dim, self.scale, step)
        x = x + ops.rms_norm(ops.linear(attended, self.out), self.attention_norm, self.epsilon)
        mlp = ops.linear(ops.silu_mul(ops.linear(x, self.gate_up)), self.down)
        return x + ops.rms_norm(mlp, self.mlp_norm, self.epsilon)


class OlmoStyleDecoder(llama.LlamaDecoder):
    def __init__(self, tensors, config, dtype):
        super().__init__(tensors, config, dtype, layer=OlmoStyleLayer)


def test_olmo_2_exports_verifies_and_streams(tmp_path, export):
    torch.manual_seed(0)
    model = transformers.Olmo2ForCausalLM(transformers.Olmo2Config(
        vocab_size=301, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=2, pad_token_id=0)).eval()
    for name, parameter in model.named_parameters():
        parameter.uniform_(0.5, 1.5) if name.endswith("norm.weight") else parameter.normal_(0, 0.2)
    def build(checkpoint, config, dtype):
        return OlmoStyleDecoder(checkpoint.tensors, config, dtype).eval()

    architectures.register("olmo2", architectures.Architecture(llama.read_config, build))
    artifact = export(tiny_models.write_hf(tmp_path, model))
    assert artifact.manifest["architecture"] == "olmo2"
    tokens = torch.randint(301, (90,), generator=torch.Generator().manual_seed(2))
    got = stream_logits(artifact.module, llama.read_config(model.config.to_dict()), tokens, 4, 86, 20)
    torch.testing.assert_close(got, model(tokens[None]).logits[0], atol=1e-4, rtol=0)
