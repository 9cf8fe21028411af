"""The oracle itself: against transformers where nothing is evicted, against token-by-token streaming where much is."""

import pytest
import torch
from sinkstream_export import reference
from transformers import LlamaConfig, LlamaForCausalLM


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
