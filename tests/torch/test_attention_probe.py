"""The attention paid to the pinned tokens, as the probe tells it, against dense softmax weights in numpy."""

import numpy as np
import pytest
import torch
from stream import BLOCK, Case, make_stream, poisoned_kv

ops = torch.ops.sinkstream

ROWS = 130
CASES = {
    "grouped queries": Case(),
    "one sink": Case(sinks=1, window=16),
    "a pinned prompt over several blocks": Case(sinks=45, window=33),
    "everything fits": Case(window=1000),
    "everything is pinned": Case(sinks=500, window=5),
    "no sinks": Case(sinks=0, window=37),
    "groups of five, odd head": Case(heads=5, kv_heads=1, head_dim=23, rotary_dims=22),
    "partial rotary, late in its stream": Case(head_dim=80, rotary_dims=20, offset=1_000_000),
    "scaled rotary": Case(magnitude=1.25),
    "ALiBi": Case(rotary_dims=0, alibi=True),
    "no positions": Case(rotary_dims=0),
}


def rotated(x: np.ndarray, position: int, case: Case) -> np.ndarray:
    """[heads, D] by halves, in double."""
    if case.inv_freq is None:
        return x
    angles = position * case.inv_freq.numpy()
    cos, sin, half = np.cos(angles) * case.magnitude, np.sin(angles) * case.magnitude, len(angles)
    a, b = x[:, :half], x[:, half : 2 * half]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin, x[:, 2 * half :]], axis=1)


def pinned_parts(case: Case, qkv: torch.Tensor, n: int) -> np.ndarray:
    """What token n's softmax gives to the first `sinks` tokens: [heads], from the definition."""
    whole = qkv.double().numpy().reshape(len(qkv), -1, case.head_dim)
    query, group = whole[n, : case.heads], case.heads // case.kv_heads
    place = n - max(0, n - case.window + 1 - case.sinks)
    scores, pinned = [], []
    for m in range(n + 1):
        if m >= case.sinks and m <= n - case.window:
            continue
        key = np.repeat(whole[m, case.heads : case.heads + case.kv_heads], group, axis=0)
        if m < case.sinks:
            products = (rotated(query, place, case) * rotated(key, m, case)).sum(1)
            distance = place - m
        else:
            products = (rotated(query, n, case) * rotated(key, m, case)).sum(1)
            distance = n - m
        slopes = 0 if case.slopes is None else case.slopes.double().numpy()
        scores.append(products * case.scale - slopes * distance)
        pinned.append(m < case.sinks)
    weights = np.exp(np.array(scores) - np.max(scores, axis=0))
    return weights[pinned].sum(0) / weights.sum(0)


def pinned_part(case: Case, qkv: torch.Tensor, n: int) -> float:
    """The mean over heads."""
    return float(pinned_parts(case, qkv, n).mean())


def probe(case: Case, qkv: torch.Tensor, row: int, dtype: torch.dtype, layer: int = 1, probed_layer: int = 1) -> float:
    """Feeds the text up to and with a last chunk, of which row `row` is looked at."""
    pool = 2 + -(-len(qkv) // BLOCK) + -(-case.sinks // BLOCK)
    kv = poisoned_kv(case, pool, dtype)
    stream = make_stream(case, len(qkv), list(range(pool - 1, -1, -1)))
    for piece in qkv.split(ROWS - 20):
        blocks: list[int] = []
        first = stream.position
        line = stream.line(len(piece), blocks)
        step = torch.classes.sinkstream.StepContext(
            kv, case.head_dim, torch.tensor([line]), torch.tensor(blocks, dtype=torch.int32))
        if first <= row < stream.position:
            step.probe(probed_layer, row - first)
        rotary = None if case.inv_freq is None else ops.rotary_table(case.inv_freq, step, case.magnitude)
        ops.sink_attention(piece, rotary, layer, case.heads, case.kv_heads, case.head_dim, case.scale, step, case.slopes)
        if first <= row < stream.position:
            return step.pinned_attention()
    raise AssertionError("no such row")


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request) -> Case:
    return request.param


@pytest.mark.parametrize("row", [0, 3, 50, ROWS - 20, ROWS - 1])
def test_is_the_softmax_weight_of_the_pinned_tokens(case: Case, row: int, rng: torch.Generator) -> None:
    qkv = case.random_qkv(ROWS, rng)
    assert probe(case, qkv, row, torch.float32) == pytest.approx(pinned_part(case, qkv, row), abs=2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8], ids=str)
def test_holds_of_rounded_keys_too(case: Case, rng: torch.Generator, dtype: torch.dtype) -> None:
    qkv = case.random_qkv(ROWS, rng)
    assert probe(case, qkv, ROWS - 1, dtype) == pytest.approx(pinned_part(case, qkv, ROWS - 1), abs=0.01)


def test_is_high_where_queries_look_at_the_sinks(rng: torch.Generator) -> None:
    case = Case(heads=2, kv_heads=1, head_dim=16, rotary_dims=0, sinks=4, window=60)
    qkv = case.random_qkv(ROWS, rng).view(ROWS, 4, 16)
    qkv[:4, 2] = 8.0  # the sinks' keys
    qkv[-1, :2] = 1.0  # both heads' queries
    assert probe(case, qkv.flatten(1), ROWS - 1, torch.float32) > 0.99


def test_a_row_that_sees_much_is_looked_at_under_fewer_heads(rng: torch.Generator) -> None:
    case, rows = Case(heads=512, kv_heads=1, head_dim=8, rotary_dims=0, window=1000), 1000
    qkv = case.random_qkv(rows, rng)
    looked_at = 2**18 // rows
    some = pinned_parts(case, qkv, rows - 1)[[i * case.heads // looked_at for i in range(looked_at)]]
    assert probe(case, qkv, rows - 1, torch.float32) == pytest.approx(float(some.mean()), abs=2e-6)


def test_another_layer_answers_nothing(rng: torch.Generator) -> None:
    case = Case()
    assert np.isnan(probe(case, case.random_qkv(ROWS, rng), 5, torch.float32, layer=1, probed_layer=0))


@pytest.mark.parametrize("layer, row", [(2, 0), (-1, 0), (0, 10), (0, -1)])
def test_what_there_is_none_of_is_refused(layer: int, row: int) -> None:
    case = Case()
    stream, blocks = make_stream(case, 10, [0, 1]), []
    line = stream.line(10, blocks)
    step = torch.classes.sinkstream.StepContext(
        poisoned_kv(case, 2), case.head_dim, torch.tensor([line]), torch.tensor(blocks, dtype=torch.int32))
    with pytest.raises(RuntimeError, match=f"layer {layer} of 2, row {row} of 10"):
        step.probe(layer, row)
