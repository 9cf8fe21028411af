"""Each family, written as llama.cpp's converter writes it, comes back as transformers has it."""

import gguf as gguf_format
import pytest
import torch
import transformers
from sinkstream_export import architectures, gguf, gguf_layouts, quantize, verify
from sinkstream_export.checkpoint import ExportError
from sinkstream_export.precision import Precision
from sinkstream_export.step import stream_logits

import families
import gguf_families

GATED = dict(vocab_size=307, hidden_size=60, intermediate_size=88, num_hidden_layers=2, num_attention_heads=6,
             max_position_embeddings=512)
FUSED = dict(vocab_size=307, hidden_size=60, num_hidden_layers=2)
ROPE = {"rope_type": "default", "rope_theta": 5000.0}
PARTIAL = {"rope_type": "default", "rope_theta": 10000.0}  # the converter leaves theta out

# name -> (configuration class, its settings)
FAMILIES = {
    "llama": (transformers.LlamaConfig, dict(GATED, head_dim=8, num_key_value_heads=2, rope_parameters=ROPE)),
    "llama with biases": (transformers.LlamaConfig, dict(
        GATED, num_key_value_heads=3, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    "llama with linear positions": (transformers.LlamaConfig, dict(
        GATED, num_key_value_heads=2, rope_parameters={**ROPE, "rope_type": "linear", "factor": 4.0})),
    "llama 3.2": (transformers.LlamaConfig, dict(
        GATED, head_dim=64, num_key_value_heads=2, tie_word_embeddings=True, rope_parameters={
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})),
    "mistral": (transformers.MistralConfig, dict(GATED, head_dim=8, num_key_value_heads=2, sliding_window=None)),
    "qwen2": (transformers.Qwen2Config, dict(GATED, num_key_value_heads=2, rope_parameters=ROPE)),
    "qwen2 with yarn": (transformers.Qwen2Config, dict(
        GATED, num_key_value_heads=2, tie_word_embeddings=True, rope_parameters={
            **ROPE, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128})),
    "qwen3": (transformers.Qwen3Config, dict(GATED, head_dim=14, num_key_value_heads=3, rope_parameters=ROPE)),
    "gemma": (transformers.GemmaConfig, dict(GATED, head_dim=16, num_key_value_heads=1)),
    "stablelm": (transformers.StableLmConfig, dict(
        GATED, num_key_value_heads=2, use_qkv_bias=True, rope_parameters={**PARTIAL, "partial_rotary_factor": 0.4})),
    "stablelm, parallel": (transformers.StableLmConfig, dict(
        GATED, num_key_value_heads=2, use_parallel_residual=True, tie_word_embeddings=True,
        rope_parameters={**PARTIAL, "partial_rotary_factor": 0.4})),
    "phi": (transformers.PhiConfig, dict(
        GATED, intermediate_size=240, rope_parameters={**PARTIAL, "partial_rotary_factor": 0.4})),
    "gpt-neox": (transformers.GPTNeoXConfig, dict(
        GATED, use_parallel_residual=False, rope_parameters={**PARTIAL, "partial_rotary_factor": 0.6})),
    "pythia": (transformers.GPTNeoXConfig, dict(GATED, rope_parameters={**PARTIAL, "partial_rotary_factor": 0.2})),
    "falcon 7b": (transformers.FalconConfig, dict(FUSED, num_attention_heads=6)),
    "falcon 40b": (transformers.FalconConfig, dict(
        FUSED, num_attention_heads=6, num_kv_heads=2, new_decoder_architecture=True, tie_word_embeddings=False)),
    "falcon 2 11b": (transformers.FalconConfig, dict(
        FUSED, num_attention_heads=6, num_kv_heads=3, new_decoder_architecture=True, num_ln_in_parallel_attn=1)),
    "mpt": (transformers.MptConfig, dict(
        vocab_size=307, d_model=60, n_layers=2, n_heads=6, max_seq_len=512,
        attn_config={"alibi": True, "alibi_bias_max": 16, "clip_qkv": 0.75})),
    "bloom": (transformers.BloomConfig, dict(vocab_size=307, hidden_size=60, n_layer=2, n_head=6, seq_length=512)),
}


def make(family, **overrides):
    """Weights in steps of 1/1024: adding 1 to a norm and taking it off again is exact."""
    config_class, settings = FAMILIES[family]
    model = families.make_model(config_class(**{**settings, **overrides}))
    for parameter in model.parameters():
        parameter.copy_((parameter * 1024).round() / 1024)
    return model


@pytest.fixture(scope="module", params=FAMILIES)
def written(request, tmp_path_factory):
    """(family, model, the file's path, checkpoint read back)"""
    model = make(request.param)
    path = gguf_families.write(tmp_path_factory.mktemp("gguf") / "tiny.gguf", model)
    return request.param, model, path, gguf.read(path)


def test_tensors_and_logits_are_those_of_the_model_that_was_written(written):
    _, model, _, checkpoint = written
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    assert set(checkpoint.tensors) == set(model.state_dict()) - tied
    for name in checkpoint.tensors:
        assert torch.equal(checkpoint.tensors[name], model.state_dict()[name]), name
        assert checkpoint.tensors.shape(name) == tuple(checkpoint.tensors[name].shape), name
    tokens = families.random_tokens(40)[None]
    rebuilt = verify.reference_model(checkpoint, Precision("float32"))
    assert torch.equal(rebuilt(tokens).logits, model(tokens).logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_are_those_of_the_file_in_the_model_s_order_of_rows(tmp_path, family):
    """Whole rows move, so what the blocks say is what the tensor read as floats says."""
    config_class, settings = FAMILIES[family]
    model = families.make_model(families.in_blocks(config_class(**settings)))
    kind = gguf_format.GGMLQuantizationType.Q4_0
    tensors = gguf.read(gguf_families.write(tmp_path / "tiny.gguf", model, kind)).tensors
    matrices = [name for name in tensors if len(tensors.shape(name)) > 1]
    assert len(matrices) > 5
    for name in matrices:
        assert tensors.quantized(name).kind == "Q4_0"
        blocks = tensors.quantized(name).read()
        assert blocks.shape == (tensors.shape(name)[0], tensors.shape(name)[1] // 32, 18)
        assert torch.equal(quantize.dequantize(blocks), tensors[name]), name
    assert not any(tensors.quantized(name) for name in tensors if name not in matrices)


def test_configuration_has_the_words_and_values_of_the_one_that_was_written(written):
    family, model, _, checkpoint = written
    config, original = checkpoint.source_config, model.config.to_dict()
    if family == "mistral":  # written as llama, and like it but for its window, which the converter leaves out
        assert config["model_type"] == "llama" and not config["attention_bias"] and not config["mlp_bias"]
        original |= {key: config[key] for key in ("model_type", "attention_bias", "mlp_bias")}
    if family.startswith("falcon"):
        assert config["num_ln_in_parallel_attn"] == (1 if family != "falcon 40b" else 2)
        original["num_ln_in_parallel_attn"] = config["num_ln_in_parallel_attn"]
        original["num_kv_heads"] = gguf_families.falcon_groups(model.config)
        original["multi_query"] = not model.config.new_decoder_architecture
    if family == "mpt":
        original["attn_config"] = {key: original["attn_config"][key] for key in config["attn_config"]}
    if (rope := config.get("rope_parameters")) and rope["rope_type"] == "yarn":
        original["rope_parameters"] |= {"beta_fast": 32.0, "beta_slow": 1.0}
    for key, value in config.items():
        assert value == original.get(key), key


def test_export_computes_what_the_model_computes_that_was_written(written, export):
    _, model, path, checkpoint = written
    artifact = export(path)
    config = architectures.find(checkpoint.architecture).read_config(checkpoint.source_config)
    tokens = families.random_tokens(60)
    got = stream_logits(artifact.module, config, tokens, sinks=0, window=60, chunk=25)
    torch.testing.assert_close(got, model(tokens[None]).logits[0], atol=2e-4, rtol=0)


LLAMA3_1 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


@pytest.mark.parametrize("changes, refused", [
    (dict(), False),
    (dict(factor=32.0), False),
    (dict(low_freq_factor=2.0), True),
    (dict(high_freq_factor=3.9), True),
])
def test_factors_of_rotary_frequencies_are_taken_for_llama3_only_if_they_fit_exactly(tmp_path, changes, refused):
    rope = {**LLAMA3_1, **changes}
    path = gguf_families.write(tmp_path / "tiny.gguf", make("llama", head_dim=128, rope_parameters=rope))
    if refused:
        with pytest.raises(ExportError, match="tensor rope_freqs.weight: these factors .* are not supported"):
            gguf.read(path)
    else:
        assert gguf.read(path).source_config["rope_parameters"] == rope


def test_factors_of_rotary_frequencies_must_be_as_many_as_the_frequencies(tmp_path):
    path = gguf_families.write(
        tmp_path / "tiny.gguf", make("llama", head_dim=128, rope_parameters=LLAMA3_1), llama__rope__dimension_count=64,
        llama__attention__key_length=64, llama__attention__value_length=64)
    with pytest.raises(ExportError, match="tensor rope_freqs.weight: these factors .* are not supported"):
        gguf.read(path)


def test_factors_of_rotary_frequencies_beside_another_scaling_are_refused(tmp_path):
    model = make("llama", rope_parameters=LLAMA3_1)
    path = gguf_families.write(tmp_path / "tiny.gguf", model, llama__rope__scaling__factor=2.0)
    with pytest.raises(ExportError, match="rope_freqs.weight is not supported beside rope scaling 'linear'"):
        gguf.read(path)


@pytest.mark.parametrize("family, metadata, named", [
    ("qwen2", dict(qwen2__attention__sliding_window=128), "qwen2.attention.sliding_window 128"),
    ("qwen3", dict(qwen3__expert_count=8), "qwen3.expert_count 8"),
    ("gemma", dict(gemma__attn_logit_softcapping=50.0), "gemma.attn_logit_softcapping is not supported"),
    ("gemma", dict(gemma__rope__dimension_count=8), "gemma.rope.dimension_count 8"),
    ("phi", dict(phi2__attention__scale=0.5), "phi2.attention.scale is not supported"),
    ("pythia", dict(gptneox__attention__head_count_kv=2), "gptneox.attention.head_count_kv 2"),
    ("falcon 7b", dict(falcon__tensor_data_layout="as it was"), "falcon.tensor_data_layout 'as it was'"),
    ("falcon 7b", dict(falcon__attention__max_alibi_bias=8.0), "falcon.attention.max_alibi_bias is not supported"),
    ("mpt", dict(mpt__attention__max_alibi_bias=0.0), "mpt.attention.max_alibi_bias 0.0"),
    ("mpt", dict(mpt__attention__max_alibi_bias=7.5), "mpt.attention.max_alibi_bias 7.5"),
    ("mpt", dict(mpt__attention__head_count_kv=1), "mpt.attention.head_count_kv 1"),
    ("mpt", dict(mpt__logit_scale=0.5), "mpt.logit_scale is not supported"),
    ("bloom", dict(bloom__attention__max_alibi_bias=4.0), "bloom.attention.max_alibi_bias 4.0"),
    ("bloom", dict(bloom__feed_forward_length=100), r"bloom.feed_forward_length 100 .*\(.*4 x embedding_length, 240\)"),
])
def test_what_a_family_does_not_read_is_refused_by_name(tmp_path, family, metadata, named):
    path = gguf_families.write(tmp_path / "tiny.gguf", make(family), **metadata)
    with pytest.raises(ExportError, match=named):
        gguf.read(path)


def test_each_name_that_the_format_has_for_a_family_is_known_or_refused():
    """The gguf package's table: the layouts know each tensor of it but those that transformers' model does not have."""
    left_out = {
        "llama": {"attn_rot_embd", "ffn_gate_inp", "ffn_gate_exps", "ffn_down_exps", "ffn_up_exps"},
        "qwen2": {"rope_freqs"}, "qwen3": {"rope_freqs"}, "stablelm": {"rope_freqs", "attn_q_norm", "attn_k_norm"},
        "phi2": {"attn_qkv", "ffn_norm"},
        "mpt": {"ffn", "attn_q_norm", "attn_k_norm", "position_embd"},
    }
    architectures = {name: architecture for architecture, name in gguf_format.MODEL_ARCH_NAMES.items()}
    for name, layout in gguf_layouts.LAYOUTS.items():
        table = {gguf_format.TENSOR_NAMES[tensor].removeprefix("blk.{bid}.")
                 for tensor in gguf_format.MODEL_TENSORS[architectures[name]]}
        known = {stem.removeprefix("blk.{layer}.") for stem in layout.names}
        known |= {"attn_norm_2"} if name == "falcon" else set()
        assert table - known == left_out.get(name, set()), name
        assert known - table <= {"output"}, name
