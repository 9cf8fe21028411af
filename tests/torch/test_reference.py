"""The oracle itself: against transformers where nothing is evicted, against token-by-token streaming where much is."""

import pytest
import torch
from sinkstream_export import reference
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, MptConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.mpt.modeling_mpt import MptAttention, build_mpt_alibi_tensor
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=97, hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.3, attn_implementation="eager")
    return LlamaForCausalLM(config).eval().double()


@pytest.fixture
def tokens(rng) -> torch.Tensor:
    return torch.randint(0, 97, (70,), generator=rng)


def oracle(llama, tokens, sinks, window, offset=0):
    return reference.band_sink_forward(
        llama.state_dict(), reference.llama_shape(llama.config), tokens, sinks, window, offset, torch.float64)


def streamed_attention(q, k, v, shape, sinks, window):
    """StreamingLLM to the letter, one token: all kept keys are rotated anew by their place in the cache."""
    n = len(k) - 1
    kept = torch.tensor([m for m in range(n + 1) if m < sinks or m > n - window])
    keys = reference.rotate(k[kept], torch.arange(len(kept)), shape.inv_freq)
    query = reference.rotate(q[None], torch.tensor([len(kept) - 1]), shape.inv_freq)[0]
    out = torch.empty_like(query)
    for head in range(shape.heads):
        group = head // (shape.heads // shape.kv_heads)
        weights = (keys[:, group] @ query[head] * shape.head_dim**-0.5).softmax(0)
        out[head] = weights @ v[kept, group]
    return out.flatten()


def streamed_logits(llama, tokens, sinks, window):
    """Token by token through transformers' own modules; only attention is ours."""
    shape, cache, logits = reference.llama_shape(llama.config), {}, []
    for token in tokens:
        x = llama.model.embed_tokens(token[None])
        for index, layer in enumerate(llama.model.layers):
            normed, attention = layer.input_layernorm(x), layer.self_attn
            q = attention.q_proj(normed).view(shape.heads, shape.head_dim)
            for name, project in (("k", attention.k_proj), ("v", attention.v_proj)):
                new = project(normed).view(1, shape.kv_heads, shape.head_dim)
                cache[name, index] = torch.cat([cache[name, index], new]) if (name, index) in cache else new
            out = streamed_attention(q, cache["k", index], cache["v", index], shape, sinks, window)
            x = x + attention.o_proj(out[None])
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        logits.append(llama.lm_head(llama.model.norm(x))[0])
    return torch.stack(logits)


@torch.no_grad()
@pytest.mark.parametrize(("sinks", "window"), [(4, 66), (0, 70), (70, 1), (100, 5)])
def test_without_eviction_it_is_the_dense_model(llama, tokens, sinks, window):
    dense = llama(tokens[None]).logits[0]
    # transformers rotates in float32 however precise the model.
    torch.testing.assert_close(oracle(llama, tokens, sinks, window), dense, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("sinks", "window"), [(4, 12), (0, 9), (1, 1), (8, 30), (20, 3)])
def test_one_forward_is_token_by_token_streaming(llama, tokens, sinks, window):
    forward, streamed = oracle(llama, tokens, sinks, window), streamed_logits(llama, tokens, sinks, window)
    # transformers' norm is float32 however precise the model.
    torch.testing.assert_close(forward, streamed, atol=1e-4, rtol=1e-4)
    dense = llama(tokens[None]).logits[0]
    assert (forward[-1] - dense[-1]).abs().max() > 0.01  # and much has been evicted


@torch.no_grad()
def test_a_late_stream_says_what_an_early_one_does(llama, tokens):
    late = oracle(llama, tokens, sinks=4, window=12, offset=10_000_000)
    torch.testing.assert_close(late, oracle(llama, tokens, sinks=4, window=12), atol=1e-6, rtol=1e-6)


def random_heads(rng, count, heads, kv_heads, head_dim):
    """Queries, keys and values of a text."""
    return [torch.randn(count, n, head_dim, generator=rng, dtype=torch.float64) for n in (heads, kv_heads, kv_heads)]


@torch.no_grad()
def test_without_eviction_alibi_is_that_of_mpt(rng):
    attention = MptAttention(MptConfig(d_model=6 * 80, n_heads=6)).double()
    x = torch.randn(40, 6 * 80, generator=rng, dtype=torch.float64)
    bias = build_mpt_alibi_tensor(6, 40)
    dense, _ = attention(x[None], bias, attention_mask=torch.ones(40, 40, dtype=torch.bool).triu(1))
    q, k, v = (part.unflatten(-1, (6, 80)) for part in attention.Wqkv(x).chunk(3, dim=-1))
    slopes = bias[:, 0, -1] - bias[:, 0, -2]
    ours = reference.band_sink_attention(q, k, v, None, 80**-0.5, sinks=4, window=36, slopes=slopes)
    # transformers' softmax is float32 however precise the model.
    torch.testing.assert_close(attention.out_proj(ours.flatten(1)), dense[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("sinks", "window"), [(4, 12), (0, 9), (1, 1), (20, 3)])
def test_alibi_of_one_forward_is_token_by_token_streaming(rng, sinks, window):
    """StreamingLLM to the letter: each kept key's distance is that of its place in the cache."""
    slopes = torch.tensor([0.5, 0.3, 0.01, 0.2])
    q, k, v = random_heads(rng, 50, heads=4, kv_heads=2, head_dim=16)
    forward = reference.band_sink_attention(q, k, v, None, 0.25, sinks, window, slopes=slopes)
    for n in range(50):
        kept = [m for m in range(n + 1) if m < sinks or m > n - window]
        distances = torch.arange(len(kept) - 1, -1, -1)
        for head in range(4):
            scores = k[kept, head // 2] @ q[n, head] * 0.25 - slopes[head].double() * distances
            torch.testing.assert_close(forward[n, head], scores.softmax(0) @ v[kept, head // 2])


def test_alibi_of_a_late_stream_is_that_of_an_early_one(rng):
    q, k, v = random_heads(rng, 50, heads=4, kv_heads=2, head_dim=16)
    early, late = (
        reference.band_sink_attention(q, k, v, None, 0.25, 4, 12, offset, slopes=torch.tensor([0.5, 0.3, 0.01, 0.2]))
        for offset in (0, 10_000_000))
    assert torch.equal(late, early)


def test_a_scaled_rotation_is_that_of_yarn(rng):
    scaling = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
    rotary = LlamaRotaryEmbedding(LlamaConfig(
        hidden_size=64, num_attention_heads=2, max_position_embeddings=256, rope_parameters=scaling))
    q, k, _ = random_heads(rng, 30, heads=2, kv_heads=1, head_dim=32)
    tokens = torch.arange(30)
    cos, sin = rotary(q, tokens[None])
    theirs = apply_rotary_pos_emb(q, k, cos[0], sin[0])
    assert rotary.attention_scaling > 1.1
    for x, wanted in zip((q, k), theirs, strict=True):
        ours = reference.rotate(x, tokens, rotary.inv_freq, rotary.attention_scaling)
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)  # their angles are float32


def test_a_scaled_rotary_table_scales_cosines_and_sines():
    inv_freq = reference.rope_frequencies(10000.0, 32)
    table = reference.rotary_table(inv_freq, torch.arange(50), sinks=4, window=12, magnitude=1.25)
    assert torch.equal(table, 1.25 * reference.rotary_table(inv_freq, torch.arange(50), sinks=4, window=12))
    torch.testing.assert_close(table.pow(2).sum(2), torch.full((50, 2, 16), 1.25**2, dtype=torch.float64))


@pytest.mark.parametrize("biased", [False, True])
def test_layer_norm_is_that_of_torch(rng, biased):
    x, weight, bias = torch.randn(7, 33, generator=rng), torch.randn(33, generator=rng), torch.randn(33, generator=rng)
    arguments = x.double() * 5 + 3, weight.double(), bias.double() if biased else None
    theirs = functional.layer_norm(arguments[0], (33,), *arguments[1:], eps=1e-3)
    torch.testing.assert_close(reference.layer_norm(*arguments, 1e-3), theirs)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_that_of_torch(approximate):
    x = torch.linspace(-9, 9, 2000, dtype=torch.float64)
    torch.testing.assert_close(reference.gelu(x, approximate), functional.gelu(x, approximate=approximate))
    gated = reference.gelu_mul(torch.cat([x, x + 1]), approximate)
    torch.testing.assert_close(gated, functional.gelu(x, approximate=approximate) * (x + 1))


@torch.no_grad()
def test_head_norm_is_that_of_qwen3(rng):
    qkv, norms = torch.randn(7, 8 * 16, generator=rng), [Qwen3RMSNorm(16), Qwen3RMSNorm(16)]
    for norm in norms:
        norm.weight.copy_(torch.randn(16, generator=rng))
    q, k, v = qkv.view(7, 8, 16).split([4, 2, 2], dim=1)
    theirs = torch.cat([norms[0](q), norms[1](k), v], dim=1).flatten(1)
    weight = torch.cat([norms[0].weight.expand(4, 16), norms[1].weight.expand(2, 16)])
    torch.testing.assert_close(reference.head_rms_norm(qkv, weight, 1e-6), theirs)
