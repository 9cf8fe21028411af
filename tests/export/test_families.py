"""Each family, exported: dense against transformers, streamed against the band-and-sink oracle."""

import json
from functools import cache

import pytest
import torch
import transformers
from sinkstream_export import architectures, oracle
from sinkstream_export.checkpoint import ExportError
from sinkstream_export.step import BlockPool, KvWindow, make_kv, make_step, stream_logits

import tiny_models
from families import FAMILIES, make_model, random_tokens

each_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, export):
    """exported(family) -> (transformers' model, its artifact with the configuration)."""

    @cache
    def make(family):
        model = make_model(family)
        artifact = export(tiny_models.write_hf(tmp_path_factory.mktemp("family"), model))
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
