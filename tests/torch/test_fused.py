"""Products that make their rows themselves: the same numbers, bit for bit, as the operators they stand for."""

import pytest
import torch
from weights import BLOCKS, ROWS, in_format

ops = torch.ops.sinkstream
LinearWeight = torch.classes.sinkstream.LinearWeight

SIZE, OUT = 192, 100


@pytest.fixture(params=["float32", "bfloat16", ROWS, *BLOCKS])
def weight(request, rng):
    matrix = torch.randn(OUT, SIZE, generator=rng) * SIZE**-0.5
    return LinearWeight(in_format(matrix, request.param), torch.randn(OUT, generator=rng))


@pytest.mark.parametrize("rows", [0, 1, 5, 40, 150])
def test_rms_norm_linear_is_the_product_of_the_normed_rows(isa, rng, weight, rows):
    x, norm = torch.randn(rows, SIZE, generator=rng) * 30, torch.randn(SIZE, generator=rng)
    assert torch.equal(ops.rms_norm_linear(x, norm, 1e-5, weight), ops.linear(ops.rms_norm(x, norm, 1e-5), weight))


@pytest.mark.parametrize("rows", [0, 1, 5, 40, 150])
def test_silu_mul_linear_add_is_the_product_of_the_gated_rows(isa, rng, weight, rows):
    gate_up, residual = torch.randn(rows, 2 * SIZE, generator=rng) * 5, torch.randn(rows, OUT, generator=rng)
    assert torch.equal(ops.silu_mul_linear_add(gate_up, weight, residual),
                       ops.linear_add(ops.silu_mul(gate_up), weight, residual))


def test_what_is_not_contiguous_is_read_as_it_is(rng, weight):
    x, norm = torch.randn(SIZE, 9, generator=rng).T, torch.randn(SIZE, generator=rng)
    assert torch.equal(ops.rms_norm_linear(x, norm, 1e-5, weight), ops.rms_norm_linear(x.contiguous(), norm, 1e-5, weight))
    gate_up, residual = torch.randn(2 * SIZE, 9, generator=rng).T, torch.randn(OUT, 9, generator=rng).T
    assert torch.equal(ops.silu_mul_linear_add(gate_up, weight, residual),
                       ops.silu_mul_linear_add(gate_up.contiguous(), weight, residual.contiguous()))


def test_a_row_that_is_no_number_spoils_no_other(isa, rng, weight):
    x, norm = torch.randn(40, SIZE, generator=rng), torch.randn(SIZE, generator=rng)
    expected = ops.rms_norm_linear(x, norm, 1e-5, weight)
    x[7, 3] = float("nan")
    actual = ops.rms_norm_linear(x, norm, 1e-5, weight)
    assert actual[7].isnan().all()
    others = [row for row in range(40) if row != 7]
    assert torch.equal(actual[others], expected[others])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: ops.rms_norm_linear(torch.zeros(2, 64), torch.zeros(7), 1e-5, w), r"rms_norm_linear: x is \[2, 64\], norm \[7\]"),
        (lambda w: ops.rms_norm_linear(torch.zeros(2, 64), torch.zeros(1, 64), 1e-5, w), "rms_norm_linear: norm must be float32 with 1"),
        (lambda w: ops.rms_norm_linear(torch.zeros(2, 8), torch.zeros(8), 1e-5, w), r"rms_norm_linear: x is \[2, 8\], the weight takes 64"),
        (lambda w: ops.rms_norm_linear(torch.zeros(64), torch.zeros(64), 1e-5, w), "rms_norm_linear: x must be float32 with 2"),
        (lambda w: ops.silu_mul_linear_add(torch.zeros(2, 7), w, torch.zeros(2, 5)), r"silu_mul_linear_add: gate_up is \[2, 7\]"),
        (lambda w: ops.silu_mul_linear_add(torch.zeros(2, 64), w, torch.zeros(2, 5)),
         r"silu_mul_linear_add: gate_up is \[2, 64\], half of it an input, the weight takes 64"),
        (lambda w: ops.silu_mul_linear_add(torch.zeros(2, 128), w, torch.zeros(3, 5)), r"silu_mul_linear_add: residual is \[3, 5\]"),
        (lambda w: ops.silu_mul_linear_add(torch.zeros(2, 128), w, torch.zeros(2, 6)), r"silu_mul_linear_add: residual is \[2, 6\]"),
        (lambda w: ops.silu_mul_linear_add(torch.zeros(128), w, torch.zeros(1, 5)), "silu_mul_linear_add: gate_up must be float32 with 2"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, message):
    with pytest.raises(RuntimeError, match=message):
        call(LinearWeight(torch.zeros(5, 64), None))
