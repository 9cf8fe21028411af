"""Each family, exported: dense against transformers, streamed against the band-and-sink oracle."""

from collections import Counter
from copy import deepcopy
from functools import cache
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from sinkstream_export import alibi, architectures, divergence, oracle
from sinkstream_export.checkpoint import ExportError, LazyTensors, Rope
from sinkstream_export.precision import Precision
from sinkstream_export.step import BlockPool, KvWindow, make_kv, make_step, stream_logits

import tiny_models
from families import FAMILIES, in_blocks, make_model, random_tokens

each_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, export):
    """exported(family, dtype="float32") -> (transformers' model, its artifact with the configuration)."""

    @cache
    def make(family, dtype="float32"):
        model = make_model(family if dtype == "float32" else in_blocks(FAMILIES[family]()))
        artifact = export(tiny_models.write_hf(tmp_path_factory.mktemp("family"), model), dtype)
        artifact.config = architectures.find(model.config.model_type).read_config(model.config.to_dict())
        return model, artifact

    return make


@each_family
def test_dense_logits_equal_transformers(exported, family):
    model, artifact = exported(family)
    tokens = random_tokens(150)
    expected = model(tokens[None]).logits[0]
    assert expected.std() > 0.5
    got = stream_logits(artifact.module, artifact.config, tokens, sinks=0, window=150, chunk=64)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


@each_family
@pytest.mark.parametrize("sinks", [0, 1, 4])
def test_streaming_equals_the_oracle_across_the_fill(exported, family, sinks):
    model, artifact = exported(family)
    tokens = random_tokens(90)
    got = stream_logits(artifact.module, artifact.config, tokens, sinks, 20, chunk=7)
    torch.testing.assert_close(got, oracle.band_sink_logits(model, tokens, sinks, 20), atol=1e-4, rtol=0)


@each_family
def test_streaming_at_a_late_position_equals_the_oracle(exported, family):
    model, artifact = exported(family)
    tokens = random_tokens(90)
    got = stream_logits(artifact.module, artifact.config, tokens, 4, 20, chunk=17, rotary_offset=10_000_000)
    torch.testing.assert_close(got, oracle.band_sink_logits(model, tokens, 4, 20), atol=2e-4, rtol=0)


@each_family
def test_streams_in_one_batch_do_not_touch_each_other(exported, family):
    """Streams of different settings and ages share every call; each gets what it gets alone."""
    _, artifact = exported(family)
    settings = [(4, 20, 5, 0), (0, 33, 1, 0), (8, 10, 16, 10_000_000)]  # sinks, window, tokens of each call, offset
    texts = [random_tokens(chunk * 8, seed=seed) for seed, (_, _, chunk, _) in enumerate(settings)]
    pool = BlockPool(30)
    kv = make_kv(artifact.config.layers, 30, artifact.config.kv_heads, artifact.config.head_dim)
    streams = [KvWindow(pool, sinks, window, offset) for sinks, window, _, offset in settings]
    logits = [[] for _ in settings]
    for call in range(8):
        parts = [text[call * chunk:(call + 1) * chunk] for text, (_, _, chunk, _) in zip(texts, settings)]
        step = make_step(kv, artifact.config.head_dim, [s.feed(len(part)) for s, part in zip(streams, parts)])
        together = artifact.module(torch.cat(parts), torch.arange(sum(map(len, parts))), step)
        for kept, rows in zip(logits, together.split([len(part) for part in parts])):
            kept.append(rows)
    for text, (sinks, window, chunk, offset), got in zip(texts, settings, logits):
        alone = stream_logits(artifact.module, artifact.config, text, sinks, window, chunk, offset)
        assert torch.equal(torch.cat(got), alone)


def logits_of(artifact, tokens, calls):
    """Of one stream, call by call; `calls`: (tokens, which of them have their logits asked for)."""
    kv = make_kv(artifact.config.layers, 8, artifact.config.kv_heads, artifact.config.head_dim)
    stream = KvWindow(BlockPool(8), sinks=4, window=60)
    for count, wanted in calls:
        step = make_step(kv, artifact.config.head_dim, [stream.feed(count)])
        rows = torch.tensor(wanted, dtype=torch.int64)
        yield artifact.module(tokens[stream.length - count:stream.length], rows, step)


@each_family
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_rows_whose_logits_nobody_asks_for_change_no_others(exported, family, dtype):
    """They are left out behind the last layer's attention, which keeps their keys and values for the calls after it."""
    _, artifact = exported(family, dtype)
    tokens = random_tokens(40)
    whole = stream_logits(artifact.module, artifact.config, tokens, sinks=4, window=60, chunk=40)
    none, some, last = logits_of(artifact, tokens, [(16, []), (17, [3, 9, 16]), (7, [6])])
    assert none.shape == (0, whole.shape[1])
    assert torch.equal(some, whole[[16 + 3, 16 + 9, 16 + 16]])
    assert torch.equal(last, whole[[39]])


@each_family
def test_behind_the_last_attention_there_are_the_rows_whose_logits_are_wanted(exported, family):
    _, artifact = exported(family)
    with torch.autograd.profiler.profile(record_shapes=True) as calls:
        list(logits_of(artifact, random_tokens(20), [(20, [5, 19])]))

    def rows(*operators):
        names = {f"sinkstream::{operator}" for operator in operators}
        return [call.input_shapes[0][0] for call in calls.function_events if call.name in names]

    layers = artifact.config.layers
    assert rows("sink_attention") == [20] * layers
    assert rows("linear_add", "silu_mul_linear_add") == [20, 20] * (layers - 1) + [2, 2]
    assert rows("logits") == [2]


@each_family
def test_int8_predicts_what_transformers_does(exported, family):
    """The export has held the file to transformers on the same rounded weights, dense and streamed. Whatever the
    instruction set, the largest figures are 0.0017 and 0.0046, of yarn."""
    model, artifact = exported(family, "int8")
    tokens = random_tokens(90)
    got = stream_logits(artifact.module, artifact.config, tokens, sinks=4, window=20, chunk=17)
    assert artifact.manifest["verification"]["same_weights"]["mean_kl"] < 0.004
    assert divergence.mean_kl(oracle.band_sink_logits(model, tokens, 4, 20), got) < 0.01


def changed(family, **changes):
    """The family's config.json with other values; a dictionary's are merged."""
    config = FAMILIES[family]().to_dict()
    for key, value in changes.items():
        config[key] = {**config[key], **value} if isinstance(config.get(key), dict) else value
    return config


def read_config(config):
    return architectures.find(config["model_type"]).read_config(config)


@pytest.mark.parametrize("family, change, named", [
    ("mistral", dict(hidden_act="gelu"), "hidden_act 'gelu' is not supported .supported: silu"),
    ("mistral", dict(sliding_window=0), "sliding_window must be a positive number, not 0"),
    ("mistral", dict(sliding_window=64, layer_types=["full_attention", "sliding_attention"]),
     "layer_types full_attention, sliding_attention are not supported with sliding_window 64"),
    ("qwen2", dict(use_sliding_window=True, sliding_window=64, max_window_layers=1, layer_types=None),
     "layer_types full_attention, sliding_attention are not supported with sliding_window 64"),
    ("qwen2", dict(layer_types=["sliding_attention"] * 2), "layer_types sliding_attention .* sliding_window None"),
    ("qwen3", dict(rope_parameters=dict(rope_type="longrope", factor=2.0)), "rope scaling 'longrope'"),
    ("gemma", dict(hidden_act="relu"), "hidden_act 'relu'"),
    ("gemma", dict(hidden_activation="silu"), "hidden_activation 'silu'"),
    ("gemma", dict(use_bidirectional_attention=True), "use_bidirectional_attention True"),
    ("stablelm", dict(qk_layernorm=True), "qk_layernorm True is not supported"),
    ("stablelm", dict(hidden_act="gelu"), "hidden_act 'gelu'"),
    ("stablelm", dict(rope_parameters=dict(partial_rotary_factor=0.0625)), "5 of head_dim 80 dimensions, .* no pairs"),
    ("phi", dict(qk_layernorm=True), "qk_layernorm True is not supported"),
    ("phi", dict(hidden_act="relu"), "hidden_act 'relu'"),
    ("gptj", dict(rotary_dim=13), "rotary_dim 13 must be even and at most the 20 dimensions of a head"),
    ("gptj", dict(rotary_dim=22), "rotary_dim 22 must be even"),
    ("gptj", dict(activation_function="relu"), "activation_function 'relu'"),
    ("gptj", dict(n_head=7), "n_embd 60 is not a multiple of the 7 heads"),
    ("gpt_neox", dict(hidden_act="relu"), "hidden_act 'relu'"),
    ("gpt_neox", dict(rope_parameters=dict(rope_type="su")), "rope scaling 'su'"),
    ("falcon", dict(activation="relu"), "activation 'relu'"),
    ("falcon", dict(num_ln_in_parallel_attn=2), "num_ln_in_parallel_attn 2 is not supported .supported: 1"),
    ("falcon", dict(apply_residual_connection_post_layernorm=True), "apply_residual_connection_post_layernorm True"),
    ("falcon, new decoder", dict(parallel_attn=False), "new_decoder_architecture without parallel_attn"),
    ("falcon, new decoder", dict(num_kv_heads=4), "not a multiple of num_kv_heads 4"),
    ("mpt", dict(attn_config=dict(alibi=False)), "alibi false is not supported: learned absolute positions"),
    ("mpt", dict(attn_config=dict(attn_type="multiquery_attention")), "attn_type 'multiquery_attention'"),
    ("mpt", dict(attn_config=dict(qk_ln=True)), "qk_ln True is not supported"),
    ("mpt", dict(attn_config=dict(prefix_lm=True)), "prefix_lm True is not supported"),
    ("mpt", dict(logit_scale="inv_sqrt_d_model"), "logit_scale 'inv_sqrt_d_model'"),
    ("mpt", dict(no_bias=False), "no_bias False is not supported"),
    ("mpt", dict(norm_type="rmsnorm"), "norm_type 'rmsnorm'"),
    ("mpt", dict(expansion_ratio=2), "expansion_ratio 2"),
    ("bloom", dict(apply_residual_connection_post_layernorm=True), "apply_residual_connection_post_layernorm True"),
    ("bloom", dict(slow_but_exact=True), "slow_but_exact True"),
    ("bloom", dict(n_head=None), "config: n_head or num_attention_heads is missing"),
    ("falcon", dict(num_attention_heads=None, n_head=6), "config: num_attention_heads is missing"),
    ("gptj", dict(n_positions=None), "config: n_positions or max_position_embeddings is missing"),
    ("gptj", dict(n_positions=0), "config: n_positions must be a positive number, not 0"),
    ("gptj", dict(n_embd=None), "config: n_embd or hidden_size is missing"),
])
def test_option_that_is_not_implemented_is_refused_by_name(family, change, named):
    with pytest.raises(ExportError, match=named):
        read_config(changed(family, **change))


@pytest.mark.parametrize("family, change, context", [
    ("mistral", {}, 512),
    ("mistral", dict(sliding_window=24), 24),
    ("mistral", dict(sliding_window=4096), 512),
    ("qwen2", dict(use_sliding_window=False, sliding_window=24, layer_types=None), 512),
    ("qwen2", dict(use_sliding_window=True, sliding_window=24, max_window_layers=0, layer_types=None), 24),
    ("qwen2", dict(use_sliding_window=True, sliding_window=24, max_window_layers=2, layer_types=None), 512),
    ("qwen2", dict(use_sliding_window=True, sliding_window=24, layer_types=["sliding_attention"] * 2), 24),
    ("mpt", {}, 512),
    ("bloom", {}, 2048),
    ("bloom", dict(seq_length=1024), 1024),
    ("llama, dynamic", {}, 512),
])
def test_trained_context_is_what_the_model_was_trained_to_see(family, change, context):
    assert read_config(changed(family, **change)).trained_context == context


def test_window_of_a_session_does_what_mistrals_own_does(tmp_path, export):
    """Dense transformers over a text longer than the sliding window, against a stream without sinks."""
    config = transformers.MistralConfig(**{**FAMILIES["mistral"]().to_dict(), "sliding_window": 24})
    model, tokens = make_model(config), random_tokens(120)
    artifact = export(tiny_models.write_hf(tmp_path, model))
    assert artifact.manifest["trained_context"] == 24
    got = stream_logits(artifact.module, read_config(config.to_dict()), tokens, sinks=0, window=24, chunk=32)
    expected = model(tokens[None]).logits[0]
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
    unbounded = oracle.band_sink_logits(model, tokens, 0, 120)
    assert (unbounded - expected)[24:].abs().max() > 0.1


# Family -> how published checkpoints differ from what transformers writes now: names, buffers among the weights, words.
PUBLISHED = {
    "llama, llama3": (None, {}, dict(rope_parameters=None, rope_theta=1000.0, rope_scaling=dict(
        rope_type="llama3", factor=4.0, original_max_position_embeddings=64, low_freq_factor=1.0,
        high_freq_factor=4.0))),
    "llama, linear": (None, {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}, dict(
        rope_parameters=None, rope_theta=1000, rope_scaling=dict(type="linear", factor=4.0))),
    "stablelm": (None, {}, dict(rope_parameters=None, rope_theta=10000, partial_rotary_factor=0.25)),
    "phi": (None, {}, dict(rope_parameters=dict(rope_type="default", rope_theta=1000.0), partial_rotary_factor=0.4)),
    "gpt_neox": (
        lambda name: name.replace("lm_head", "embed_out"),
        {"gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 8, 8),
         "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9),
         "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(10)},
        dict(rope_parameters=None, rotary_pct=0.25, rotary_emb_base=10000)),
    "gptj": (None, {"transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8),
                    "transformer.h.0.attn.masked_bias": torch.tensor(-1e9)}, dict(rotary=True)),
    "falcon": (None, {}, dict(max_position_embeddings=None, ffn_hidden_size=None, num_kv_heads=None,
                              rope_parameters=None, tie_word_embeddings=None)),
    "mpt": (None, {}, dict(learned_pos_emb=True, tie_word_embeddings=None)),
    "mpt, clipped": (None, {}, dict(attn_config=dict(clip_qkv=2, alibi_bias_max=5, softmax_scale=0.3, attn_pdrop=0))),
    "bloom": (lambda name: name.removeprefix("transformer."), {}, dict(
        hidden_size=None, n_embed=60, n_head=None, num_attention_heads=6, n_inner=None, tie_word_embeddings=None)),
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_published_checkpoints_in_older_words_give_the_same_model(exported, tmp_path, export, family):
    model, artifact = exported(family)
    rename, buffers, words = PUBLISHED[family]
    folder = tiny_models.write_hf(tmp_path, model)
    weights = load_file(folder / "model.safetensors")
    save_file({(rename or str)(name): tensor for name, tensor in weights.items()} | buffers,
              folder / "model.safetensors")
    tiny_models.edit_json(folder / "config.json", **words)
    tokens = random_tokens(40)
    old, new = (stream_logits(each.module, artifact.config, tokens, 0, 40, 40) for each in (export(folder), artifact))
    assert torch.equal(old, new)


@each_family
def test_each_tensor_is_read_once(family):
    """So that a checkpoint is held one tensor at a time: a fused one is cut after one read."""
    model, reads = make_model(family), Counter()
    tensors = {name: tensor for name, tensor in model.state_dict().items()
               if not (name == "lm_head.weight" and model.config.tie_word_embeddings)}

    def loader(name):
        def load():
            reads[name] += 1
            return tensors[name]
        return load

    lazy = LazyTensors({name: loader(name) for name in tensors}, {name: tuple(tensors[name].shape) for name in tensors})
    architecture = architectures.find(model.config.model_type)
    checkpoint = SimpleNamespace(tensors=lazy)
    architecture.build(checkpoint, architecture.read_config(model.config.to_dict()), Precision("float32"))
    assert reads == Counter(tensors.keys())


def test_falcon_s_alibi_is_verified_by_slopes_of_the_oracle(tmp_path, export, monkeypatch):
    """Slopes that the exporter gets wrong are not those of the reference."""
    slopes = alibi.slopes
    monkeypatch.setattr(alibi, "slopes", lambda positions, heads: 2 * slopes(positions, heads))
    with pytest.raises(ExportError, match="verification failed: logits differ"):
        export(tiny_models.write_hf(tmp_path, make_model("falcon, alibi")))


def test_falcon_s_exact_alibi_is_transformers_where_bfloat16_holds_it():
    config = FAMILIES["falcon, alibi"]()
    config.num_attention_heads, config.hidden_size = 4, 64  # slopes 1/4, 1/16, 1/64, 1/256
    config.ffn_hidden_size, config.num_kv_heads = 256, 4
    corrected, tokens = make_model(config), random_tokens(150)
    plain = transformers.FalconForCausalLM._from_config(deepcopy(config), attn_implementation="sdpa").eval()
    plain.load_state_dict(corrected.state_dict())
    torch.testing.assert_close(corrected(tokens[None]).logits, plain(tokens[None]).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family, positions", [
    ("llama, linear", {"kind": "rope", "theta": 1000.0, "dims": 8, "scaling": {"type": "linear", "factor": 4.0}}),
    ("gpt_neox", {"kind": "rope", "theta": 10000.0, "dims": 20, "scaling": None}),
    ("mpt, clipped", {"kind": "alibi", "bias_max": 5.0, "scale": 1.0}),
    ("falcon, alibi", {"kind": "alibi", "bias_max": 8.0, "scale": pytest.approx(10**-0.5)}),
])
def test_manifest_names_the_positions(exported, family, positions):
    assert exported(family)[1].manifest["positions"] == positions


def test_falcon_7b_as_published_is_read():
    read = read_config({
        "model_type": "falcon", "vocab_size": 65024, "hidden_size": 4544, "num_hidden_layers": 32,
        "num_attention_heads": 71, "alibi": False, "bias": False, "multi_query": True, "parallel_attn": True,
        "new_decoder_architecture": False, "apply_residual_connection_post_layernorm": False})
    assert (read.kv_heads, read.head_dim, read.intermediate, read.trained_context) == (1, 64, 18176, 2048)
    assert read.positions == Rope(10000.0, 64) and read.tied_head
