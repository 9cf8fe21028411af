"""A head that is its embedding: one matrix in the file, under the embedding's name, whatever the source stores."""

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from sinkstream_export import quantize
from sinkstream_export.checkpoint import ExportError, LazyTensors, Quantized
from sinkstream_export.divergence import rounded_activations
from sinkstream_export.export import Request, run
from sinkstream_export.precision import Precision
from torch import nn

import tiny_models


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "tied"
    path.mkdir()
    return tiny_models.write_hf(path, tiny_models.make_model_in_blocks(tie_word_embeddings=True))


def store_head(folder, change=0.0):
    """The embedding once more, as lm_head.weight, with `change` added to its last number."""
    tensors = load_file(folder / "model.safetensors")
    assert "lm_head.weight" not in tensors
    head = tensors["model.embed_tokens.weight"].clone()
    head[-1, -1] += change
    save_file({**tensors, "lm_head.weight": head}, folder / "model.safetensors")


def embedding(weight, blocks=None):
    """A source's tensors: embedding.weight, as Q8_0 where `blocks` are given."""
    name = "embedding.weight"
    return LazyTensors({name: lambda: weight}, {name: tuple(weight.shape)},
                       {} if blocks is None else {name: Quantized("Q8_0", lambda: blocks)})


@pytest.mark.parametrize("source, group", [("Q8_0", 32), ("floats", 64)])
def test_activations_are_rounded_as_for_the_embedding_s_kind(source, group):
    torch.manual_seed(0)
    model = nn.ModuleDict({"embedding": nn.Embedding(8, 64), "lm_head": nn.Linear(64, 8, bias=False)})
    head = model["lm_head"]
    head.weight = model["embedding"].weight
    precision = Precision("int8")
    blocks = quantize.q8_0(head.weight) if source == "Q8_0" else None
    precision.matrix(embedding(head.weight, blocks), "embedding.weight", vocabulary=True)
    x = torch.randn(3, 64)
    with rounded_activations(model, precision):
        got = head(x)
    assert torch.equal(got, head(quantize.round_activations(x, group)))


def test_bytes_of_a_tied_gguf_file_are_verified_by_groups_of_32_alone(tmp_path, export, monkeypatch):
    model = tiny_models.make_model_in_blocks(tie_word_embeddings=True, hidden_size=192, intermediate_size=192)
    source = tiny_models.write_gguf(tmp_path / "tied.gguf", model, gguf.GGMLQuantizationType.Q8_0)
    groups, round_activations = set(), quantize.round_activations

    def recording(x, group):
        groups.add(group)
        return round_activations(x, group)

    monkeypatch.setattr(quantize, "round_activations", recording)
    export(source, "int8")
    assert groups == {32}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "int4"])
def test_head_stored_beside_the_embedding_changes_nothing(folder, export, dtype):
    once = export(folder, dtype).manifest
    store_head(folder)
    twice = export(folder, dtype).manifest
    assert twice["verification"] == once["verification"] and twice["digest"] == once["digest"]


def test_head_of_another_float_type_is_the_embedding_where_its_values_are(folder, export):
    tensors = load_file(folder / "model.safetensors")
    rounded = tensors["model.embed_tokens.weight"].bfloat16()
    save_file({**tensors, "model.embed_tokens.weight": rounded, "lm_head.weight": rounded.float()},
              folder / "model.safetensors")
    assert export(folder).manifest["verification"]["max_abs_logit_difference"] < 1e-3


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_head_that_differs_from_the_embedding_is_refused_by_name(folder, tmp_path, dtype):
    store_head(folder, change=1.0)
    out = tmp_path / "out" / "model.pt"
    with pytest.raises(ExportError, match="^tensor lm_head.weight differs from model.embed_tokens.weight, to which the"
                                          " config ties it$"):
        run(Request(folder, out, dtype))
    assert not out.parent.exists()
