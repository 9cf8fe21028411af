"""What the operators of the library `sinkstream` compute, in plain PyTorch, and the oracle of a whole model.

Written from the definitions alone (docs/model_artifact.md, docs/adr/0003-two-query-rotation.md), sharing nothing with the
kernels: scores are taken from two dense matrices, one with true text distances and one with distances inside the cache.
Every function works in the floating-point type of its arguments; angles are always double.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Rows of queries scored at once: bounds the memory of a long text.
QUERY_ROWS = 256


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """[N, in], [out, in] -> [N, out]."""
    y = x @ weight.to(x.dtype).T
    return y if bias is None else y + bias


def linear_add(x: Tensor, weight: Tensor, residual: Tensor, bias: Tensor | None = None) -> Tensor:
    return linear(x, weight, bias) + residual


def embedding(ids: Tensor, weight: Tensor) -> Tensor:
    """[N] -> [N, in], float32."""
    return weight[ids].float()


def unpack_codes(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """GGUF's blocks, uint8 [out, in / 32, 18 (Q4_0), 20 (Q4_1) or 34 (Q8_0)], or rows of bytes, uint8 [out, 4 + in]: signed
    codes, scales and minima in double, by groups of 32 or, of rows, 64 inputs, [out, groups, inputs or 1]. A weight is
    scale * code + minimum."""
    return _unpack_rows(matrix) if matrix.dim() == 2 else _unpack_blocks(matrix)


def _unpack_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    codes = rows[:, 4:].contiguous().view(torch.int8).int().unflatten(1, (-1, 64))
    scales = rows[:, :4].contiguous().view(torch.float32).double()[:, None].expand(-1, codes.shape[1], -1)
    return codes, scales, torch.zeros_like(scales)


def _unpack_blocks(blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    halves = 2 if blocks.shape[-1] == 20 else 1
    scales = blocks[..., : 2 * halves].contiguous().view(torch.float16).double()
    codes = blocks[..., 2 * halves :].contiguous()
    if blocks.shape[-1] == 34:
        codes = codes.view(torch.int8).int()
    else:
        codes = torch.cat([codes & 15, codes >> 4], dim=-1).int() - (8 if blocks.shape[-1] == 18 else 0)
    minima = scales[..., 1:] if halves == 2 else torch.zeros_like(scales)
    return codes, scales[..., :1], minima


def dequantize(matrix: Tensor) -> Tensor:
    """[out, in], float32: the product and the sum are rounded once."""
    codes, scales, minima = unpack_codes(matrix)
    return (codes * scales + minima).flatten(1).float()


def quantize_groups(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """float32 [N, in]: codes within -127 to 127 and scales for every `size` inputs, [N, in / size, size or 1]."""
    groups = x.float().unflatten(-1, (-1, size))
    largest = groups.abs().amax(-1, keepdim=True)
    seen = largest >= 1e-30
    codes = (groups * torch.where(seen, 127 / largest, 0)).round().int()
    return codes, torch.where(seen, largest / 127, 0)


def quantized_linear(x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """The linear of weights in bytes, in double: what is exact in integers is so here, the rest nearly."""
    codes, scales, minima = unpack_codes(matrix)
    activations, activation_scales = quantize_groups(x, codes.shape[-1])
    exact = torch.einsum("ngk,ogk->nog", activations.double(), codes.double())
    sums = activations.sum(-1, dtype=torch.float64)[:, None]
    y = ((scales[..., 0] * exact + minima[..., 0] * sums) * activation_scales.double()[:, None, :, 0]).sum(-1)
    return y if bias is None else y + bias


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    y = centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + eps) * weight
    return y if bias is None else y + bias


def head_rms_norm(qkv: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Norm of each of the first M heads of [N, heads * D] with its own row of weight [M, D]; the others stay."""
    normed, others = qkv.tensor_split([weight.numel()], dim=-1)
    return torch.cat([rms_norm(normed.unflatten(-1, weight.shape), weight, eps).flatten(1), others], dim=-1)


def silu_mul(gate_up: Tensor) -> Tensor:
    """[N, 2 I] -> [N, I]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return gate * torch.sigmoid(gate) * up


def gelu(x: Tensor, approximate: str) -> Tensor:
    """`approximate`: "none" (x times the normal distribution function) or "tanh"."""
    if approximate == "none":
        return x * (1 + torch.erf(x * 0.5**0.5)) / 2
    return x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x.pow(3)))) / 2


def gelu_mul(gate_up: Tensor, approximate: str) -> Tensor:
    """[N, 2 I] -> [N, I]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return gelu(gate, approximate) * up


def cache_positions(positions: Tensor, sinks: int, window: int) -> Tensor:
    """Where text position n stands inside the cache: n - e(n), e(n) = max(0, n - W + 1 - S)."""
    return positions - (positions - window + 1 - sinks).clamp(min=0)


def recent_positions(positions: Tensor, sinks: int, offset: int) -> Tensor:
    """Positions that recent tokens are rotated by; a pinned token only ever meets pinned ones."""
    return torch.where(positions < sinks, positions, positions + offset)


def rotary_table(
    inv_freq: Tensor, positions: Tensor, sinks: int, window: int, offset: int = 0, magnitude: float = 1.0
) -> Tensor:
    """float64 [N, 2 (recent, pinned), 2 (cos, sin), R / 2] of the tokens at `positions`, times `magnitude`."""
    angles = torch.stack(
        [
            recent_positions(positions, sinks, offset).double()[:, None] * inv_freq.double(),
            cache_positions(positions, sinks, window).double()[:, None] * inv_freq.double(),
        ],
        dim=1,
    )
    return torch.stack([angles.cos(), angles.sin()], dim=2) * magnitude


def rotate(x: Tensor, positions: Tensor, inv_freq: Tensor | None, magnitude: float = 1.0) -> Tensor:
    """Rotates the first R dimensions of [T, heads, head_dim] by halves, times `magnitude`; the others stay."""
    if inv_freq is None:
        return x
    angles = positions.double()[:, None, None] * inv_freq.double()
    cos, sin = (angles.cos() * magnitude).to(x.dtype), (angles.sin() * magnitude).to(x.dtype)
    half = inv_freq.numel()
    a, b = x[..., :half], x[..., half : 2 * half]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, x[..., 2 * half :]], dim=-1)


def band_sink_attention(
    q: Tensor, k: Tensor, v: Tensor, inv_freq: Tensor | None, scale: float, sinks: int, window: int, offset: int = 0,
    slopes: Tensor | None = None, magnitude: float = 1.0,
) -> Tensor:
    """Attention of a whole text with sinks and a band: q [T, heads, D], k and v [T, kv_heads, D] -> [T, heads, D].

    Token n sees {0 .. S-1} and {max(S, n-W+1) .. n}. Recent tokens are at their true distance, pinned ones at the distance
    inside the cache: for rotary positions (inv_freq) and for ALiBi (slopes [heads], times the distance off each score).
    """
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], dim=1) for t in (k, v))
    tokens = torch.arange(len(q))
    recent, places = recent_positions(tokens, sinks, offset), cache_positions(tokens, sinks, window)
    true_q, true_k = (rotate(x, recent, inv_freq, magnitude) for x in (q, k))
    cache_q = rotate(q, places, inv_freq, magnitude)
    cache_k = rotate(k, tokens, inv_freq, magnitude)  # used for pinned tokens, whose place is their text position
    pinned = tokens < sinks
    out = torch.empty_like(q)
    for n in tokens.split(QUERY_ROWS):
        true_scores = torch.einsum("qhd,khd->hqk", true_q[n], true_k)
        cache_scores = torch.einsum("qhd,khd->hqk", cache_q[n], cache_k)
        scores = torch.where(pinned, cache_scores, true_scores) * scale
        if slopes is not None:
            distances = torch.where(pinned, places[n, None] - tokens, n[:, None] - tokens)
            scores = scores - slopes.to(q.dtype)[:, None, None] * distances
        seen = (tokens <= n[:, None]) & (pinned | (tokens > n[:, None] - window))
        out[n] = torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, float("-inf")).softmax(-1), v)
    return out


def sink_attention(
    qkv: Tensor,
    inv_freq: Tensor | None,
    heads: int,
    kv_heads: int,
    head_dim: int,
    scale: float,
    sinks: int,
    window: int,
    offset: int = 0,
    slopes: Tensor | None = None,
    magnitude: float = 1.0,
) -> Tensor:
    """The operator, for a text that is fed from its first token: [T, (heads + 2 kv_heads) * D] -> [T, heads * D]."""
    count = qkv.shape[0]
    q, k, v = qkv.view(count, -1, head_dim).split([heads, kv_heads, kv_heads], dim=1)
    out = band_sink_attention(q, k, v, inv_freq, scale, sinks, window, offset, slopes, magnitude)
    return out.reshape(count, heads * head_dim)


@dataclass(frozen=True)
class LlamaShape:
    """What the oracle has to know beside the weights."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    inv_freq: Tensor  # float64 [R / 2]


def rope_frequencies(theta: float, dims: int) -> Tensor:
    return 1.0 / theta ** (torch.arange(0, dims, 2, dtype=torch.float64) / dims)


def llama_shape(config) -> LlamaShape:
    """From a Hugging Face LlamaConfig with plain rotary positions."""
    rope = getattr(config, "rope_parameters", None) or {"rope_theta": config.rope_theta}
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return LlamaShape(
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=head_dim,
        eps=config.rms_norm_eps,
        inv_freq=rope_frequencies(rope["rope_theta"], head_dim),
    )


@dataclass(frozen=True)
class _LlamaWeights:
    tensors: dict[str, Tensor]
    dtype: torch.dtype

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name].to(self.dtype)

    def project(self, x: Tensor, name: str) -> Tensor:
        bias = f"{name}.bias"
        return linear(x, self[f"{name}.weight"], self[bias] if bias in self.tensors else None)

    def mlp(self, x: Tensor, name: str) -> Tensor:
        gate_up = torch.cat([self.project(x, f"{name}.{part}_proj") for part in ("gate", "up")], dim=-1)
        return self.project(silu_mul(gate_up), f"{name}.down_proj")


def band_sink_forward(
    weights: dict[str, Tensor], shape: LlamaShape, tokens: Tensor, sinks: int, window: int, offset: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Logits [T, vocabulary] of every token of a text, in one teacher-forced forward of a Llama.

    `weights` has Hugging Face's names (LlamaForCausalLM.state_dict()); a tied head may be absent. `offset` is added to the
    text positions of recent tokens, as if the stream were that much older.
    """
    llama = _LlamaWeights(weights, dtype)

    def attention(x: Tensor, name: str) -> Tensor:
        q, k, v = (llama.project(x, f"{name}.{part}_proj").view(len(tokens), -1, shape.head_dim) for part in "qkv")
        out = band_sink_attention(q, k, v, shape.inv_freq, shape.head_dim**-0.5, sinks, window, offset)
        return llama.project(out.flatten(1), f"{name}.o_proj")

    x = llama["model.embed_tokens.weight"][tokens]
    for layer in (f"model.layers.{index}" for index in range(shape.layers)):
        normed = rms_norm(x, llama[f"{layer}.input_layernorm.weight"], shape.eps)
        x = x + attention(normed, f"{layer}.self_attn")
        normed = rms_norm(x, llama[f"{layer}.post_attention_layernorm.weight"], shape.eps)
        x = x + llama.mlp(normed, f"{layer}.mlp")
    x = rms_norm(x, llama["model.norm.weight"], shape.eps)
    return linear(x, llama["lm_head.weight" if "lm_head.weight" in weights else "model.embed_tokens.weight"])
