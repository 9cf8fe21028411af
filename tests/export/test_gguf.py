"""Reading GGUF: tensors, configuration and tokenizer come out as the original model has them."""

import json
import struct

import gguf as gguf_format
import numpy as np
import pytest
import torch
from gguf import GGUFValueType
from sinkstream_export import gguf, tokenizer
from sinkstream_export.checkpoint import ExportError
from tokenizers import Tokenizer

import tiny_models

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16", "F32"]
# The gguf package reads these and does not write them.
READ_ONLY_TYPES = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]


tiny = tiny_models.make_model_in_blocks


@pytest.mark.parametrize("kind", TYPES)
def test_tensors_of_each_type_are_dequantised_to_float32(tmp_path, kind):
    model, kind = tiny(num_hidden_layers=2), gguf_format.GGMLQuantizationType[kind]
    tensors = gguf.read(tiny_models.write_gguf(tmp_path / "tiny.gguf", model, kind)).tensors
    assert set(tensors) == set(model.state_dict())
    for name, tensor in model.state_dict().items():
        expected = tensor.numpy()
        if tensor.dim() > 1:
            # Whole rows are quantised, so llama.cpp's order of the rows of q and k makes no difference to their values.
            expected = gguf_format.dequantize(gguf_format.quantize(expected, kind), kind)
        assert torch.equal(tensors[name], torch.tensor(expected)), name


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # random scales may be infinite
@pytest.mark.parametrize("kind", READ_ONLY_TYPES)
def test_blocks_of_each_type_are_dequantised_as_the_package_does_it(tmp_path, monkeypatch, kind):
    kind, random = gguf_format.GGMLQuantizationType[kind], np.random.default_rng(0)
    written = {}

    def random_blocks(data, wanted):
        if wanted is not kind:
            return data
        shape = gguf_format.quant_shape_to_byte_shape(data.shape, kind)
        written[data.shape] = random.integers(0, 256, shape, dtype=np.uint8)
        return written[data.shape]

    monkeypatch.setattr(gguf_format, "quantize", random_blocks)
    model = tiny_models.make_model(hidden_size=256, intermediate_size=512, head_dim=128, num_attention_heads=2,
                                   num_hidden_layers=1)
    tensors = gguf.read(tiny_models.write_gguf(tmp_path / "tiny.gguf", model, kind)).tensors
    down = tensors["model.layers.0.mlp.down_proj.weight"].numpy()
    expected = gguf_format.dequantize(written[256, 512], kind)
    assert np.array_equal(down, expected, equal_nan=True) and np.isfinite(down).any()


def test_configuration_is_in_the_words_of_config_json(tmp_path):
    model = tiny(tie_word_embeddings=True)
    checkpoint = gguf.read(tiny_models.write_gguf(tmp_path / "tiny-one.Q8_0.gguf", model))
    assert checkpoint.name == "tiny-one"
    assert checkpoint.provenance.source == "tiny-one.Q8_0.gguf"
    assert checkpoint.provenance.license == "apache-2.0"
    assert checkpoint.bos_token == 1 and checkpoint.eos_tokens == [2]
    for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                "num_key_value_heads", "head_dim", "max_position_embeddings", "tie_word_embeddings"):
        assert checkpoint.source_config[key] == getattr(model.config, key), key


def test_tokenizer_gives_the_ids_of_the_one_it_was_written_from(tmp_path):
    rebuilt = Tokenizer.from_str(gguf.read(tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny())).tokenizer_json)
    original = tiny_models.make_tokenizer()
    for text in ("the window", "You're 12 of 345", " é 你好 🎉\n\n  x", "<|im_start|>user\nhi<|im_end|>", ""):
        ids = original.encode(text).ids
        assert rebuilt.encode(text).ids == ids
        assert rebuilt.decode(ids) == original.decode(ids)
    assert tokenizer.special_tokens(rebuilt) == {name: index for index, name in enumerate(tiny_models.SPECIAL)}


@pytest.mark.parametrize("pre, add, expected", [
    ("smollm", True, [1]), ("smollm", False, []), ("smollm", None, []), ("gpt-2", None, []),
    ("llama-bpe", True, [1]), ("llama-bpe", False, []), ("llama-bpe", None, [1]),
])
def test_bos_token_is_added_in_front_as_the_file_says_else_as_its_pre_tokenizer_has_it(tmp_path, pre, add, expected):
    path = tiny_models.write_gguf(
        tmp_path / "tiny.gguf", tiny(), tokenizer__ggml__pre=pre, tokenizer__ggml__add_bos_token=add)
    assert tokenizer.tokens_added_in_front(Tokenizer.from_str(gguf.read(path).tokenizer_json)) == expected


def test_bos_token_to_add_must_be_one_of_the_tokens(tmp_path):
    path = tiny_models.write_gguf(
        tmp_path / "tiny.gguf", tiny(), tokenizer__ggml__add_bos_token=True, tokenizer__ggml__bos_token_id=300)
    with pytest.raises(ExportError, match="tokenizer.ggml.bos_token_id 300 is not one of the 299 tokens"):
        gguf.read(path)


# What `tokenizers` makes of this text by the rules of each family's published tokenizer.json.
TEXT = "It's 12345,\n\n x=2.5 (e\u0301)"
PIECES = {
    "gpt-2": ["It", "'s", "Ġ12345", ",", "ĊĊ", "Ġx", "=", "2", ".", "5", "Ġ(", "e", "Ìģ)"],
    "phi-2": ["It", "'s", "Ġ12345", ",", "ĊĊ", "Ġx", "=", "2", ".", "5", "Ġ(", "e", "Ìģ)"],
    "smollm": ["It", "'s", "Ġ", "1", "2", "3", "4", "5", ",", "ĊĊ", "Ġx", "=", "2", ".", "5", "Ġ(", "e", "Ìģ)"],
    "llama-bpe": ["It", "'s", "Ġ", "123", "45", ",ĊĊ", "Ġx", "=", "2", ".", "5", "Ġ(", "e", "Ìģ)"],
    "qwen2": ["It", "'s", "Ġ", "1", "2", "3", "4", "5", ",ĊĊ", "Ġx", "=", "2", ".", "5", "Ġ(", "Ã©", ")"],
    "stablelm2": ["It", "'s", "Ġ", "1", "2", "3", "4", "5", ",ĊĊ", "Ġx", "=", "2", ".", "5", "Ġ(", "Ã©", ")"],
    "olmo": ["It", "'s", "Ġ12345", ",", "ĊĊ", "Ġx", "=", "2", ".", "5", "Ġ(", "Ã©", ")"],
    "mpt": ["It", "'s", "Ġ12345", ",", "ĊĊ", "Ġx", "=", "2", ".", "5", "Ġ(", "Ã©", ")"],
    "falcon": ["It", "'", "s", "Ġ", "123", "45", ",", "ĊĊ", "Ġx", "=", "2", ".", "5", "Ġ", "(", "e", "Ìģ", ")"],
    "bloom": ["It's", "Ġ12345", ",ĊĊ", "Ġx=2", ".", "5", "Ġ(", "eÌģ", ")"],
    "tekken": ["It", "'s", "Ġ", "1", "2", "3", "4", "5", ",ĊĊ", "Ġx", "=", "2", ".", "5", "Ġ(", "eÌģ", ")"],
}


@pytest.mark.parametrize("pre", PIECES)
def test_text_is_split_by_the_rules_of_the_pre_tokenizer_that_the_file_names(tmp_path, pre):
    path = tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny(num_hidden_layers=1), tokenizer__ggml__pre=pre)
    rebuilt = Tokenizer.from_str(gguf.read(path).tokenizer_json)
    text = rebuilt.normalizer.normalize_str(TEXT) if rebuilt.normalizer else TEXT
    assert [piece for piece, _ in rebuilt.pre_tokenizer.pre_tokenize_str(text)] == PIECES[pre]


@pytest.mark.parametrize("pre, kept", [("llama-bpe", True), ("tekken", True), ("qwen2", False)])
def test_whole_words_of_the_vocabulary_are_kept_where_the_family_keeps_them(tmp_path, pre, kept):
    path = tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny(num_hidden_layers=1), tokenizer__ggml__pre=pre)
    assert json.loads(gguf.read(path).tokenizer_json)["model"]["ignore_merges"] is kept


def test_user_defined_tokens_are_found_in_text_and_are_not_special(tmp_path):
    vocabulary = tiny_models.gguf_vocabulary(tiny_models.make_tokenizer())
    tokens, types = vocabulary["tokenizer.ggml.tokens"], vocabulary["tokenizer.ggml.token_type"]
    path = tiny_models.write_gguf(
        tmp_path / "tiny.gguf", tiny(num_hidden_layers=1), tokenizer__ggml__tokens=[*tokens, "<think>", "[PAD300]"],
        tokenizer__ggml__token_type=[*types, 4, 4])
    rebuilt = Tokenizer.from_str(gguf.read(path).tokenizer_json)
    assert rebuilt.encode("<think>").ids == [299]
    assert 300 not in rebuilt.encode("[PAD300]").ids  # what the converter fills up with is no token of any text
    assert tokenizer.special_tokens(rebuilt) == {name: index for index, name in enumerate(tiny_models.SPECIAL)}


YARN = dict(llama__rope__scaling__type="yarn", llama__rope__scaling__factor=2.0,
            llama__rope__scaling__original_context_length=512)


@pytest.mark.parametrize("metadata, named", [
    (dict(architecture="gpt2"), "'gpt2' has learned absolute positions"),
    (dict(architecture="mamba"), "'mamba' keeps a recurrent or convolutional state"),
    (dict(architecture="gptj"), r"'gptj' is not supported from GGUF \(supported: llama, qwen2"),
    (dict(architecture="arctic"), "architecture 'arctic' is not supported"),
    (dict(llama__rope__scaling__type="longrope"),
     r"llama.rope.scaling.type 'longrope' is .*\(supported: 'none', 'linear', 'yarn'\)"),
    (dict(llama__rope__scaling__type="none", llama__rope__scaling__factor=2.0), "llama.rope.scaling.factor 2.0"),
    (dict(llama__rope__scaling__factor=float("nan")), "llama.rope.scaling.factor nan"),
    (dict(llama__rope__scaling__factor=0.5), "llama.rope.scaling.factor 0.5"),
    (dict(llama__rope__scaling__type="yarn", llama__rope__scaling__factor=2.0),
     "llama.rope.scaling.original_context_length must be one positive number"),
    (dict(llama__rope__scaling__original_context_length=512), "original_context_length is not supported"),
    (dict(**YARN, llama__rope__scaling__yarn_attn_factor=1.0), "yarn_attn_factor is not supported"),
    (dict(**YARN, llama__rope__scaling__yarn_ext_factor=0.5), "yarn_ext_factor 0.5"),
    (dict(llama__rope__scaling__attn_factor=2.0), "llama.rope.scaling.attn_factor is not supported"),
    (dict(llama__rope__freq_base="many"), "llama.rope.freq_base must be a number, not 'many'"),
    (dict(llama__rope__dimension_sections=[8, 8]), "llama.rope.dimension_sections is not supported"),
    (dict(llama__attention__clamp_kqv=8.0), "llama.attention.clamp_kqv is not supported"),
    (dict(llama__attention__causal=False), r"llama.attention.causal False .*\(supported: True\)"),
    (dict(llama__attention__value_length=16), "llama.attention.value_length 16"),
    (dict(split__count=3), r"split.count 3 .*\(supported: 0, 1\)"),
    (dict(llama__rope__dimension_count=16), "llama.rope.dimension_count 16"),
    (dict(llama__expert_count=8), "llama.expert_count"),
    (dict(llama__logit_scale=0.5), "llama.logit_scale is not supported"),
    (dict(llama__embedding_scale=12.0), "llama.embedding_scale is not supported"),
    (dict(llama__residual_scale=0.22), "llama.residual_scale is not supported"),
    (dict(llama__final_logit_softcapping=30.0), "llama.final_logit_softcapping is not supported"),
    (dict(llama__ssm__state_size=16), "llama.ssm.state_size is not supported"),
    (dict(llama__expert_weights_scale=2.0), "llama.expert_weights_scale is not supported"),
    (dict(llama__a_key_of_tomorrow=True), "llama.a_key_of_tomorrow is not supported"),
    (dict(llama__tensor_data_layout="reversed"), "llama.tensor_data_layout 'reversed'"),
    (dict(general__type="adapter"), "general.type 'adapter'"),
    (dict(llama__block_count=None), "llama.block_count must be one positive number for all layers, not None"),
    (dict(llama__attention__head_count=0), "llama.attention.head_count must be one positive number"),
    (dict(llama__attention__head_count_kv=[1, 1, 3]), r"head_count_kv must be one positive number .*\[1, 1, 3\]"),
    (dict(tokenizer__ggml__model="bert"), "tokenizer model 'bert'"),
    (dict(tokenizer__ggml__model="llama"), "tokenizer.ggml.scores is missing"),
    (dict(tokenizer__ggml__model="llama", tokenizer__ggml__scores=[0.5]), "scores has 1 entries for 299 tokens"),
    (dict(tokenizer__ggml__pre="command-r"), r"pre-tokenizer 'command-r' is .*\(supported: gpt-2, phi-2, smollm"),
    (dict(tokenizer__ggml__pre=[1, 2]), "tokenizer.ggml.pre must be a string"),
    (dict(tokenizer__ggml__model=7), "tokenizer.ggml.model must be a string, not 7"),
    (dict(tokenizer__ggml__pre="default"), "the file does not tell how its tokenizer splits text"),
    (dict(tokenizer__ggml__pre=None), "tokenizer.ggml.pre is missing"),
    (dict(tokenizer__ggml__tokens=None), "tokenizer.ggml.tokens is missing"),
    (dict(tokenizer__ggml__token_type=[3] * 3 + [6] * 296), "byte tokens are not supported"),
    (dict(tokenizer__ggml__token_type=None), "tokenizer.ggml.token_type"),
    (dict(tokenizer__ggml__token_type=[1] * 298), "token_type has 298 entries for 299 tokens"),
    (dict(tokenizer__ggml__token_type=3), "tokenizer.ggml.token_type must be an array of numbers"),
    (dict(tokenizer__ggml__tokens=[1, 2]), "tokenizer.ggml.tokens must be an array of strings"),
    (dict(tokenizer__ggml__merges="a b"), "tokenizer.ggml.merges must be an array of strings"),
    (dict(tokenizer__ggml__add_space_prefix=True), "tokenizer.ggml.add_space_prefix"),
])
def test_what_is_not_supported_is_refused_by_name(tmp_path, metadata, named):
    path = tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny(), **metadata)
    with pytest.raises(ExportError, match=named):
        gguf.read(path)


def test_keys_that_say_what_their_absence_says_change_nothing(tmp_path):
    bare = tiny_models.write_gguf(tmp_path / "bare.gguf", tiny())
    explicit = tiny_models.write_gguf(
        tmp_path / "explicit.gguf", tiny(), llama__rope__scaling__type="linear", llama__rope__scaling__factor=1.0,
        llama__rope__scale_linear=0.0, llama__attention__value_length=32, llama__attention__causal=True,
        llama__attention__sliding_window=0, llama__expert_count=0, llama__expert_used_count=0, split__count=1,
        llama__rope__scaling__finetuned=False, llama__tensor_data_layout="Meta AI original pth", general__type="model",
        somebody__quantized_by="me")
    assert gguf.read(explicit).source_config == gguf.read(bare).source_config


def test_tensor_type_is_refused_by_name(tmp_path):
    model = tiny_models.make_model(hidden_size=256, intermediate_size=256, head_dim=128, num_attention_heads=2)
    path = tiny_models.write_gguf(tmp_path / "tiny.gguf", model, gguf_format.GGMLQuantizationType.TQ1_0)
    with pytest.raises(ExportError, match=r"tensor token_embd.weight: type TQ1_0 is not supported .*Q4_0, Q4_1"):
        gguf.read(path)


def test_older_name_of_the_linear_factor_is_read(tmp_path):
    path = tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny(), llama__rope__scale_linear=4.0)
    assert gguf.read(path).source_config["rope_parameters"] == {
        "rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0}


def test_own_window_makes_a_llama_a_mistral(tmp_path):
    path = tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny(), llama__attention__sliding_window=512)
    checkpoint = gguf.read(path)
    assert checkpoint.architecture == "mistral" and checkpoint.source_config["sliding_window"] == 512


def test_foreign_tensor_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(tiny_models.GGUF_LAYER, "input_layernorm", "attn_q_norm")
    path = tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny())
    with pytest.raises(ExportError, match="tensor blk.0.attn_q_norm.weight is not part of the llama architecture"):
        gguf.read(path)


def test_truncated_and_foreign_files_are_refused(tmp_path):
    whole = tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny()).read_bytes()
    for size in (100, 4000, len(whole) - 1000):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(ExportError, match="cut.gguf: broken or truncated GGUF file"):
            gguf.read(tmp_path / "cut.gguf")
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(ExportError, match="text.gguf is not a GGUF file"):
        gguf.read(tmp_path / "text.gguf")


@pytest.mark.parametrize("length", [1 << 48, (1 << 64) - 1])
def test_array_that_says_to_be_longer_than_its_file_is_refused(tmp_path, length):
    path = tmp_path / "long.gguf"
    key = b"tokenizer.ggml.scores"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", len(key)) + key
                     + struct.pack("<IIQ", GGUFValueType.ARRAY, GGUFValueType.FLOAT32, length) + bytes(64))
    with pytest.raises(ExportError, match="long.gguf: broken or truncated GGUF file: it ends within what it says to hold"):
        gguf.read(path)
