"""The operator logits: what linear gives, and of each row the highest, for the rows of which no more is wanted too."""

import pytest
import torch
from stream import Case, poisoned_kv
from weights import ROWS, in_format

ops = torch.ops.sinkstream
LinearWeight = torch.classes.sinkstream.LinearWeight

INPUTS = 64
FORMATS = ["float32", "bfloat16", "Q4_1", "Q8_0", ROWS]


def step_asking(alone=None):
    line = torch.tensor([[0, 1, 0, 16, 0, 0, 1, 0, 0]])
    step = torch.classes.sinkstream.StepContext(
        poisoned_kv(Case(), 1), Case().head_dim, line, torch.tensor([0], dtype=torch.int32))
    if alone is not None:
        step.ask_peaks(alone)
    return step


def peaks_of(x, head, alone=None):
    """Logits [M, out], the highest of each row [M], which that is [M]."""
    step = step_asking(torch.zeros(len(x), dtype=torch.bool) if alone is None else torch.tensor(alone))
    logits = ops.logits(x, head, step)
    return logits, *step.peaks()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rows", [1, 5, 33, 130])
def test_the_logits_are_those_of_linear_and_each_peak_is_their_highest(isa, rng, format, rows):
    for outputs in (1, 31, 100, 2500):
        weight, bias = torch.randn(outputs, INPUTS, generator=rng), torch.randn(outputs, generator=rng)
        head, x = LinearWeight(in_format(weight, format), bias), torch.randn(rows, INPUTS, generator=rng)
        expected = ops.linear(x, head)
        alone = [row % 3 == 1 for row in range(rows)]
        logits, highest, tokens = peaks_of(x, head, alone)
        told = ~torch.tensor(alone)
        assert torch.equal(logits[told], expected[told])
        assert torch.equal(highest, expected.amax(1)) and torch.equal(tokens.long(), expected.argmax(1))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rows", [7, 33, 130])
def test_of_equal_logits_the_first_is_the_peak(isa, rng, format, rows):
    weight = torch.randn(2500, INPUTS, generator=rng).clamp(-1, 1)
    weight[[37, 38, 70, 2400]] = 2.0
    head = LinearWeight(in_format(weight, format), None)
    _, _, tokens = peaks_of(torch.ones(rows, INPUTS), head)
    assert tokens.tolist() == [37] * rows
    _, _, tokens = peaks_of(torch.zeros(rows, INPUTS), head)
    assert tokens.tolist() == [0] * rows


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rows", [9, 33])
def test_what_fills_the_last_panel_up_is_no_logit(isa, rng, format, rows):
    head = LinearWeight(in_format(torch.randn(33, INPUTS, generator=rng), format), torch.full((33,), -1e4))
    x = torch.randn(rows, INPUTS, generator=rng)
    logits, highest, tokens = peaks_of(x, head)
    assert torch.equal(highest, logits.amax(1)) and torch.equal(tokens.long(), logits.argmax(1))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_logit_that_is_no_number_shows_in_its_rows_peak_alone(isa, rng, value, format):
    matrix, bias = in_format(torch.randn(2500, INPUTS, generator=rng), format), torch.zeros(2500)
    for rows in (8, 33, 130):
        x = torch.randn(rows, INPUTS, generator=rng)
        x[3, 5] = value
        _, highest, _ = peaks_of(x, LinearWeight(matrix, bias))
        assert (~highest.isfinite()).nonzero().flatten().tolist() == [3]

    bias[1700] = value
    _, highest, _ = peaks_of(x[:3], LinearWeight(matrix, bias))
    torch.testing.assert_close(highest, torch.full((3,), value), equal_nan=True)


def test_minus_infinity_is_only_unlikely(isa, rng):
    bias = torch.full((100,), -torch.inf)
    _, highest, tokens = peaks_of(torch.ones(2, INPUTS), LinearWeight(torch.zeros(100, INPUTS), bias))
    assert torch.equal(highest, torch.full((2,), -torch.inf))
    bias[64] = -1e30
    _, highest, tokens = peaks_of(torch.ones(2, INPUTS), LinearWeight(torch.zeros(100, INPUTS), bias))
    assert tokens.tolist() == [64, 64]


def test_the_number_of_threads_changes_no_peak(rng):
    head = LinearWeight(torch.randn(500, INPUTS, generator=rng).round().repeat(5, 1), None)
    for x in torch.randn(6, INPUTS, generator=rng), torch.randn(130, INPUTS, generator=rng):
        expected = ops.linear(x, head).argmax(1)
        for threads in (1, 2, 3, 7):
            ops.set_threads(threads)
            assert torch.equal(peaks_of(x, head)[2].long(), expected)
    ops.set_threads(2)


def test_nothing_is_told_where_no_peaks_are_asked_for(rng):
    head, x, step = LinearWeight(torch.randn(50, INPUTS, generator=rng), None), torch.ones(2, INPUTS), step_asking()
    assert torch.equal(ops.logits(x, head, step), ops.linear(x, head))
    assert [part.shape for part in step.peaks()] == [(0,), (0,)]


def test_of_no_rows_there_are_no_peaks(rng):
    logits, highest, _ = peaks_of(torch.empty(0, INPUTS), LinearWeight(torch.randn(50, INPUTS, generator=rng), None))
    assert logits.shape == (0, 50) and highest.shape == (0,)


def test_rows_other_than_those_asked_for_and_second_heads_are_refused(rng):
    head = LinearWeight(torch.randn(50, INPUTS, generator=rng), None)
    with pytest.raises(RuntimeError, match="logits: x is .* peaks are asked for of 3 rows"):
        ops.logits(torch.ones(2, INPUTS), head, step_asking(torch.ones(3, dtype=torch.bool)))
    step = step_asking(torch.ones(2, dtype=torch.bool))
    ops.logits(torch.ones(2, INPUTS), head, step)
    with pytest.raises(RuntimeError, match="more than once in a step"):
        ops.logits(torch.ones(2, INPUTS), head, step)
    with pytest.raises(RuntimeError, match=r"alone must be bool \[M\]"):
        step_asking(torch.ones(3))
