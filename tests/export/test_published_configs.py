"""config.json of published models, types as published: what the exporter reads of them is what transformers makes."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from sinkstream_export import architectures, rope, verify
from sinkstream_export.checkpoint import Alibi, Rope
from sinkstream_export.lazy_weights import parameters_on_meta

# Of each also the published number of parameters, the context it was trained to see, and whether it has ALiBi.
PUBLISHED = json.loads((Path(__file__).parent / "published_configs.json").read_text(encoding="utf-8"))


def rows(model, *names):
    """Output sizes of the first layer's projections whose name ends in one of `names`."""
    first = next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList))[0]
    return [module.out_features for name, module in first.named_modules() if name.endswith(names)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_config_as_published_is_read_as_transformers_reads_it(name):
    published = copy.deepcopy(PUBLISHED[name])
    config = published["config"]
    read = architectures.find(config["model_type"]).read_config(config)
    with parameters_on_meta():
        model = verify._transformers_model(SimpleNamespace(architecture=config["model_type"], source_config=config))
    assert model.num_parameters() == published["parameters"]
    assert (read.layers, read.trained_context) == (model.config.num_hidden_layers, published["context"])
    assert model.get_input_embeddings().weight.shape == (read.vocab_size, read.hidden)
    assert read.tied_head == (model.lm_head.weight is model.get_input_embeddings().weight)
    assert sum(rows(model, "q_proj", "k_proj", "v_proj", "query_key_value", "Wqkv")) == (
        (read.heads + 2 * read.kv_heads) * read.head_dim)
    assert read.intermediate in rows(model, "up_proj", "fc1", "fc_in", "dense_h_to_4h")
    norms = [module for module in model.modules() if "Norm" in type(module).__name__]
    assert {getattr(norm, "eps", None) or norm.variance_epsilon for norm in norms} == {read.norm_epsilon}
    assert isinstance(read.positions, Alibi) == published.get("alibi", False)
    frequencies = [module.inv_freq for module in model.modules() if hasattr(module, "inv_freq")]
    if isinstance(read.positions, Rope) and frequencies:  # GPT-J has a table of angles instead
        assert torch.equal(rope.inverse_frequencies(read.positions), frequencies[0].double())


@pytest.mark.parametrize("name", PUBLISHED)
def test_config_is_left_as_it_was_read(name):
    config = copy.deepcopy(PUBLISHED[name]["config"])
    with torch.device("meta"):
        verify._transformers_model(SimpleNamespace(architecture=config["model_type"], source_config=config))
    assert config == PUBLISHED[name]["config"]
