"""Linear, embedding, norms and activations against their references, and row by row against themselves."""

import pytest
import torch
from sinkstream_export import reference

ops = torch.ops.sinkstream
LinearWeight = torch.classes.sinkstream.LinearWeight

SHAPES = [(1, 1), (3, 31), (33, 32), (64, 100), (75, 83), (576, 129)]  # in, out


def random_weight(rng, size_in, size_out, dtype, biased=True):
    weight = (torch.randn(size_out, size_in, generator=rng) * size_in**-0.5).to(dtype)
    return weight, torch.randn(size_out, generator=rng) if biased else None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows", [1, 2, 13, 40, 97, 250])
def test_linear_is_the_matrix_product(isa, rng, rows, dtype):
    for size_in, size_out in SHAPES:
        weight, bias = random_weight(rng, size_in, size_out, dtype)
        x = torch.randn(rows, size_in, generator=rng)
        expected = reference.linear(x.double(), weight, bias.double())
        torch.testing.assert_close(ops.linear(x, LinearWeight(weight, bias)).double(), expected, atol=1e-5, rtol=1e-5)


def test_a_long_products_rounding_stays_small(isa, rng):
    """One chain of 4,096 products rounds by 1.1e-6 of their typical sum, chains of 64 by 2.1e-7."""
    size = 4096
    weight, x = torch.randn(64, size, generator=rng), torch.randn(32, size, generator=rng)
    error = ops.linear(x, LinearWeight(weight, None)).double() - x.double() @ weight.double().T
    assert error.pow(2).mean().sqrt().item() / size**0.5 < 4e-7


@pytest.mark.parametrize("biased", [False, True])
def test_linear_add_fuses_the_residual(isa, rng, biased):
    weight, bias = random_weight(rng, 75, 83, torch.float32, biased)
    x, residual = torch.randn(17, 75, generator=rng), torch.randn(17, 83, generator=rng)
    expected = reference.linear_add(
        x.double(), weight, residual.double(), bias.double() if biased else None)
    actual = ops.linear_add(x, LinearWeight(weight, bias), residual)
    torch.testing.assert_close(actual.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_rows_product_does_not_depend_on_the_batch(isa, rng, dtype):
    weight = LinearWeight(*random_weight(rng, 200, 70, dtype))
    x = torch.randn(211, 200, generator=rng)
    alone = torch.cat([ops.linear(row[None], weight) for row in x])
    assert torch.equal(ops.linear(x, weight), alone)
    for chunk in (2, 3, 7, 12, 13, 96, 97):
        assert torch.equal(torch.cat([ops.linear(part, weight) for part in x.split(chunk)]), alone)


def test_the_number_of_threads_changes_no_bit(rng):
    weight = LinearWeight(*random_weight(rng, 200, 700, torch.float32))
    x = torch.randn(50, 200, generator=rng)
    results = []
    for threads in (1, 2, 3, 7):
        ops.set_threads(threads)
        results.append(ops.linear(x, weight))
    ops.set_threads(2)
    assert all(torch.equal(result, results[0]) for result in results)


def test_linear_of_no_rows_is_empty(rng):
    assert ops.linear(torch.empty(0, 8), LinearWeight(torch.randn(5, 8, generator=rng), None)).shape == (0, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_embedding_reads_rows_of_the_packed_matrix(rng, dtype):
    weight, _ = random_weight(rng, 75, 83, dtype, biased=False)
    ids = torch.tensor([0, 82, 31, 32, 0])
    assert torch.equal(ops.embedding(ids, LinearWeight(weight, None)), reference.embedding(ids, weight))


@pytest.mark.parametrize("token", [-1, 83])
def test_embedding_refuses_a_token_outside_the_vocabulary(rng, token):
    weight = LinearWeight(torch.randn(83, 75, generator=rng), None)
    with pytest.raises(RuntimeError, match=f"token {token} of 83"):
        ops.embedding(torch.tensor([3, token]), weight)


@pytest.mark.parametrize("size", [1, 16, 33, 75, 576])
def test_rms_norm(isa, rng, size):
    x, weight = torch.randn(19, size, generator=rng) * 30, torch.randn(size, generator=rng)
    expected = reference.rms_norm(x.double(), weight.double(), 1e-5)
    actual = ops.rms_norm(x, weight, 1e-5)
    torch.testing.assert_close(actual.double(), expected, atol=1e-6, rtol=2e-6)
    assert torch.equal(torch.cat([ops.rms_norm(row[None], weight, 1e-5) for row in x]), actual)


@pytest.mark.parametrize("size", [1, 16, 33, 1536])
def test_silu_mul(isa, rng, size):
    gate_up = torch.randn(19, 2 * size, generator=rng) * 20
    gate_up[0, 0] = -200.0  # beyond float32's exponential
    actual = ops.silu_mul(gate_up)
    torch.testing.assert_close(actual.double(), reference.silu_mul(gate_up.double()), atol=1e-6, rtol=2e-6)
    assert torch.equal(torch.cat([ops.silu_mul(row[None]) for row in gate_up]), actual)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("size", [1, 16, 33, 75, 576])
def test_layer_norm(isa, rng, size, biased):
    x, weight = torch.randn(19, size, generator=rng) * 30 + 7, torch.randn(size, generator=rng)
    bias = torch.randn(size, generator=rng) if biased else None
    expected = reference.layer_norm(x.double(), weight.double(), bias.double() if biased else None, 1e-5)
    actual = ops.layer_norm(x, weight, bias, 1e-5)
    torch.testing.assert_close(actual.double(), expected, atol=3e-6, rtol=2e-6)
    assert torch.equal(torch.cat([ops.layer_norm(row[None], weight, bias, 1e-5) for row in x]), actual)


def test_layer_norm_of_a_long_row_far_from_zero(isa, rng):
    """The mean rounded to float32 is off by 3e-5 here, and one of a float32 sum by more."""
    x = torch.randn(16, 4099, generator=rng) + 1000
    expected = reference.layer_norm(x.double(), torch.ones(4099, dtype=torch.float64), None, 1e-5)
    actual = ops.layer_norm(x, torch.ones(4099), None, 1e-5)
    torch.testing.assert_close(actual.double(), expected, atol=3e-6, rtol=0)


@pytest.mark.parametrize(("heads", "normed", "head_dim"), [(1, 1, 1), (8, 6, 16), (5, 3, 80), (73, 72, 23), (4, 4, 33)])
def test_head_rms_norm(isa, rng, heads, normed, head_dim):
    qkv = torch.randn(19, heads * head_dim, generator=rng) * 30
    weight = torch.randn(normed, head_dim, generator=rng)
    actual = ops.head_rms_norm(qkv, weight, 1e-6)
    expected = reference.head_rms_norm(qkv.double(), weight.double(), 1e-6)
    torch.testing.assert_close(actual.double(), expected, atol=1e-6, rtol=2e-6)
    assert torch.equal(actual[:, normed * head_dim :], qkv[:, normed * head_dim :])
    assert torch.equal(torch.cat([ops.head_rms_norm(row[None], weight, 1e-6) for row in qkv]), actual)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_exact_to_float32(isa, approximate):
    x = torch.cat([torch.linspace(-30, 30, 300_001), torch.linspace(-2, 2, 200_001)]).view(2, -1)
    error = ops.gelu(x, approximate).double() - torch.nn.functional.gelu(x.double(), approximate=approximate)
    assert (error.abs() / x.double().abs().clamp(min=1)).max() < 2e-7


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_of_extremes(isa, approximate):
    x = torch.tensor([[-3e38, -1e20, -200.0, -0.0, 0.0, 1e-40, 200.0, 1e20, 3e38, float("inf"), float("nan")]])
    wanted = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 5e-41, 200.0, 1e20, 3e38, float("inf"), float("nan")]])
    torch.testing.assert_close(ops.gelu(x, approximate), wanted, equal_nan=True, atol=0, rtol=1e-4)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("size", [1, 16, 33, 1536])
def test_gelu_mul(isa, rng, size, approximate):
    gate_up = torch.randn(19, 2 * size, generator=rng) * 5
    actual = ops.gelu_mul(gate_up, approximate)
    expected = reference.gelu_mul(gate_up.double(), approximate)
    torch.testing.assert_close(actual.double(), expected, atol=5e-6, rtol=2e-6)
    assert torch.equal(torch.cat([ops.gelu_mul(row[None], approximate) for row in gate_up]), actual)
    gate, up = gate_up.chunk(2, dim=1)
    assert torch.equal(ops.gelu(gate, approximate) * up, actual)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_a_rows_activation_does_not_depend_on_the_batch(isa, rng, approximate):
    x = torch.randn(50, 75, generator=rng) * 5
    alone = torch.cat([ops.gelu(row[None], approximate) for row in x])
    for chunk in (1, 2, 7, 50):
        assert torch.equal(torch.cat([ops.gelu(part, approximate) for part in x.split(chunk)]), alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_weight_gives_back_and_serialises_the_plain_tensors(rng, tmp_path, dtype):
    class Model(torch.nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.first, self.second = weight, weight

        def forward(self, x: torch.Tensor):
            return torch.ops.sinkstream.linear(x, self.first), torch.ops.sinkstream.linear(x, self.second)

    weight, bias = random_weight(rng, 300, 301, dtype)
    packed = LinearWeight(weight, bias)
    plain, plain_bias = packed.plain()
    assert torch.equal(plain, weight) and torch.equal(plain_bias, bias)

    path, x = tmp_path / "model.pt", torch.randn(3, 300, generator=rng)
    torch.jit.save(torch.jit.script(Model(packed)), str(path))
    assert path.stat().st_size < 1.5 * weight.numel() * weight.element_size()  # shared: stored once
    for result in torch.jit.load(str(path))(x):
        assert torch.equal(result, ops.linear(x, packed))
    plain, plain_bias = packed.plain()  # once it is packed
    assert torch.equal(plain, weight) and torch.equal(plain_bias, bias)


def test_of_a_view_only_what_it_shows_is_serialised(tmp_path):
    class Model(torch.nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.weight = weight

        def forward(self, x: torch.Tensor):
            return torch.ops.sinkstream.linear(x, self.weight)

    path, stack = tmp_path / "model.pt", torch.randn(1000, 300)
    torch.jit.save(torch.jit.script(Model(LinearWeight(stack[10:20], None))), str(path))
    assert path.stat().st_size < 4 * 10 * 300 + 10_000
    assert torch.equal(torch.jit.load(str(path))(torch.eye(300)), stack[10:20].T)


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (torch.zeros(4, 4, dtype=torch.float64), None, "float32, bfloat16 or uint8, not"),
        (torch.zeros(4), None, r"\[out, in\]"),
        (torch.zeros(4, 3), torch.zeros(3), r"bias must be float32 \[4\]"),
    ],
)
def test_a_weight_of_another_kind_is_refused(weight, bias, message):
    with pytest.raises(RuntimeError, match=message):
        LinearWeight(weight, bias)


def test_shapes_that_do_not_fit_are_refused(rng):
    weight = LinearWeight(torch.randn(5, 8, generator=rng), None)
    with pytest.raises(RuntimeError, match=r"linear: x is \[2, 7\], the weight takes 8"):
        ops.linear(torch.zeros(2, 7), weight)
    for x in (torch.zeros(()), torch.zeros(8)):
        with pytest.raises(RuntimeError, match="linear_add: x must be float32 with 2"):
            ops.linear_add(x, weight, torch.zeros(1, 5))
    with pytest.raises(RuntimeError, match="residual is"):
        ops.linear_add(torch.zeros(2, 8), weight, torch.zeros(3, 5))
    with pytest.raises(RuntimeError, match="rms_norm"):
        ops.rms_norm(torch.zeros(2, 8), torch.zeros(7), 1e-5)
    with pytest.raises(RuntimeError, match="silu_mul"):
        ops.silu_mul(torch.zeros(2, 7))
    with pytest.raises(RuntimeError, match="float32"):
        ops.linear(torch.zeros(2, 8, dtype=torch.float64), weight)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.layer_norm(torch.zeros(2, 8), torch.zeros(7), None, 1e-5), r"layer_norm: x is \[2, 8\], weight \[7\]"),
        (lambda: ops.layer_norm(torch.zeros(2, 8), torch.zeros(8), torch.zeros(1), 1e-5), r"layer_norm: bias is \[1\]"),
        (lambda: ops.layer_norm(torch.zeros(8), torch.zeros(8), None, 1e-5), "layer_norm: x must be float32 with 2"),
        (lambda: ops.head_rms_norm(torch.zeros(2, 8), torch.zeros(3, 4), 1e-6), r"head_rms_norm: qkv is \[2, 8\]"),
        (lambda: ops.head_rms_norm(torch.zeros(2, 9), torch.zeros(1, 4), 1e-6), r"head_rms_norm: qkv is \[2, 9\]"),
        (lambda: ops.head_rms_norm(torch.zeros(2, 8), torch.zeros(0, 4), 1e-6), r"head_rms_norm: weight is \[0, 4\]"),
        (lambda: ops.head_rms_norm(torch.zeros(2, 8), torch.zeros(2, 0), 1e-6), r"head_rms_norm: weight is \[2, 0\]"),
        (lambda: ops.gelu(torch.zeros(2, 8).double(), "none"), "gelu: x must be float32"),
        (lambda: ops.gelu(torch.zeros(2, 8), "quick"), "gelu: approximate must be none or tanh, not quick"),
        (lambda: ops.gelu_mul(torch.zeros(2, 7), "none"), r"gelu_mul: gate_up is \[2, 7\]"),
        (lambda: ops.gelu_mul(torch.zeros(2, 8), ""), "gelu_mul: approximate must be none or tanh"),
    ],
)
def test_what_norms_and_activations_cannot_take_is_refused_by_name(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()


def test_an_unknown_instruction_set_is_refused_and_changes_nothing():
    before = ops.isa()
    with pytest.raises(RuntimeError, match="no sse9"):
        ops.select_isa("sse9")
    assert ops.isa() == before
