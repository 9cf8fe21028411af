"""The oracle of streaming, against transformers' dense forward, the Llama oracle and streaming by definition."""

import pytest
import torch
import transformers
from sinkstream_export import oracle, reference
from sinkstream_export.checkpoint import ExportError
from torch.nn import functional

VOCAB = 61
SIZES = dict(vocab_size=VOCAB, hidden_size=40, intermediate_size=52, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=96, pad_token_id=0, bos_token_id=1, eos_token_id=2)
ONE_KV_HEAD_FOR_EACH = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
FALCON = dict(vocab_size=VOCAB, hidden_size=40, num_attention_heads=4, bos_token_id=1, eos_token_id=2)


def rope(kind="default", **options):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 1000.0, **options}}


# Of each: config(num_hidden_layers=...).
FAMILIES = {
    "llama": lambda **k: transformers.LlamaConfig(**SIZES, **rope(), **k),
    "llama, linear": lambda **k: transformers.LlamaConfig(**SIZES, **rope("linear", factor=3.0), **k),
    "llama, llama3": lambda **k: transformers.LlamaConfig(**SIZES, **rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32), **k),
    "llama, yarn": lambda **k: transformers.LlamaConfig(
        **SIZES, **rope("yarn", factor=3.0, original_max_position_embeddings=32), **k),
    "llama, dynamic": lambda **k: transformers.LlamaConfig(**SIZES, **rope("dynamic", factor=2.0), **k),
    "mistral": lambda **k: transformers.MistralConfig(**SIZES, sliding_window=64, **k),
    "qwen2": lambda **k: transformers.Qwen2Config(**SIZES, **k),
    "qwen3": lambda **k: transformers.Qwen3Config(**SIZES, head_dim=12, **k),
    "gemma": lambda **k: transformers.GemmaConfig(**SIZES, head_dim=12, **k),
    "stablelm": lambda **k: transformers.StableLmConfig(
        **SIZES, **rope(partial_rotary_factor=0.4), use_qkv_bias=True, qk_layernorm=True, **k),
    "phi": lambda **k: transformers.PhiConfig(**SIZES, **rope(partial_rotary_factor=0.4), **k),
    "gpt_neox": lambda **k: transformers.GPTNeoXConfig(**ONE_KV_HEAD_FOR_EACH, **rope(partial_rotary_factor=0.4), **k),
    "gptj": lambda num_hidden_layers: transformers.GPTJConfig(
        vocab_size=VOCAB, n_positions=96, n_embd=40, n_head=4, rotary_dim=6, n_layer=num_hidden_layers, bos_token_id=1,
        eos_token_id=2),
    "falcon, one kv head": lambda **k: transformers.FalconConfig(**FALCON, multi_query=True, **k),
    "falcon, new decoder": lambda **k: transformers.FalconConfig(
        **FALCON, num_kv_heads=2, new_decoder_architecture=True, **k),
    # Powers of two as slopes, since transformers rounds these to bfloat16.
    "falcon, alibi": lambda **k: transformers.FalconConfig(**FALCON, multi_query=False, alibi=True, bias=True, **k),
    "mpt": lambda num_hidden_layers: transformers.MptConfig(
        vocab_size=VOCAB, d_model=40, n_heads=5, max_seq_len=96, n_layers=num_hidden_layers),
    "bloom": lambda num_hidden_layers: transformers.BloomConfig(
        vocab_size=VOCAB, hidden_size=40, n_head=5, n_layer=num_hidden_layers),
    "olmo2": lambda **k: transformers.Olmo2Config(**SIZES, **k),
    "cohere": lambda **k: transformers.CohereConfig(**SIZES, **k),  # pairs of neighbours
}


def make_model(config):
    # transformers' eager attention of Falcon adds its ALiBi twice.
    implementation = "sdpa" if config.model_type == "falcon" else "eager"
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=implementation).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, 1.5 / parameter.shape[-1]**0.5)
        else:
            parameter.uniform_(0.5, 1.5)
    return model


def random_tokens(count):
    return torch.randint(VOCAB, (count,), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("family", FAMILIES)
def test_window_over_the_whole_text_is_the_models_own_forward(family):
    model, tokens = make_model(FAMILIES[family](num_hidden_layers=2)), random_tokens(60)
    expected = model(tokens[None]).logits[0]
    torch.testing.assert_close(oracle.band_sink_logits(model, tokens, 0, 60), expected, atol=1e-4, rtol=0)
    assert torch.equal(model(tokens[None]).logits[0], expected)  # the model is as it was


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sinks, window", [(0, 9), (1, 20), (4, 16)])
def test_one_layer_is_the_model_on_sinks_and_window_alone(family, sinks, window):
    """It remembers nothing of evicted tokens: each token's logits are those of its cache at positions 0, 1, 2, ..."""
    model, tokens = make_model(FAMILIES[family](num_hidden_layers=1)), random_tokens(56)
    got = oracle.band_sink_logits(model, tokens, sinks, window)
    for n in (0, sinks, sinks + window - 1, sinks + window, sinks + window + 1, 55):
        cache = torch.cat([tokens[:min(sinks, n + 1)], tokens[max(sinks, n - window + 1):n + 1]])
        torch.testing.assert_close(got[n], model(cache[None]).logits[0, -1], atol=1e-4, rtol=0)


def test_llama_equals_the_llama_oracle_in_double():
    model, tokens = make_model(FAMILIES["llama"](num_hidden_layers=3)), random_tokens(80)
    shape = reference.llama_shape(model.config)
    shape = reference.LlamaShape(**{**vars(shape), "inv_freq": model.model.rotary_emb.inv_freq.double()})
    for sinks, window in ((0, 12), (4, 12), (17, 30)):
        expected = reference.band_sink_forward(
            model.state_dict(), shape, tokens, sinks, window, dtype=torch.float64)
        got = oracle.band_sink_logits(model, tokens, sinks, window, torch.float64)
        torch.testing.assert_close(got, expected, atol=1e-9, rtol=0)


class Cache:
    """What a stream keeps of one layer: keys and values without positions, the first S for ever and W others."""

    def __init__(self, sinks, window):
        self.sinks, self.window, self.keys, self.values = sinks, window, [], []

    def append(self, key, value):
        """Of one token; gives all that are kept: [kept, heads, D] each."""
        self.keys.append(key)
        self.values.append(value)
        if len(self.keys) > self.sinks + self.window:
            del self.keys[self.sinks], self.values[self.sinks]
        return torch.stack(self.keys), torch.stack(self.values)


def attend(scores, values):
    """[heads, kept], [kept, heads, D] -> [heads * D]."""
    return torch.einsum("hk,khd->hd", scores.softmax(-1), values).flatten()


def rms_norm(x, weight, epsilon):
    return x / (x.pow(2).mean() + epsilon).sqrt() * weight


def stream_llama(model, tokens, sinks, window):
    """Token by token, keys at their places inside the cache, in double."""
    config, weights = model.config, {name: value.double() for name, value in model.state_dict().items()}
    inv_freq, group = model.model.rotary_emb.inv_freq.double(), config.num_attention_heads // config.num_key_value_heads
    caches = [Cache(sinks, window) for _ in range(config.num_hidden_layers)]

    def rotate(x, places):  # [kept, heads, D]
        angles = places[:, None, None] * inv_freq
        a, b = x.chunk(2, -1)
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)

    def layer(x, prefix, cache):
        h = rms_norm(x, weights[f"{prefix}.input_layernorm.weight"], config.rms_norm_eps)
        q, k, v = ((weights[f"{prefix}.self_attn.{part}_proj.weight"] @ h).view(-1, config.head_dim) for part in "qkv")
        keys, values = (t.repeat_interleave(group, 1) for t in cache.append(k, v))
        places = torch.arange(len(keys), dtype=torch.float64)
        scores = torch.einsum("hd,khd->hk", rotate(q[None], places[-1:])[0], rotate(keys, places))
        x = x + weights[f"{prefix}.self_attn.o_proj.weight"] @ attend(scores / config.head_dim**0.5, values)
        h = rms_norm(x, weights[f"{prefix}.post_attention_layernorm.weight"], config.rms_norm_eps)
        gate, up, down = (weights[f"{prefix}.mlp.{part}_proj.weight"] for part in ("gate", "up", "down"))
        return x + down @ (functional.silu(gate @ h) * (up @ h))

    logits = []
    for token in tokens:
        x = weights["model.embed_tokens.weight"][token]
        for index, cache in enumerate(caches):
            x = layer(x, f"model.layers.{index}", cache)
        logits.append(weights["lm_head.weight"] @ rms_norm(x, weights["model.norm.weight"], config.rms_norm_eps))
    return torch.stack(logits)


def stream_mpt(model, tokens, sinks, window):
    """Token by token, with the slopes 2^-2, 2^-4, 2^-6, 2^-8, 2^-1 of five heads, in double."""
    config, weights = model.config, {name: value.double() for name, value in model.state_dict().items()}
    slopes = torch.tensor([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1], dtype=torch.float64)
    caches = [Cache(sinks, window) for _ in range(config.n_layers)]

    def norm(x, name):
        return functional.layer_norm(x, x.shape, weights[f"{name}.weight"], eps=config.layer_norm_epsilon)

    def layer(x, prefix, cache):
        h = weights[f"{prefix}.attn.Wqkv.weight"] @ norm(x, f"{prefix}.norm_1")
        q, k, v = h.view(3, config.n_heads, -1)
        keys, values = cache.append(k, v)
        distance = len(keys) - 1 - torch.arange(len(keys))
        scores = torch.einsum("hd,khd->hk", q, keys) / q.shape[-1]**0.5 - slopes[:, None] * distance
        x = x + weights[f"{prefix}.attn.out_proj.weight"] @ attend(scores, values)
        h = functional.gelu(weights[f"{prefix}.ffn.up_proj.weight"] @ norm(x, f"{prefix}.norm_2"))
        return x + weights[f"{prefix}.ffn.down_proj.weight"] @ h

    logits = []
    for token in tokens:
        x = weights["transformer.wte.weight"][token]
        for index, cache in enumerate(caches):
            x = layer(x, f"transformer.blocks.{index}", cache)
        logits.append(weights["lm_head.weight"] @ norm(x, "transformer.norm_f"))
    return torch.stack(logits)


@pytest.mark.parametrize("family, stream", [("llama", stream_llama), ("mpt", stream_mpt)])
@pytest.mark.parametrize("sinks, window", [(0, 7), (1, 12), (4, 12), (5, 1)])
def test_deep_models_equal_streaming_token_by_token(family, stream, sinks, window):
    model, tokens = make_model(FAMILIES[family](num_hidden_layers=3)), random_tokens(50)
    got = oracle.band_sink_logits(model, tokens, sinks, window, torch.float64)
    torch.testing.assert_close(got, stream(model, tokens, sinks, window), atol=1e-9, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_double_is_what_single_rounds_from(family):
    model, tokens = make_model(FAMILIES[family](num_hidden_layers=2)), random_tokens(40)
    exact = oracle.band_sink_logits(model, tokens, 4, 12, torch.float64)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(oracle.band_sink_logits(model, tokens, 4, 12).double(), exact, atol=1e-4, rtol=0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_text_may_be_longer_than_the_trained_context():
    for family in ("llama, dynamic", "gptj", "mpt"):
        model, tokens = make_model(FAMILIES[family](num_hidden_layers=1)), random_tokens(120)  # trained on 96
        cache = torch.cat([tokens[:4], tokens[-16:]])
        torch.testing.assert_close(oracle.band_sink_logits(model, tokens, 4, 16)[-1], model(cache[None]).logits[0, -1],
                                   atol=1e-4, rtol=0)


def test_alibi_of_another_steepness_is_the_configs():
    config = FAMILIES["mpt"](num_hidden_layers=1)
    gentle = oracle.alibi_slopes(5, bias_max=4)
    assert gentle.tolist() == [2.0**-1, 2.0**-2, 2.0**-3, 2.0**-4, 2.0**-0.5]
    config.attn_config.alibi_bias_max = 4
    model, tokens = make_model(config), random_tokens(40)
    got = oracle.band_sink_logits(model, tokens, 0, 40)
    bias = gentle[:, None, None] * torch.arange(-39, 1)  # transformers has 8, whatever the config says
    model.transformer.build_mpt_alibi_tensor = lambda *arguments, **options: bias.float()
    torch.testing.assert_close(got, model(tokens[None]).logits[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("config, reason", [
    (transformers.GPT2Config(vocab_size=VOCAB, n_embd=40, n_layer=1, n_head=4), "gpt2 has none"),
    (transformers.Gemma2Config(**SIZES, head_dim=12, num_hidden_layers=1), "soft caps and learned sinks of gemma2"),
    (transformers.JambaConfig(**SIZES, num_hidden_layers=1), "jamba has none"),
])
def test_attention_that_is_not_known_is_refused_by_name(config, reason):
    model = make_model(config)
    with pytest.raises(ExportError, match=reason):
        oracle.band_sink_logits(model, random_tokens(20), 4, 12)
    assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize("family", ["gptj", "falcon, one kv head", "llama", "mpt"])
def test_model_is_as_it_was_after_a_failure(family):
    model, tokens = make_model(FAMILIES[family](num_hidden_layers=1)), random_tokens(20)
    expected, implementation = model(tokens[None]).logits, model.config._attn_implementation
    handle = model.get_output_embeddings().register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        oracle.band_sink_logits(model, tokens, 4, 12, torch.float64)
    handle.remove()
    assert model.config._attn_implementation == implementation
    assert torch.equal(model(tokens[None]).logits, expected)
