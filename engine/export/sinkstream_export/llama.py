"""The Llama architecture on sinkstream's operators: RMS norm, grouped queries, RoPE, gated MLP.

Import after operators.load(): the annotations below name classes of the operator library.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from . import reference
from .architectures import Architecture, register
from .checkpoint import Checkpoint, DecoderConfig, ExportError, LazyTensors

LinearWeight = torch.classes.sinkstream.LinearWeight
StepContext = torch.classes.sinkstream.StepContext

# What config.json calls rotary positions now and what it called them; transformers reads either.
_ROPE_KEYS = ("rope_parameters", "rope_scaling")


def read_config(config: dict) -> DecoderConfig:
    """Sizes from a config.json of model_type llama. Raises ExportError naming what is missing or not implemented."""
    _refuse_variants(config)
    heads = _positive(config, "num_attention_heads")
    hidden = _positive(config, "hidden_size")
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or hidden // heads
    if heads % kv_heads != 0:
        raise ExportError(f"num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}")
    if head_dim % 2 != 0:
        raise ExportError(f"head_dim {head_dim} is odd; rotary positions need pairs")
    return DecoderConfig(
        vocab_size=_positive(config, "vocab_size"),
        layers=_positive(config, "num_hidden_layers"),
        hidden=hidden,
        intermediate=_positive(config, "intermediate_size"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        norm_epsilon=float(config.get("rms_norm_eps", 1e-6)),
        rope_theta=_rope_theta(config),
        rope_dims=head_dim,
        trained_context=_positive(config, "max_position_embeddings"),
        tied_head=bool(config.get("tie_word_embeddings", False)),
    )


def _positive(config: dict, key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value < 1:
        raise ExportError(f"config: {key} must be a positive number, not {value!r}")
    return value


def _refuse_variants(config: dict) -> None:
    if config.get("hidden_act", "silu") != "silu":
        raise ExportError(f"hidden_act '{config['hidden_act']}' is not supported (supported: silu)")
    if config.get("sliding_window") is not None:
        raise ExportError(f"sliding_window {config['sliding_window']} is not supported: a session sets its own window")
    for key in _ROPE_KEYS:
        _refuse_rope_scaling(key, config.get(key) or {})
    for rope in (config, *(config.get(key) or {} for key in _ROPE_KEYS)):
        if (partial := rope.get("partial_rotary_factor")) not in (None, 1):
            raise ExportError(f"partial_rotary_factor {partial} is not supported for llama")


def _refuse_rope_scaling(key: str, rope: object) -> None:
    """`rope`: the value of `key` in config.json."""
    if not isinstance(rope, dict):
        raise ExportError(f"config: {key} must be an object, not {rope!r}")
    for kind in (rope.get("rope_type"), rope.get("type")):
        if kind not in (None, "default"):
            raise ExportError(f"{key}: rope scaling '{kind}' is not supported (supported: none)")
    if rope.get("factor") not in (None, 1):
        raise ExportError(f"{key}: factor {rope['factor']} is not supported (supported: none)")


def _rope_theta(config: dict) -> float:
    sources = [*(config.get(key) or {} for key in _ROPE_KEYS), config]
    return float(next((source["rope_theta"] for source in sources if "rope_theta" in source), 10000.0))


def inverse_frequencies(theta: float, dims: int) -> Tensor:
    """float64 [dims / 2]: transformers' float32 values, widened, so that the angles alone gain precision."""
    exponents = torch.arange(0, dims, 2, dtype=torch.int64).to(torch.float32) / dims
    return (1.0 / (theta**exponents)).to(torch.float64)


def fused_linear(tensors: LazyTensors, names: list[str], dtype: torch.dtype) -> LinearWeight:
    """One LinearWeight of several projections of the same input, stacked in the given order; biases if there are."""
    weight = torch.cat([tensors[f"{name}.weight"].to(dtype) for name in names])
    biased = [f"{name}.bias" in tensors for name in names]
    if not any(biased):
        return LinearWeight(weight, None)
    if not all(biased):
        raise ExportError(f"only some of {', '.join(names)} have a bias")
    return LinearWeight(weight, torch.cat([tensors[f"{name}.bias"].to(torch.float32) for name in names]))


class LlamaLayer(nn.Module):
    def __init__(self, tensors: LazyTensors, index: int, config: DecoderConfig, dtype: torch.dtype):
        super().__init__()
        prefix = f"model.layers.{index}"
        attention, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
        self.index = index
        self.heads = config.heads
        self.kv_heads = config.kv_heads
        self.head_dim = config.head_dim
        self.scale = config.head_dim**-0.5
        self.epsilon = config.norm_epsilon
        self.register_buffer("input_norm", tensors[f"{prefix}.input_layernorm.weight"].float())
        self.register_buffer("mlp_norm", tensors[f"{prefix}.post_attention_layernorm.weight"].float())
        self.qkv = fused_linear(tensors, [f"{attention}.{part}_proj" for part in "qkv"], dtype)
        self.attention_out = fused_linear(tensors, [f"{attention}.o_proj"], dtype)
        self.gate_up = fused_linear(tensors, [f"{mlp}.gate_proj", f"{mlp}.up_proj"], dtype)
        self.down = fused_linear(tensors, [f"{mlp}.down_proj"], dtype)

    def forward(self, x: Tensor, rotary: Tensor, step: StepContext) -> Tensor:
        ops = torch.ops.sinkstream
        qkv = ops.linear(ops.rms_norm(x, self.input_norm, self.epsilon), self.qkv)
        attended = ops.sink_attention(
            qkv, rotary, self.index, self.heads, self.kv_heads, self.head_dim, self.scale, step)
        x = ops.linear_add(attended, self.attention_out, x)
        gate_up = ops.linear(ops.rms_norm(x, self.mlp_norm, self.epsilon), self.gate_up)
        return ops.linear_add(ops.silu_mul(gate_up), self.down, x)


class LlamaDecoder(nn.Module):
    """`layer` is the class of the layers, for architectures that differ from Llama there alone."""

    def __init__(self, tensors: LazyTensors, config: DecoderConfig, dtype: torch.dtype, layer: type = LlamaLayer):
        super().__init__()
        self.epsilon = config.norm_epsilon
        self.embedding = fused_linear(tensors, ["model.embed_tokens"], dtype)
        # A tied head is the same object: the file then holds it once.
        self.head = self.embedding if config.tied_head else fused_linear(tensors, ["lm_head"], dtype)
        self.layers = nn.ModuleList(layer(tensors, i, config, dtype) for i in range(config.layers))
        self.register_buffer("norm", tensors["model.norm.weight"].float())
        self.register_buffer("inv_freq", inverse_frequencies(config.rope_theta, config.rope_dims))

    def forward(self, tokens: Tensor, logit_rows: Tensor, step: StepContext) -> Tensor:
        ops = torch.ops.sinkstream
        x = ops.embedding(tokens, self.embedding)  # [N, hidden]
        rotary = ops.rotary_table(self.inv_freq, step)
        for layer in self.layers:
            x = layer(x, rotary, step)
        x = x.index_select(0, logit_rows)  # [M, hidden]
        return ops.linear(ops.rms_norm(x, self.norm, self.epsilon), self.head)


def build(checkpoint: Checkpoint, config: DecoderConfig, dtype: torch.dtype) -> nn.Module:
    return LlamaDecoder(checkpoint.tensors, config, dtype).eval()


def streaming_oracle(
    model: nn.Module, tokens: Tensor, sinks: int, window: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Logits [T, vocab_size] of transformers' LlamaForCausalLM under the band-and-sink mask, computed in `dtype`."""
    shape = reference.llama_shape(model.config)
    theta = model.config.rope_parameters["rope_theta"]
    shape = replace(shape, inv_freq=inverse_frequencies(theta, shape.head_dim))
    return reference.band_sink_forward(model.state_dict(), shape, tokens, sinks, window, dtype=dtype)


register("llama", Architecture(read_config, build))
