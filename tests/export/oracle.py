"""The band-and-sink oracle: one teacher-forced forward over the whole text, in plain PyTorch, without any cache.

Token n attends to V(n) = {0 .. S-1} and {max(S, n-W+1) .. n}. A recent key stands at its text distance n - m. For a pinned
key i the query stands at n - e(n), e(n) = max(0, n-W+1-S) tokens having been evicted. Streaming equals this at every n.
"""

import torch


def rotate(x, angles):
    """x [heads, T, D] turned by angles [T, D / 2] (float64), dimension i paired with i + D / 2."""
    half = x.shape[-1] // 2
    first, second = x[..., :half].double(), x[..., half:].double()
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def attention(q, k, v, inv_freq, sinks, window, scale):
    """q [heads, T, D], k and v [kv_heads, T, D], not rotated -> [T, heads * D]."""
    groups = q.shape[0] // k.shape[0]
    k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
    n = torch.arange(q.shape[1])
    evicted = (n - window + 1 - sinks).clamp(min=0)
    query, key = n[:, None], n[None, :]
    keys = rotate(k, n.double()[:, None] * inv_freq)
    recent_scores = rotate(q, n.double()[:, None] * inv_freq) @ keys.transpose(1, 2)
    pinned_scores = rotate(q, (n - evicted).double()[:, None] * inv_freq) @ keys.transpose(1, 2)
    is_pinned = key < sinks
    visible = (key <= query) & (is_pinned | (key >= query - window + 1))
    scores = torch.where(is_pinned, pinned_scores, recent_scores) * scale
    weights = scores.masked_fill(~visible, float("-inf")).softmax(-1)
    return (weights @ v).transpose(0, 1).reshape(q.shape[1], -1)


def streaming_logits(model, tokens, sinks, window):
    """Logits [T, vocab] of transformers' LlamaForCausalLM `model` with its attention replaced by the one above."""
    config = model.config
    dim = config.head_dim
    inv_freq = model.model.rotary_emb.inv_freq.double()

    def heads(projected):
        return projected.reshape(len(tokens), -1, dim).transpose(0, 1)

    with torch.inference_mode():
        x = model.model.embed_tokens(tokens)
        for layer in model.model.layers:
            normed = layer.input_layernorm(x)
            part = layer.self_attn
            attended = attention(heads(part.q_proj(normed)), heads(part.k_proj(normed)), heads(part.v_proj(normed)),
                                 inv_freq, sinks, window, dim**-0.5)
            x = x + part.o_proj(attended)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return model.lm_head(model.model.norm(x))
