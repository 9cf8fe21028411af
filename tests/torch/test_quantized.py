"""Linear and embedding of weights in bytes, held to the plain reference: GGUF's blocks, made and read by gguf's own Python,
and rows of bytes."""

import gguf
import pytest
import torch
from sinkstream_export import reference
from weights import BLOCKS, ROWS, in_format, rows_of_bytes

ops = torch.ops.sinkstream
LinearWeight = torch.classes.sinkstream.LinearWeight

SHAPES = [(64, 1), (64, 31), (192, 33), (576, 100), (1536, 64)]  # in, out


def random_blocks(rng, kind, size_in, size_out):
    return in_format(torch.randn(size_out, size_in, generator=rng) * size_in**-0.5, kind)


def extreme_blocks(rng, kind, size_in, size_out):
    """Every code there is, tiny and negative scales among the others, and the longest sums."""
    if kind == ROWS:
        codes = torch.randint(-128, 128, (size_out, size_in), generator=rng, dtype=torch.int8)
        codes[0] = -128
        scales = torch.rand(size_out, 1, generator=rng) / 64
        scales[1], scales[2] = 1e-38, -scales[2]
        return rows_of_bytes(scales, codes)
    blocks = random_blocks(rng, kind, size_in, size_out)
    codes = 4 if kind == "Q4_1" else 2
    blocks[..., codes:] = torch.randint(0, 256, blocks[..., codes:].shape, generator=rng, dtype=torch.uint8)
    blocks[0, :, codes:] = {"Q4_0": 0x00, "Q4_1": 0xFF, "Q8_0": 0x80}[kind]
    blocks[1, 0, :codes] = 1
    blocks[2, 0, 1] |= 0x80
    return blocks


def dequantized(kind, blocks):
    """By gguf; of rows, by what they are said to mean."""
    if kind == ROWS:
        return blocks[:, :4].contiguous().view(torch.float32) * blocks[:, 4:].contiguous().view(torch.int8)
    return torch.from_numpy(gguf.quants.dequantize(blocks.flatten(1).numpy(), BLOCKS[kind]))


@pytest.fixture(params=[*BLOCKS, ROWS])
def kind(request):
    return request.param


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_of_a_single_group_are_multiplied(isa, rng, kind):
    blocks, x = random_blocks(rng, kind, 32, 1), torch.randn(17, 32, generator=rng)
    expected = reference.quantized_linear(x, blocks)
    torch.testing.assert_close(ops.linear(x, LinearWeight(blocks, None)).double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 5, 16, 40])
def test_linear_is_the_product_of_the_codes(isa, rng, kind, rows):
    for size_in, size_out in SHAPES:
        blocks, bias = random_blocks(rng, kind, size_in, size_out), torch.randn(size_out, generator=rng)
        x = torch.randn(rows, size_in, generator=rng)
        expected = reference.quantized_linear(x, blocks, bias.double())
        torch.testing.assert_close(ops.linear(x, LinearWeight(blocks, bias)).double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("rows", [2, 33])
def test_no_code_and_no_scale_is_too_large_or_small(isa, rng, kind, rows):
    blocks = extreme_blocks(rng, kind, 64, 40)
    x = torch.randint(-127, 128, (rows, 64), generator=rng).float()
    x[:, ::32] = 127  # so that the codes are x
    x[0] = 127
    x[-1] = -127
    expected = reference.quantized_linear(x, blocks)
    torch.testing.assert_close(ops.linear(x, LinearWeight(blocks, None)).double(), expected, atol=1e-3, rtol=1e-6)


def test_it_is_near_the_product_of_the_weights(rng, kind):
    blocks = random_blocks(rng, kind, 576, 96)
    x = torch.randn(9, 576, generator=rng)
    expected = x @ dequantized(kind, blocks).T
    error = ops.linear(x, LinearWeight(blocks, None)) - expected
    assert error.pow(2).mean().sqrt() < 0.01 * expected.pow(2).mean().sqrt()


def test_linear_add_fuses_the_residual(isa, rng, kind):
    blocks = random_blocks(rng, kind, 192, 75)
    x, residual = torch.randn(17, 192, generator=rng), torch.randn(17, 75, generator=rng)
    weight = LinearWeight(blocks, None)
    assert torch.equal(ops.linear_add(x, weight, residual), ops.linear(x, weight) + residual)


def test_a_rows_product_does_not_depend_on_the_batch(isa, rng, kind):
    weight = LinearWeight(random_blocks(rng, kind, 192, 70), torch.randn(70, generator=rng))
    x = torch.randn(211, 192, generator=rng)
    alone = torch.cat([ops.linear(row[None], weight) for row in x])
    assert torch.equal(ops.linear(x, weight), alone)
    for chunk in (2, 3, 5, 6, 7, 12, 15, 16, 17, 31, 32, 33, 47, 49, 128, 129):
        assert torch.equal(torch.cat([ops.linear(part, weight) for part in x.split(chunk)]), alone)


def chain_of_fused_products(x, blocks):
    """float32: the sums that kernels.h gives, one rounding each. Double holds a product exactly."""
    codes, scales, minima = reference.unpack_codes(blocks)
    activations, activation_scales = reference.quantize_groups(x, codes.shape[-1])
    exact = torch.einsum("ngk,ogk->gno", activations.double(), codes.double())
    scaled_sums = activation_scales * activations.sum(-1, keepdim=True).float()
    row_scales = scales[:, 0].float().T if blocks.dim() == 2 else 1
    scales = torch.ones_like(scales) if blocks.dim() == 2 else scales
    sums = torch.zeros(len(x), len(blocks))
    for group in range(codes.shape[1]):
        scale = activation_scales[:, group] * scales[:, group].float().T
        sums = (sums + scale.double() * exact[group]).float()
        sums = (sums + scaled_sums[:, group].double() * minima[:, group].T).float()
    return row_scales * sums


def test_all_instruction_sets_with_fused_products_give_the_bits_of_the_chain(isa, rng, kind):
    blocks, x = extreme_blocks(rng, kind, 576, 100), torch.randn(50, 576, generator=rng)
    result = torch.cat([ops.linear(part, LinearWeight(blocks, None)) for part in x.split(49)])
    expected = chain_of_fused_products(x, blocks)
    if isa == "portable":  # without them: the products are rounded too
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-5)
    else:
        assert torch.equal(result, expected)


def test_ties_are_rounded_to_even_and_nothing_is_beyond_127(isa):
    x = torch.zeros(1, 32)
    x[0, :8] = torch.tensor([127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, -127.0])
    identity = torch.zeros(32, 1, 34, dtype=torch.uint8)
    identity[:, 0, 1] = 0x3C  # one
    identity[torch.arange(32), 0, 2 + torch.arange(32)] = 1
    rounded = ops.linear(x, LinearWeight(identity, None))[0]
    assert rounded[:8].tolist() == [127.0, 0.0, 2.0, 2.0, 0.0, -2.0, -2.0, -127.0]
    assert not rounded[8:].any()


def test_a_group_that_is_nearly_nothing_counts_as_zeros(isa, rng, kind):
    weight = LinearWeight(random_blocks(rng, kind, 64, 33), None)
    x = torch.randn(2, 64, generator=rng)
    x[0, :32], x[1, :32] = 0, 1e-38
    result = ops.linear(x, weight)
    x[:, :32] = 0
    assert torch.equal(result, ops.linear(x, weight)) and result.isfinite().all()


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_is_not_finite_shows_in_its_row_alone(isa, rng, kind, value):
    weight = LinearWeight(random_blocks(rng, kind, 64, 33), None)
    x = torch.randn(20, 64, generator=rng)
    expected = ops.linear(x, weight)
    x[3, 40] = value
    result = ops.linear(x, weight)
    assert result[3].isnan().all()
    assert torch.equal(result[torch.arange(20) != 3], expected[torch.arange(20) != 3])


def test_embedding_dequantises_a_row_as_gguf_does(rng, kind):
    blocks = extreme_blocks(rng, kind, 192, 83)
    rows = dequantized(kind, blocks)
    ids = torch.tensor([0, 82, 1, 2, 31, 32, 0])
    result = ops.embedding(ids, LinearWeight(blocks, None))
    torch.testing.assert_close(result, rows[ids], atol=0, rtol=1e-6)
    assert torch.equal(result, reference.dequantize(blocks)[ids])


def test_a_weight_gives_back_and_serialises_its_blocks(rng, tmp_path, kind):
    class Model(torch.nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.weight = weight

        def forward(self, x: torch.Tensor):
            return torch.ops.sinkstream.linear(x, self.weight)

    blocks, bias = extreme_blocks(rng, kind, 320, 301), torch.randn(301, generator=rng)
    weight, x, path = LinearWeight(blocks, bias), torch.randn(3, 320, generator=rng), tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(Model(weight)), str(path))
    assert path.stat().st_size < blocks.numel() + 10_000
    assert torch.equal(torch.jit.load(str(path))(x), ops.linear(x, weight))
    for plain, plain_bias in (weight.plain(), torch.jit.load(str(path)).weight.plain()):
        assert torch.equal(plain, blocks) and torch.equal(plain_bias, bias)


def spoilt(value: int, at: int, size: int = 20) -> torch.Tensor:
    blocks = torch.zeros(3, 2, size, dtype=torch.uint8)
    blocks[2, 1, at] = value
    return blocks


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.zeros(4, 36, dtype=torch.uint8), r"\[out, in / 32, 18, 20 or 34\].* or \[out, 4 \+ in\], .in. a multiple of 64"),
        (torch.zeros(4, 4, dtype=torch.uint8), r"\[out, 4 \+ in\]"),
        (rows_of_bytes(torch.tensor([[1.0], [float("inf")]]), torch.zeros(2, 64, dtype=torch.int8)),
         "row 1 has a scale that is not finite"),
        (torch.zeros(4, 1, 22, dtype=torch.uint8), "18 .Q4_0., 20 .Q4_1. or 34 bytes .Q8_0., not 22"),
        (torch.zeros(0, 1, 18, dtype=torch.uint8), r"weight must be \[out, in\]"),
        (torch.zeros(4, 1, 18, dtype=torch.int8), "float32, bfloat16 or uint8, not"),
        (spoilt(0x7C, 1), "row 2 has a scale or minimum that is not finite, in block 1"),
        (spoilt(0xFD, 3), "row 2 has a scale or minimum that is not finite"),
        (spoilt(0x7C, 1, size=18), "row 2 has a scale or minimum that is not finite"),
        (spoilt(0x7C, 1, size=34), "row 2 has a scale or minimum that is not finite"),
    ],
)
def test_what_are_no_blocks_is_refused(weight, message):
    with pytest.raises(RuntimeError, match=message):
        LinearWeight(weight, None)


def test_a_bias_and_activations_that_do_not_fit_are_refused(rng):
    blocks = random_blocks(rng, "Q4_0", 64, 5)
    with pytest.raises(RuntimeError, match=r"bias must be float32 \[5\]"):
        LinearWeight(blocks, torch.zeros(2))
    with pytest.raises(RuntimeError, match=r"linear: x is \[2, 2\], the weight takes 64"):
        ops.linear(torch.zeros(2, 2), LinearWeight(blocks, None))
