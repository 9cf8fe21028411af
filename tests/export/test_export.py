"""The whole export: what the file holds, that it is the same each time, and that a refusal leaves nothing behind."""

import dataclasses
import hashlib
import json
import os
import re
import zipfile

import gguf as gguf_format
import pytest
import torch
from sinkstream_export import __version__, architectures, gguf, hf, oracle, quantize, verify
from sinkstream_export.checkpoint import ExportError
from sinkstream_export.export import Request, run

import tiny_models


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "tiny-llama"
    path.mkdir()
    return tiny_models.write_hf(path)


def refused(source, tmp_path, match, dtype="float32"):
    """`source` is refused with `match`; neither the result nor a temporary file is there."""
    out = tmp_path / "out" / "model.pt"
    with pytest.raises(ExportError, match=match):
        run(Request(source, out, dtype))
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_manifest_says_what_the_model_is(folder, export):
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n", encoding="utf-8")
    manifest = export(folder, "bfloat16").manifest
    digest, provenance = manifest.pop("digest"), manifest.pop("provenance")
    difference = manifest["verification"].pop("max_abs_logit_difference")
    assert manifest == {
        "magic": "sinkstream-model", "format_version": 1, "name": "tiny-llama", "architecture": "llama",
        "dtype": "bfloat16", "kv_dtype": "bfloat16", "vocab_size": 301, "layers": 3, "hidden": 48,
        "intermediate": 88, "heads": 6, "kv_heads": 2, "head_dim": 20,
        "positions": {"kind": "rope", "theta": 5000.0, "dims": 20, "scaling": None},
        "trained_context": 4096, "bos_token": 1, "eos_token": 2, "license": "apache-2.0",
        "verification": {"tokens": 64},
    }
    assert 0 < difference < 1e-3
    assert len(digest) == 64
    assert provenance["source"] == "tiny-llama" and provenance["exporter"] == __version__
    assert provenance["torch"] == torch.__version__.split("+")[0]


def test_file_holds_the_tokenizer_and_the_chat_format(folder, export):
    artifact = export(folder)
    assert artifact.tokenizer_json == (folder / "tokenizer.json").read_text(encoding="utf-8")
    assert artifact.chat_format["default_system"] == "You are tiny."


def test_source_digest_covers_each_file_that_is_read(tmp_path):
    for name in ("chat_template.jinja", "generation_config.json", "README.md"):
        (tmp_path / name).write_text("{}")
    tiny_models.write_hf(tmp_path, shard_size="60KB")
    (tmp_path / "notes.txt").write_text("not read")
    names = sorted(path.name for path in tmp_path.iterdir() if path.name != "notes.txt")
    assert "model.safetensors.index.json" in names and len(names) > 8
    lines = [f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert hf.read(tmp_path).provenance.source_sha256 == expected


def test_name_can_be_given(folder, export):
    assert export(folder, name="Another").manifest["name"] == "Another"


def plain_weights(module):
    """Name -> (weight [out, in], bias [out] or None) of each LinearWeight; state_dict() knows buffers alone."""
    kinds = ("embedding", "head", "qkv", "out", "gate_up", "down")
    return {f"{path}.{name}": getattr(owner, name).plain() for path, owner in module.named_modules() for name in kinds
            if hasattr(owner, name)}


def same_weights(one, other):
    buffers, matrices = other.state_dict(), plain_weights(other)
    assert len(one.state_dict()) == len(buffers) and len(plain_weights(one)) == len(matrices)
    for name, tensor in one.state_dict().items():
        assert torch.equal(buffers[name], tensor), name
    for name, (weight, bias) in plain_weights(one).items():
        assert torch.equal(matrices[name][0], weight), name
        assert (bias is None) == (matrices[name][1] is None), name
        assert bias is None or torch.equal(matrices[name][1], bias), name


@pytest.mark.parametrize("biased", [False, True])
def test_sources_that_say_the_same_get_the_same_model(folder, tmp_path, export, biased):
    model = tiny_models.make_model(attention_bias=biased)
    from_gguf = export(tiny_models.write_gguf(tmp_path / "tiny.gguf", model))
    from_folder = export(tiny_models.write_hf(folder, model))
    skip = {"provenance", "digest", "name", "license", "verification"}
    assert {k: v for k, v in from_gguf.manifest.items() if k not in skip} == {
        k: v for k, v in from_folder.manifest.items() if k not in skip}
    same_weights(from_gguf.module, from_folder.module)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int4"])
def test_exporting_again_gives_the_same_bytes(tmp_path, run_cli, dtype):
    source = tmp_path / "sharded"
    source.mkdir()
    tiny_models.write_hf(source, tiny_models.make_model_in_blocks(),
                         torch.bfloat16 if dtype == "bfloat16" else torch.float32, shard_size="100KB")
    assert len(list(source.glob("*.safetensors"))) > 2
    for name in ("one.pt", "two.pt"):
        assert run_cli("--from", source, "--out", tmp_path / name, "--dtype", dtype).returncode == 0
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()


@pytest.mark.parametrize("dtype, kinds", [
    ("int8", {"head": "Q8_0", "embedding": "Q8_0", "qkv": "Q8_0", "down": "Q8_0"}),
    ("int4", {"head": "Q8_0", "embedding": "Q8_0", "qkv": "Q4_1", "down": "Q4_1"}),
])
def test_quantised_file_holds_blocks_and_what_they_cost(folder, export, dtype, kinds):
    model = tiny_models.make_model_in_blocks(attention_bias=True)
    artifact = export(tiny_models.write_hf(folder, model), dtype)
    assert artifact.manifest["dtype"] == dtype
    for path, (blocks, bias) in plain_weights(artifact.module).items():
        name = path.rpartition(".")[2]
        assert quantize.kind(blocks) == kinds.get(name, kinds["qkv"])
        assert (bias is None) == (name not in ("qkv", "out")) and (bias is None or bias.dtype == torch.float32)
    verification = artifact.manifest["verification"]
    assert verification["tokens"] == 64
    for figures, most in ((verification["same_weights"], 0.01), (verification["source"], 0.3 if dtype == "int4" else 0.01)):
        assert 0 < figures["mean_kl"] < most and abs(figures["mean_nll_increase"]) < 1
    assert (verification["source"]["mean_kl"] > 0.02) == (dtype == "int4")


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
def test_blocks_of_a_gguf_file_are_carried_through_byte_for_byte(tmp_path, export, kind):
    model = tiny_models.make_model_in_blocks(tie_word_embeddings=True)
    kind = gguf_format.GGMLQuantizationType[kind]
    source = tiny_models.write_gguf(tmp_path / "tiny.gguf", model, kind)
    artifact = export(source, "int4")
    _, size = gguf_format.GGML_QUANT_SIZES[kind]
    stored = {tensor.name: torch.tensor(tensor.data).unflatten(-1, (-1, size))
              for tensor in gguf_format.GGUFReader(source).tensors if tensor.tensor_type == kind}
    weights = {name: weight for name, (weight, _) in plain_weights(artifact.module).items()}
    halves = torch.arange(32).view(16, 2).T.flatten()  # of a head whose pairs llama.cpp stores as neighbours
    for index in range(3):
        part = {name: stored[f"blk.{index}.{name}.weight"] for name in (
            "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}
        q, k = (part[name].unflatten(0, (-1, 32))[:, halves].flatten(0, 1) for name in ("attn_q", "attn_k"))
        assert torch.equal(weights[f"layers.{index}.attention.qkv"], torch.cat([q, k, part["attn_v"]]))
        assert torch.equal(weights[f"layers.{index}.attention.out"], part["attn_output"])
        assert torch.equal(weights[f"layers.{index}.mlp.gate_up"], torch.cat([part["ffn_gate"], part["ffn_up"]]))
        assert torch.equal(weights[f"layers.{index}.mlp.down"], part["ffn_down"])
    assert torch.equal(weights[".embedding"], stored["token_embd.weight"])
    verification = artifact.manifest["verification"]
    assert verification["source"] == verification["same_weights"]


def test_digest_follows_weights_tokenizer_and_chat_format_alone(folder, export):
    first = export(folder).manifest["digest"]
    assert export(folder, name="Another").manifest["digest"] == first
    template = tiny_models.CHATML.replace("You are tiny.", "You are small.")
    tiny_models.edit_json(folder / "tokenizer_config.json", chat_template=template)
    other_format = export(folder).manifest["digest"]
    tiny_models.make_model(seed=1).save_pretrained(folder)
    other_weights = export(folder).manifest["digest"]
    assert len({first, other_format, other_weights}) == 3


def test_file_names_no_path_of_the_machine_that_exported(folder, export):
    with zipfile.ZipFile(export(folder).path) as archive:
        for record in archive.namelist():
            assert not record.endswith(".debug_pkl")
            assert b".py\"" not in archive.read(record) and str(tiny_models.ROOT).encode() not in archive.read(record)


def one_weight_off(monkeypatch, amount):
    """transformers' model has another weight than the module that is verified."""
    reference, name = verify.reference_model, "model.layers.1.mlp.down_proj.weight"

    def altered(checkpoint, precision):
        weight = checkpoint.tensors[name].clone()
        weight[0, 0] += amount
        return reference(dataclasses.replace(checkpoint, tensors={**checkpoint.tensors, name: weight}), precision)

    monkeypatch.setattr(verify, "reference_model", altered)


def test_module_that_differs_from_transformers_is_not_written(folder, tmp_path, monkeypatch):
    one_weight_off(monkeypatch, 1.0)
    refused(folder, tmp_path, "verification failed: logits differ from the reference by .* nothing was written")


def model_of_large_logits():
    """Logits of some thousands, which float32 itself knows to about 1e-2 alone."""
    model = tiny_models.make_model()
    model.lm_head.weight.mul_(3000)
    return model


def test_sound_model_whose_logits_float32_cannot_hold_to_1e_3_is_written(folder, export):
    verification = export(tiny_models.write_hf(folder, model_of_large_logits())).manifest["verification"]
    assert 1e-3 < verification["max_abs_logit_difference"] < 0.1


def one_token_less_streamed(monkeypatch):
    """The streaming oracle has another window than the module."""

    def one_token_less(model, tokens, sinks, window, dtype):
        return oracle.band_sink_logits(model, tokens, sinks, window - 1, dtype)

    changed = dataclasses.replace(architectures.find("llama"), streaming_oracle=one_token_less)
    monkeypatch.setitem(architectures._registered, "llama", changed)


@pytest.mark.parametrize("what", ["dense", "streamed"])
def test_unsound_model_of_large_logits_is_not_written(folder, tmp_path, monkeypatch, what):
    tiny_models.write_hf(folder, model_of_large_logits())
    if what == "dense":
        one_weight_off(monkeypatch, 1e-3)
    else:
        one_token_less_streamed(monkeypatch)
    named = "logits" if what == "dense" else "streamed logits"
    refused(folder, tmp_path, rf"failed: {named} differ from the reference by .* \(limit (?!0.001\))")


def test_float64_reference_is_computed_only_where_1e_3_is_not_met(folder, export, monkeypatch):
    dtypes = []

    def recording(model, tokens, sinks, window, dtype):
        dtypes.append(dtype)
        return oracle.band_sink_logits(model, tokens, sinks, window, dtype)

    changed = dataclasses.replace(architectures.find("llama"), streaming_oracle=recording)
    monkeypatch.setitem(architectures._registered, "llama", changed)
    export(folder)
    assert dtypes == [torch.float32]
    export(tiny_models.write_hf(folder, model_of_large_logits()))
    assert dtypes == [torch.float32, torch.float32, torch.float64]


def exchanged_projections(monkeypatch):
    """transformers' model has gate and up of one layer for each other."""
    reference, exchange = verify.reference_model, {"mlp.gate_proj": "mlp.up_proj", "mlp.up_proj": "mlp.gate_proj"}

    def renamed(name):
        layer, stem = name[:15], name[15:].removesuffix(".weight")
        return f"{layer}{exchange[stem]}.weight" if layer == "model.layers.1." and stem in exchange else name

    monkeypatch.setattr(verify, "reference_model", lambda checkpoint, precision: reference(
        dataclasses.replace(checkpoint, tensors=checkpoint.tensors.renamed(renamed)), precision))


@pytest.mark.parametrize("what", ["dense", "streamed"])
def test_quantised_module_that_differs_from_transformers_is_not_written(folder, tmp_path, monkeypatch, what):
    tiny_models.write_hf(folder, tiny_models.make_model_in_blocks())
    if what == "dense":
        exchanged_projections(monkeypatch)
    else:
        one_token_less_streamed(monkeypatch)
    named = "predictions" if what == "dense" else "streamed predictions"
    refused(folder, tmp_path, rf"verification failed: {named} are .* nats \(mean KL divergence\) from the reference's"
                              r" \(limit 0.00\d+\); nothing was written", dtype="int8")


def test_quantised_model_too_far_from_its_source_is_not_written(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "SOURCE_DIVERGENCE", 0.02)
    tiny_models.write_hf(folder, tiny_models.make_model_in_blocks())
    refused(folder, tmp_path, r"failed: quantised, predictions are 0\.\d+ nats .* source's \(limit 0.02\)", dtype="int4")


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_rows_that_blocks_do_not_fill_are_refused_by_name_and_dtype(folder, tmp_path, dtype):
    named = f"--dtype {dtype}: model.layers.0.self_attn.q_proj.weight: in 48 is not a multiple of 32"
    refused(folder, tmp_path, named, dtype=dtype)


@pytest.mark.parametrize("context", [17, 16])
def test_context_in_which_no_token_is_evicted_is_not_called_verified(folder, tmp_path, export, context):
    tiny_models.edit_json(folder / "config.json", max_position_embeddings=context)
    if context == 17:
        assert export(folder).manifest["verification"]["tokens"] == 17
    else:
        refused(folder, tmp_path, "verification needs a text of 17 tokens or more, .* and the trained context 16$")


def test_tokenizer_that_makes_too_few_tokens_of_the_fixed_text_is_refused(folder, tmp_path):
    tokenizer = tiny_models.make_tokenizer()
    tokenizer.add_tokens([verify._TEXT])
    tiny_models.write_hf(folder, tokenizer=tokenizer)
    refused(folder, tmp_path, "verification needs a text of 17 tokens or more, .*: its own is 1 in this tokenizer")


def test_value_of_a_type_that_transformers_does_not_take_is_named(folder, tmp_path):
    tiny_models.edit_json(folder / "config.json", attention_dropout="none")
    refused(folder, tmp_path, "config: Validation error for field 'attention_dropout': .* value 'none'")


def test_refusal_leaves_an_older_file_as_it_was(folder, tmp_path):
    out = tmp_path / "model.pt"
    out.write_text("older")
    tiny_models.edit_json(folder / "config.json", hidden_act="gelu")
    with pytest.raises(ExportError, match="gelu"):
        run(Request(folder, out, "float32"))
    assert out.read_text() == "older"


def test_file_is_on_disk_before_it_is_renamed_and_the_name_after(folder, tmp_path, monkeypatch):
    steps, fsync, replace = [], os.fsync, os.replace

    def recording_fsync(descriptor):
        steps.append(("fsync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def recording_replace(source, destination):
        steps.append(("replace", os.stat(source).st_ino))
        replace(source, destination)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    out = tmp_path / "out" / "model.pt"
    run(Request(folder, out, "float32"))
    file, directory = out.stat().st_ino, out.parent.stat().st_ino
    assert steps == [("fsync", file), ("replace", file), ("fsync", directory)]


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_file_is_named(folder, tmp_path, file):
    (folder / file).unlink()
    refused(folder, tmp_path, f"{file} is missing")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_malformed_file_is_named(folder, tmp_path, file):
    (folder / file).write_text("{")
    refused(folder, tmp_path, f"{file}: not JSON")


def test_truncated_weights_are_named(folder, tmp_path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    refused(folder, tmp_path, "model.safetensors: ")


@pytest.mark.parametrize("model_type, reason", [
    ("gpt2", "'gpt2' has learned absolute positions, which cannot stream"),
    ("opt", "'opt' has learned absolute positions, which cannot stream"),
    ("mamba", "'mamba' keeps a recurrent or convolutional state, which is neither keys nor values"),
    ("deepseek_v3", r"'deepseek_v3' compresses keys and values \(multi-head latent attention\)"),
    ("mixtral", "'mixtral' is a mixture of experts"),
    ("t5", "'t5' is an encoder and a decoder"),
    ("bert", "'bert' is an encoder"),
    ("qwen2_vl", "'qwen2_vl' reads images or sound"),
    ("unheard-of", r"'unheard-of' is not supported \(supported: bloom, .*, llama, .*, stablelm\)"),
])
def test_architecture_is_refused_by_name(folder, tmp_path, model_type, reason):
    tiny_models.edit_json(folder / "config.json", model_type=model_type)
    refused(folder, tmp_path, f"architecture {reason}")


def rewrite_weights(folder, change):
    from safetensors.torch import load_file, save_file
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_missing_foreign_and_integer_tensors_are_named(folder, tmp_path):
    rewrite_weights(folder, lambda tensors: tensors.pop("model.layers.1.self_attn.v_proj.weight"))
    refused(folder, tmp_path, "no tensor model.layers.1.self_attn.v_proj.weight")
    tiny_models.make_model().save_pretrained(folder)
    name = "model.layers.0.self_attn.q_norm.weight"
    rewrite_weights(folder, lambda tensors: tensors.update({name: torch.ones(20)}))
    refused(folder, tmp_path, f"tensor {name} is not part of the llama architecture")
    tiny_models.make_model().save_pretrained(folder)
    rewrite_weights(folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(48, dtype=torch.int8)}))
    refused(folder, tmp_path, "tensor model.norm.weight: type torch.int8 is not supported")


@pytest.mark.parametrize("name, shape, wanted", [
    ("model.norm.weight", [1], [48]),
    ("model.norm.weight", [1, 48], [48]),
    ("lm_head.weight", [1, 48], [301, 48]),
    ("model.embed_tokens.weight", [301, 47], [301, 48]),
    ("model.layers.1.self_attn.k_proj.weight", [40, 1], [40, 48]),
    ("model.layers.2.mlp.down_proj.weight", [48, 89], [48, 88]),
])
def test_tensor_of_another_shape_is_named_with_both_shapes(folder, tmp_path, name, shape, wanted):
    rewrite_weights(folder, lambda tensors: tensors.update({name: torch.ones(shape)}))
    refused(folder, tmp_path, re.escape(f"tensor {name} has the shape {shape}, llama wants {wanted}"))


def test_tensor_of_a_gguf_file_that_differs_from_its_metadata_is_named(tmp_path):
    source = tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny_models.make_model(), llama__vocab_size=310)
    named = "tensor model.embed_tokens.weight has the shape [301, 48], llama wants [310, 48]"
    refused(source, tmp_path, re.escape(named))


def test_shape_is_told_without_reading_the_tensor(folder, tmp_path):
    model = tiny_models.make_model()
    from_gguf = gguf.read(tiny_models.write_gguf(tmp_path / "tiny.gguf", model)).tensors
    for tensors in (from_gguf, hf.read(folder).tensors):
        assert {name: tensors.shape(name) for name in tensors} == {
            name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def test_bias_on_some_projections_alone_is_refused(folder, tmp_path):
    name = "model.layers.0.self_attn.q_proj"
    rewrite_weights(folder, lambda tensors: tensors.update({f"{name}.bias": torch.ones(120)}))
    refused(folder, tmp_path, f"only some of {name}, .* have a bias")


def test_shard_outside_the_folder_is_refused(folder, tmp_path):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))
    refused(folder, tmp_path, "../other.safetensors is not the name of a file beside it")


def test_end_of_turn_tokens_come_from_the_generation_config_first(folder, export):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 2]}))
    assert export(folder).chat_format["stop_tokens"] == [0, 2]
    (folder / "generation_config.json").unlink()
    tiny_models.edit_json(folder / "config.json", eos_token_id=None)
    assert export(folder).manifest["eos_token"] == 2  # tokenizer_config's <|im_end|>


@pytest.mark.parametrize("key, value, named", [
    ("eos_token_id", 301, "eos_token_id 301"),
    ("eos_token_id", [2, 70000], "eos_token_id 70000"),
    ("eos_token_id", -1, "eos_token_id -1"),
    ("eos_token_id", "2", "eos_token_id '2'"),
    ("eos_token_id", True, "eos_token_id True"),
    ("bos_token_id", 128000, "bos_token_id 128000"),
])
@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_token_id_outside_the_vocabulary_is_named(folder, tmp_path, file, key, value, named):
    (folder / "generation_config.json").write_text("{}")
    tiny_models.edit_json(folder / file, **{key: value})
    refused(folder, tmp_path, f"{named} is not a token id of the model's vocabulary of 301")


@pytest.mark.parametrize("key", ["bos_token_id", "eos_token_id"])
def test_token_id_of_a_gguf_file_outside_the_vocabulary_is_named(tmp_path, key):
    source = tiny_models.write_gguf(
        tmp_path / "tiny.gguf", tiny_models.make_model(), **{f"tokenizer__ggml__{key}": 301})
    refused(source, tmp_path, f"{key} 301 is not a token id of the model's vocabulary of 301")


def test_token_id_in_the_vocabulary_s_padding_is_accepted(folder, export):
    tiny_models.edit_json(folder / "generation_config.json", eos_token_id=[2, 300])
    assert export(folder).chat_format["stop_tokens"] == [2, 300]


@pytest.mark.parametrize("text, named", [
    ("{", "tokenizer.json: "),
    ('{"added_tokens": 3}', "added_tokens must be an array, not 3"),
    ('{"added_tokens": ["<|im_end|>"]}', "added token must be an object"),
    ('{"added_tokens": [{"id": 2}]}', "eos_token '<.im_end.>' is not an added token"),
])
def test_malformed_tokenizer_is_named_when_the_eos_token_is_looked_up_in_it(folder, tmp_path, text, named):
    tiny_models.edit_json(folder / "config.json", eos_token_id=None)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "tokenizer.json").write_text(text)
    refused(folder, tmp_path, named)


def test_tokenizer_that_the_servers_parser_refuses_is_refused_with_its_message(folder, tmp_path):
    split = {"type": "Split", "pattern": {"Regex": r"(a)\1|."}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tiny_models.edit_json(
        folder / "tokenizer.json", pre_tokenizer={"type": "Sequence", "pretokenizers": [split, byte_level]})
    refused(folder, tmp_path, "^tokenizer: pre_tokenizer: unsupported in a regular expression: a group other than .*$")


@pytest.mark.parametrize("value, named", [
    ({"quant_method": "gptq", "bits": 4}, "quant_method 'gptq'"),
    ({"load_in_8bit": True}, "quant_method None"),
    ("fp8", "'fp8'"),
])
def test_quantised_checkpoint_is_refused_by_its_method(folder, tmp_path, value, named):
    tiny_models.edit_json(folder / "config.json", quantization_config=value)
    rewrite_weights(folder, lambda tensors: tensors.pop("model.layers.1.self_attn.v_proj.weight"))
    refused(folder, tmp_path, f"quantization_config: {named} is not supported .supported: float32, float16, bfloat16")


def test_null_quantization_is_none(folder, export):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": None}))
    export(folder)


def test_template_in_a_file_of_its_own_wins(folder, export):
    template = tiny_models.CHATML.replace("You are tiny.", "From the file.")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    assert export(folder).chat_format["default_system"] == "From the file."


def test_version_is_the_projects():
    assert (tiny_models.ROOT / "VERSION").read_text().strip() == __version__
