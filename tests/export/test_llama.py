"""Llama in more shapes, storage types and streams than each family gets in test_families.py."""

import pytest
import torch
from sinkstream_export import llama, oracle
from sinkstream_export.checkpoint import ExportError
from sinkstream_export.step import BlockPool, KvWindow, make_kv, make_step, stream_logits

import tiny_models


def random_tokens(count, vocab=301, seed=5):
    return torch.randint(vocab, (count,), generator=torch.Generator().manual_seed(seed))


def exported(export, folder, model, dtype="float32", **options):
    artifact = export(tiny_models.write_hf(folder, model, **options), dtype)
    artifact.config = llama.read_config(model.config.to_dict())
    return artifact


VARIANTS = {
    "one kv head for all": dict(num_attention_heads=5, num_key_value_heads=1, head_dim=10, hidden_size=50),
    "a kv head for each": dict(num_attention_heads=4, num_key_value_heads=4, head_dim=16, hidden_size=64),
    "tied head": dict(tie_word_embeddings=True),
    "odd sizes": dict(vocab_size=307, hidden_size=42, intermediate_size=61, head_dim=34, num_hidden_layers=1),
    "another theta": dict(rope_parameters={"rope_type": "default", "rope_theta": 500000.0}, rms_norm_eps=1e-6),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_dense_logits_equal_transformers(tmp_path, export, variant):
    model = tiny_models.make_model(**VARIANTS[variant])
    artifact = exported(export, tmp_path, model)
    tokens = random_tokens(150)
    expected = model(tokens[None]).logits[0]
    got = stream_logits(artifact.module, artifact.config, tokens, sinks=0, window=150, chunk=64)
    assert expected.std() > 0.5
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


def test_norms_and_gate_are_within_the_products_that_take_them(tmp_path, export):
    module = exported(export, tmp_path, tiny_models.make_model(num_hidden_layers=3)).module
    operators = {name: len(module.inlined_graph.findAllNodes(f"sinkstream::{name}"))
                 for name in ("rms_norm_linear", "silu_mul_linear_add", "rms_norm", "silu_mul")}
    assert operators == {"rms_norm_linear": 6, "silu_mul_linear_add": 3, "rms_norm": 1, "silu_mul": 0}


def test_sharded_safetensors_give_the_same_model(tmp_path, export):
    model = tiny_models.make_model()
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    whole = exported(export, tmp_path / "one", model)
    sharded = exported(export, tmp_path / "many", model, shard_size="60KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    tokens = random_tokens(40)
    one, many = (stream_logits(each.module, each.config, tokens, 0, 40, 40) for each in (whole, sharded))
    assert torch.equal(one, many)
    assert whole.manifest["verification"] == sharded.manifest["verification"]


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_sixteen_bit_checkpoint_is_widened_exactly(tmp_path, export, stored):
    model = tiny_models.make_model()
    artifact = export(tiny_models.write_hf(tmp_path, model, dtype=stored))
    tokens = random_tokens(60)
    got = stream_logits(artifact.module, llama.read_config(model.config.to_dict()), tokens, 0, 60, 60)
    for parameter in model.parameters():
        parameter.copy_(parameter.to(stored))
    torch.testing.assert_close(got, model(tokens[None]).logits[0], atol=1e-4, rtol=0)


def test_bfloat16_export_rounds_the_matrices_alone(tmp_path, export):
    model = tiny_models.make_model(attention_bias=True)
    artifact = exported(export, tmp_path, model, "bfloat16")
    assert artifact.manifest["dtype"] == "bfloat16"
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.copy_(parameter.bfloat16())
    tokens = random_tokens(60)
    got = stream_logits(artifact.module, artifact.config, tokens, 0, 60, 60)
    torch.testing.assert_close(got, model(tokens[None]).logits[0], atol=1e-4, rtol=0)


def test_tied_head_is_stored_once(tmp_path, export):
    sizes = {}
    for tied in (True, False):
        folder = tmp_path / str(tied)
        folder.mkdir()
        model = tiny_models.make_model(tie_word_embeddings=tied, vocab_size=3000)
        sizes[tied] = exported(export, folder, model).path.stat().st_size
    assert 0 <= sizes[False] - sizes[True] - 3000 * 48 * 4 < 4096


STREAMS = [(sinks, window) for sinks in (0, 4, 20) for window in (1, 12, 33)]


@pytest.fixture(scope="module")
def streaming(tmp_path_factory, export):
    """A model and its artifact, shared by the streaming tests."""
    model = tiny_models.make_model(seed=3)
    return model, exported(export, tmp_path_factory.mktemp("streaming"), model)


@pytest.mark.parametrize("chunk", [1, 7, 50])
@pytest.mark.parametrize("sinks, window", STREAMS)
def test_streaming_equals_the_oracle_across_the_fill(streaming, sinks, window, chunk):
    model, artifact = streaming
    tokens = random_tokens(4 * (sinks + window) + 5)
    got = stream_logits(artifact.module, artifact.config, tokens, sinks, window, chunk)
    torch.testing.assert_close(got, oracle.band_sink_logits(model, tokens, sinks, window), atol=1e-4, rtol=0)


def test_the_oracle_tells_a_window_and_a_sink_from_their_neighbours(streaming):
    model, _ = streaming
    tokens = random_tokens(100)
    right = oracle.band_sink_logits(model, tokens, 4, 20)
    for sinks, window in ((4, 21), (4, 19), (3, 20), (0, 24)):
        assert (oracle.band_sink_logits(model, tokens, sinks, window) - right).abs().max() > 0.01


def test_only_the_wanted_rows_get_logits(streaming):
    _, artifact = streaming
    tokens = random_tokens(10)
    everything = stream_logits(artifact.module, artifact.config, tokens, 0, 20, 10)
    kv = make_kv(artifact.config.layers, 2, artifact.config.kv_heads, artifact.config.head_dim)
    step = make_step(kv, artifact.config.head_dim, [KvWindow(BlockPool(2), 0, 20).feed(10)])
    assert torch.equal(artifact.module(tokens, torch.tensor([9, 3]), step), everything[[9, 3]])


@pytest.mark.parametrize("change, named", [
    (dict(rope_parameters={"rope_type": "longrope", "factor": 2.0}), "rope scaling 'longrope' is not supported"),
    (dict(rope_parameters={"rope_type": "yarn"}), "rope_parameters: factor must be a positive number, not None"),
    (dict(rope_parameters={"rope_type": "linear", "factor": "2"}), "factor must be a positive number, not '2'"),
    (dict(rope_parameters={"rope_type": "llama3", "factor": 8.0}), "low_freq_factor must be a positive number"),
    (dict(rope_parameters={"rope_type": "default", "type": "linear"}), "'default' and type 'linear' contradict"),
    (dict(rope_parameters={"rope_type": "default"}, rope_scaling={"type": "linear"}), "are both set, and differ"),
    (dict(rope_parameters={"rope_theta": 1e4, "factor": 8.0}), "rope_parameters: factor 8.0 is not supported"),
    (dict(rope_parameters=None, rope_scaling={"factor": 2.0}), "rope_scaling: factor 2.0 is not supported"),
    (dict(rope_parameters={"rope_type": "default", "mrope_section": [8, 8, 4]}), "mrope_section"),
    (dict(rope_parameters={"full_attention": {"rope_theta": 1e4}}), "full_attention has positions of its own"),
    (dict(rope_parameters=None, rope_scaling="linear"), "rope_scaling must be an object, not 'linear'"),
    (dict(rope_parameters=None, rope_scaling={"partial_rotary_factor": 0.5}), "partial_rotary_factor 0.5"),
    (dict(rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}),
     "partial_rotary_factor 0.5"),
    (dict(hidden_act="gelu"), "hidden_act 'gelu'"),
    (dict(sliding_window=512), "sliding_window 512"),
    (dict(num_key_value_heads=4), "not a multiple of num_key_value_heads 4"),
    (dict(head_dim=21), "21 of head_dim 21 dimensions, which are no pairs"),
    (dict(num_hidden_layers=0), "num_hidden_layers must be a positive number, not 0"),
    (dict(vocab_size=None), "vocab_size is missing"),
])
def test_configuration_that_is_not_implemented_is_named(change, named):
    config = {**tiny_models.make_model().config.to_dict(), **change}
    with pytest.raises(ExportError, match=named):
        llama.read_config(config)


def old_config(**changes):
    """In the words of transformers before version 5."""
    config = {**tiny_models.make_model().config.to_dict(), "rope_theta": 5000.0, **changes}
    del config["rope_parameters"]
    return config


def test_theta_of_old_configurations_is_read():
    assert llama.read_config(old_config()).positions.theta == 5000.0
    assert llama.read_config(old_config(rope_theta=None)).positions.theta == 10000.0


def test_rope_scaling_that_scales_nothing_is_accepted():
    for neutral in (None, {}, {"type": "default"}, {"rope_type": "default", "factor": 1.0}):
        assert llama.read_config(old_config(rope_scaling=neutral)) == llama.read_config(old_config())
