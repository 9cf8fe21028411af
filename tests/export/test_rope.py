"""Frequencies and magnitude of rotary positions, against those of transformers."""

import pytest
import torch
import transformers
from sinkstream_export import rope
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

SCALINGS = {
    "none": dict(rope_type="default"),
    "linear": dict(rope_type="linear", factor=4.0),
    "dynamic": dict(rope_type="dynamic", factor=4.0),
    "llama3": dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=8192),
    "yarn": dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32768),
    "yarn, original context left out": dict(rope_type="yarn", factor=4.0),
    "yarn, own ramp": dict(rope_type="yarn", factor=16.0, original_max_position_embeddings=4096, beta_fast=20.0,
                           beta_slow=2.5, truncate=False),
    "yarn, factor 1": dict(rope_type="yarn", factor=1.0, original_max_position_embeddings=4096),
    "yarn, own magnitude": dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=4096,
                                attention_factor=0.9),
    "yarn, mscale": dict(rope_type="yarn", factor=40.0, original_max_position_embeddings=4096, mscale=0.707,
                         mscale_all_dim=1.0),
}


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("theta, head_dim", [(500000.0, 128), (10000.0, 20)])
def test_frequencies_and_magnitude_are_those_of_transformers(scaling, theta, head_dim):
    parameters = {**SCALINGS[scaling], "rope_theta": theta}
    config = transformers.LlamaConfig(
        hidden_size=head_dim, num_attention_heads=1, max_position_embeddings=131072, rope_parameters=dict(parameters))
    expected = LlamaRotaryEmbedding(config)
    read = rope.read({"max_position_embeddings": 131072, "rope_parameters": parameters}, head_dim)
    frequencies = rope.inverse_frequencies(read)
    assert frequencies.dtype == torch.float64
    torch.testing.assert_close(frequencies, expected.inv_freq.double(), rtol=1e-6, atol=0)
    assert rope.magnitude(read) == pytest.approx(expected.attention_scaling)
