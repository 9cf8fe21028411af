"""Blocks: the bytes that ggml makes, the values that it reads. Rows of bytes. What cannot be held is found."""

import gguf
import numpy as np
import pytest
import torch
from sinkstream_export import quantize

BLOCKS = {"Q4_1": quantize.q4_1, "Q8_0": quantize.q8_0}
QUANTIZE = {**BLOCKS, quantize.INT8_ROWS: quantize.int8_rows}


def awkward_rows(scale, inputs=96):
    """float32 [40, inputs]: random ones, and blocks of zeros, of one value, of halves between two codes."""
    weight = torch.randn(40, inputs, generator=torch.Generator().manual_seed(0)) * scale
    weight[3] = 0
    weight[4, :32] = weight[4, 32]
    weight[5] = torch.arange(inputs) - 40.0
    weight[6, :32] = 4 * (torch.arange(32) - 15.5)
    weight[7, :32] = torch.arange(32) / 2 - 7.5
    return weight


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 300.0])
@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_are_the_bytes_that_ggml_makes(kind, scale):
    weight = awkward_rows(scale)
    blocks = BLOCKS[kind](weight)
    expected = gguf.quantize(weight.numpy(), gguf.GGMLQuantizationType[kind])
    assert blocks.shape == (40, 3, quantize.BYTES[kind]) and quantize.kind(blocks) == kind
    assert np.array_equal(blocks.flatten(1).numpy(), expected)


@pytest.mark.parametrize("kind", QUANTIZE)
def test_matrix_is_quantised_the_same_in_pieces(kind, monkeypatch):
    weight = awkward_rows(1.0)
    whole = QUANTIZE[kind](weight)
    monkeypatch.setattr(quantize, "_PIECE", 500)
    assert torch.equal(QUANTIZE[kind](weight), whole)
    assert torch.equal(QUANTIZE[kind](weight.double()), whole)


@pytest.mark.parametrize("kind", quantize.BYTES)
def test_values_are_those_that_ggml_reads(kind):
    """Every byte occurs as a code, with scales and minima of both signs."""
    random = np.random.default_rng(1)
    size, scales = quantize.BYTES[kind], 2 if kind == "Q4_1" else 1
    blocks = random.integers(0, 256, (64, 5, size), dtype=np.uint8)
    blocks[..., :2 * scales] = random.normal(0, 1, (64, 5, scales)).astype(np.float16).view(np.uint8)
    expected = gguf.dequantize(blocks.reshape(64, 5 * size), gguf.GGMLQuantizationType[kind])
    assert np.array_equal(quantize.dequantize(torch.tensor(blocks)).numpy(), expected)


@pytest.mark.parametrize("kind, value", [*((kind, 1e9) for kind in BLOCKS),  # float16 has no such scale
                                         *((kind, float(value)) for kind in QUANTIZE for value in ("nan", "-inf"))])
def test_row_that_nothing_scales_is_found(kind, value):
    weight = awkward_rows(1.0)
    assert quantize.first_unbounded_row(QUANTIZE[kind](weight)) is None
    weight[[17, 30], 40] = value
    assert quantize.first_unbounded_row(QUANTIZE[kind](weight)) == 17


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e9])
def test_rows_of_bytes_are_within_half_a_step_and_hold_their_largest_exactly(scale):
    weight = awkward_rows(scale)
    rows = quantize.int8_rows(weight)
    step = weight.abs().amax(dim=1, keepdim=True) / 127
    assert rows.shape == (40, 4 + 96) and quantize.kind(rows) == quantize.INT8_ROWS
    error = quantize.dequantize(rows) - weight
    assert (error.abs() <= step * 0.5001).all()
    largest = weight.abs().argmax(dim=1, keepdim=True)
    torch.testing.assert_close(quantize.dequantize(rows).gather(1, largest), weight.gather(1, largest), atol=0, rtol=1e-6)
    assert not quantize.dequantize(rows)[3].any()


@pytest.mark.parametrize("kind", QUANTIZE)
def test_operator_multiplies_the_rounded_activations_with_the_values(kind):
    x, matrix = torch.randn(5, 192, generator=torch.Generator().manual_seed(2)), QUANTIZE[kind](awkward_rows(1.0, 192))
    got = torch.ops.sinkstream.linear(x, torch.classes.sinkstream.LinearWeight(matrix, None))
    expected = quantize.round_activations(x, quantize.activation_group(kind)) @ quantize.dequantize(matrix).T
    torch.testing.assert_close(got, expected, atol=3e-3, rtol=1e-5)
    assert (x @ quantize.dequantize(matrix).T - expected).abs().max() > 0.01


def test_activations_are_rounded_by_the_largest_of_each_group():
    x = torch.zeros(2, 64)
    x[0, :3] = torch.tensor([-12.7, 0.26, 0.04])  # steps of 0.1
    x[0, 32:34] = torch.tensor([0.0127, 0.00026])
    expected = torch.zeros(2, 64)
    expected[0, :3] = torch.tensor([-12.7, 0.3, 0.0])
    expected[0, 32:34] = torch.tensor([0.0127, 0.0003])
    torch.testing.assert_close(quantize.round_activations(x, 32), expected, atol=0, rtol=1e-6)
    expected[0, 32:34] = 0
    torch.testing.assert_close(quantize.round_activations(x, 64), expected, atol=0, rtol=1e-6)


def test_activations_that_are_nearly_nothing_become_zeros_as_the_operators_make_them():
    x, blocks = torch.zeros(4, 32), quantize.q8_0(torch.eye(32))
    x[:, 3] = torch.tensor([1e-37, 0.9e-30, 1.1e-30, 1.0])  # the inverse of the first one's scale is infinite
    got = torch.ops.sinkstream.linear(x, torch.classes.sinkstream.LinearWeight(blocks, None))
    rounded = quantize.round_activations(x, 32)
    assert rounded[:, 3].tolist() == [0, 0, *x[2:, 3].tolist()]
    torch.testing.assert_close(got, rounded, atol=0, rtol=1e-3)
