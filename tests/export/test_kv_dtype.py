"""What a file says that the cache of keys and values may be."""

import pytest
from sinkstream_export import verify

import tiny_models


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "tiny-llama"
    path.mkdir()
    return path


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_a_cache_is_of_bytes_where_weights_are_quantised(folder, export, dtype):
    model = tiny_models.make_model_in_blocks(attention_bias=True)
    manifest = export(tiny_models.write_hf(folder, model), dtype).manifest
    costs = manifest["verification"]["kv"]
    assert 0 < costs["bfloat16"]["mean_kl"] < costs["int8"]["mean_kl"] < 0.01
    assert manifest["kv_dtype"] == "int8"


def test_a_cache_is_of_bytes_only_where_keys_bear_it(folder, export):
    """One dimension as large as Qwen 2's biases make some leaves the others none of a byte's steps."""
    model = tiny_models.make_model_in_blocks(attention_bias=True)
    for layer in model.model.layers:
        layer.self_attn.k_proj.bias.data[0] = 500
    manifest = export(tiny_models.write_hf(folder, model), "int8").manifest
    costs = manifest["verification"]["kv"]
    assert costs["int8"]["mean_kl"] > 0.01 and manifest["kv_dtype"] == "bfloat16"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_cache_is_not_rounded_further_than_weights(folder, export, dtype):
    assert export(tiny_models.write_hf(folder), dtype).manifest["kv_dtype"] == dtype


@pytest.mark.parametrize(("bfloat16", "int8", "chosen"), [
    (0.0, 0.01, "int8"),
    (0.0, 0.011, "bfloat16"),
    (0.02, 0.04, "int8"),
    (0.02, 0.041, "bfloat16"),
    (0.04, 0.051, "bfloat16"),
    (0.01, float("nan"), "bfloat16"),
])
def test_bytes_may_cost_a_little_or_twice_what_bfloat16_does_but_never_much(bfloat16, int8, chosen):
    costs = {"bfloat16": {"mean_kl": bfloat16}, "int8": {"mean_kl": int8}}
    assert verify.kv_dtype("int4", {"kv": costs}) == chosen
