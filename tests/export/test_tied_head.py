"""A head that is its embedding: one matrix in the file, under the embedding's name."""

import gguf
import pytest
import torch
from sinkstream_export import quantize
from sinkstream_export.checkpoint import LazyTensors, Quantized
from sinkstream_export.divergence import rounded_activations
from sinkstream_export.precision import Precision
from torch import nn

import tiny_models


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
