"""Sink attention against the dense reference, and against itself under every way of cutting the work."""

import math
from collections.abc import Callable

import pytest
import torch
from sinkstream_export import reference
from stream import BLOCK, NAN, Case, Stream, attend, feed, make_stream, poisoned_kv

ops = torch.ops.sinkstream

ALIBI = {"rotary_dims": 0, "alibi": True}

CASES = {
    "grouped queries": Case(),
    "no sinks": Case(sinks=0, window=37),
    "one sink": Case(sinks=1, window=16),
    "eight sinks": Case(sinks=8, window=100),
    "a pinned prompt over several blocks": Case(sinks=45, window=33),
    "window of one": Case(window=1),
    "window of two": Case(sinks=1, window=2),
    "everything fits": Case(window=1000),
    "everything is pinned": Case(sinks=500, window=5),
    "one head": Case(heads=1, kv_heads=1, head_dim=16, rotary_dims=16),
    "groups of four, head of 80": Case(heads=8, kv_heads=2, head_dim=80, rotary_dims=80),
    "ungrouped": Case(heads=3, kv_heads=3),
    "groups of five, odd head": Case(heads=5, kv_heads=1, head_dim=23, rotary_dims=22),
    "partial rotary": Case(head_dim=80, rotary_dims=20),
    "ten million tokens in": Case(offset=10_000_000),
    "scaled rotary": Case(magnitude=1.25),
    "71 heads share one": Case(heads=71, kv_heads=1, head_dim=16, rotary_dims=16, window=20),
    "ALiBi": Case(**ALIBI),
    "ALiBi, six heads of 80": Case(heads=6, kv_heads=6, head_dim=80, sinks=1, **ALIBI),
    "ALiBi, 71 heads share one": Case(heads=71, kv_heads=1, head_dim=16, window=20, **ALIBI),
    "ALiBi without sinks, odd head": Case(heads=5, kv_heads=5, head_dim=23, sinks=0, **ALIBI),
    "ALiBi and a pinned prompt": Case(sinks=45, window=33, **ALIBI),
    "ALiBi and partial rotary": Case(rotary_dims=20, alibi=True),
    "no positions": Case(rotary_dims=0),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request) -> Case:
    return request.param


def expected(case: Case, qkv: torch.Tensor) -> torch.Tensor:
    return reference.sink_attention(
        qkv.double(), case.inv_freq, case.heads, case.kv_heads, case.head_dim, case.scale, case.sinks, case.window,
        case.offset, case.slopes, case.magnitude)


def test_matches_the_dense_forward(isa, rng, case):
    qkv = case.random_qkv(200, rng)
    torch.testing.assert_close(feed(case, qkv, chunk=200).double(), expected(case, qkv), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
def test_any_chunking_gives_the_same_bits(isa, rng, case, dtype):
    qkv = case.random_qkv(150, rng)
    whole = feed(case, qkv, 150, dtype)
    for chunk in (1, 2, 5, 16, 17, 63):
        assert torch.equal(feed(case, qkv, chunk, dtype), whole), chunk


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
def test_a_mixed_batch_gives_every_stream_what_it_gets_alone(isa, rng, dtype):
    cases = [Case(sinks=s, window=w, offset=o) for s, w, o in ((4, 60, 0), (0, 9, 0), (40, 20, 7), (1, 500, 10**7))]
    texts = [case.random_qkv(120 - 20 * i, rng) for i, case in enumerate(cases)]
    kv = poisoned_kv(cases[0], 64, dtype)
    ids = torch.randperm(64, generator=rng).tolist()
    streams = [make_stream(case, len(text), ids) for case, text in zip(cases, texts, strict=True)]
    together = [[] for _ in cases]
    for step in range(120):
        parts = []
        for i, (stream, text) in enumerate(zip(streams, texts, strict=True)):
            rows = [1, 7, 33, 2][(step + i) % 4]
            piece = text[stream.position : stream.position + rows]
            if len(piece) > 0 and step % (i + 1) == 0:
                parts.append((i, piece))
        if not parts:
            continue
        out = attend(kv, [(streams[i], piece) for i, piece in parts])
        for (i, _), rows in zip(parts, out.split([len(piece) for _, piece in parts]), strict=True):
            together[i].append(rows)
    for case, text, outs in zip(cases, texts, together, strict=True):
        assert torch.equal(torch.cat(outs), feed(case, text, chunk=len(text), dtype=dtype))


def test_bfloat16_kv_is_the_reference_with_rounded_keys_and_values(isa, rng, case):
    qkv = case.random_qkv(90, rng)
    rounded = feed(case, qkv, chunk=90, dtype=torch.bfloat16).double()
    away = (rounded - expected(case, stored_by(rounded_to_bfloat16, case, qkv))).abs()
    if isa in ("amx", "avx512_bf16"):  # queries and weights are rounded too
        assert away.max() < 0.02 and away.quantile(0.9) < 3e-3
    else:
        assert away.max() < 0.01 and away.quantile(0.9) < 2e-5
    torch.testing.assert_close(rounded, expected(case, qkv), atol=0.05, rtol=0.05)
    # The first token sees itself alone, so its output is its own value, rounded to nearest even.
    values = qkv[0, -case.kv_heads * case.head_dim :].bfloat16().double().view(case.kv_heads, -1)
    heads = values.repeat_interleave(case.heads // case.kv_heads, dim=0).flatten()
    torch.testing.assert_close(rounded[0], heads, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "away"), [(torch.bfloat16, 1e-6), (torch.int8, 1e-4)], ids=["bfloat16", "int8"])
def test_weights_add_up_to_one_however_they_are_rounded(isa, rng, case, dtype, away):
    qkv = case.random_qkv(90, rng)
    qkv[:, -case.kv_heads * case.head_dim :] = 1
    out = feed(case, qkv, chunk=90, dtype=dtype)
    torch.testing.assert_close(out, torch.ones_like(out), atol=away, rtol=0)


def test_values_of_bfloat16_round_to_nearest_and_ties_to_even(isa):
    case = Case(heads=1, kv_heads=1, head_dim=4, rotary_dims=4, sinks=0)
    step = 2.0**-8  # half the distance between neighbours of 1 in bfloat16
    qkv = torch.zeros(1, 12)
    qkv[0, 8:] = torch.tensor([1 + step, 1 + 3 * step, -1 - step, 1 + 1.01 * step])
    assert feed(case, qkv, chunk=1, dtype=torch.bfloat16)[0].tolist() == [1.0, 1 + 4 * step, -1.0, 1 + 2 * step]


def rounded_to_bytes(x: torch.Tensor) -> torch.Tensor:
    """float32 [..., D] as float64 multiples of each vector's scale."""
    largest = x.abs().amax(-1, keepdim=True)
    return ((x * (127 / largest)).round() * (largest / 127)).double()


def rounded_to_bfloat16(x: torch.Tensor) -> torch.Tensor:
    return x.bfloat16().double()


def stored_by(rounded: Callable[[torch.Tensor], torch.Tensor], case: Case, qkv: torch.Tensor) -> torch.Tensor:
    """The float64 text whose rotated keys, and whose values, are `qkv`'s rounded."""
    q, k, v = qkv.view(len(qkv), -1, case.head_dim).split([case.heads, case.kv_heads, case.kv_heads], dim=1)
    positions = reference.recent_positions(torch.arange(len(qkv)), case.sinks, case.offset)
    rotated = reference.rotate(k.double(), positions, case.inv_freq, case.magnitude).float()
    keys = reference.rotate(rounded(rotated), -positions, case.inv_freq, 1 / case.magnitude)
    return torch.cat([q.double(), keys, rounded(v)], dim=1).flatten(1)


def test_kv_of_bytes_is_the_reference_with_keys_and_values_of_bytes(isa, rng, case):
    """As near as queries and weights of 16 bits are, but where a rotated key, a bit away, has fallen on the other side
    of a tie."""
    qkv = case.random_qkv(90, rng)
    stored = feed(case, qkv, chunk=90, dtype=torch.int8).double()
    away = (stored - expected(case, stored_by(rounded_to_bytes, case, qkv))).abs()
    assert away.max() < 5e-3 and away.quantile(0.9) < 5e-5
    # Of normal numbers a code is at most half of max|x| / 127 away, 0.014 of a deviation.
    torch.testing.assert_close(stored, expected(case, qkv), atol=0.05, rtol=0.05)


def test_numbers_become_bytes_by_the_largest_and_ties_go_to_even(isa):
    case = Case(heads=1, kv_heads=1, head_dim=7, rotary_dims=0, sinks=0)
    numbers = torch.tensor([127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 2.51])
    rounded = [127.0, 0.0, 2.0, 2.0, 0.0, -2.0, 3.0]
    kv = poisoned_kv(case, 1, torch.int8)
    for row, scale in enumerate((1.0, 2.0**-10, -(2.0**20))):
        qkv = torch.cat([torch.zeros(7), numbers * scale, numbers * scale])[None]
        stream = Stream(case, [], [0], position=row)
        out = attend(kv, [(stream, qkv)])
        keys, values = kv[1, 0, 0, :, :256].view(2, 8, 16, 2)  # pairs of dimensions, of tokens
        key, value = keys[:, row].flatten()[:7], values[row // 2, :7, row % 2]
        sign = 1 if scale > 0 else -1
        assert key.tolist() == value.tolist() == [sign * code for code in rounded]
        assert kv[1, 0, 0, :, 256:].view(torch.float32)[:, row].tolist() == [abs(scale)] * 2
        if row == 0:
            assert out[0].tolist() == rounded


def test_many_small_weights_beside_a_large_one_are_not_lost_in_bytes(isa):
    """Beside one 65,536 times larger each would be no step of 16 bits."""
    case, count = Case(heads=1, kv_heads=1, head_dim=16, rotary_dims=0, sinks=0, window=4000), 3000
    qkv = torch.zeros(count, 3, 16)
    qkv[:, 0, 0] = 1 / case.scale
    qkv[0, 1, 0] = 12  # the score of the first token; the others' is 0
    qkv[0, 2, 0] = 1
    qkv[1:, 2, 1:] = 1
    out = feed(case, qkv.flatten(1), chunk=500, dtype=torch.int8)
    small = 1 - 1 / (1 + (count - 1) * math.exp(-12))
    torch.testing.assert_close(out[-1, 1:], torch.full((15,), small), atol=0, rtol=0.01)


def test_sums_of_the_largest_head_fit_their_integers(isa):
    """Codes of 127 times integers of 32,767, 512 of them."""
    case = Case(heads=1, kv_heads=1, head_dim=512, rotary_dims=0, sinks=0)
    qkv = torch.full((2, 3, 512), 1 / 512)
    qkv[:, 0] = 1 / case.scale
    qkv[1, 1] *= -1  # scores of 1 and -1
    qkv[1, 2] = 0
    out = feed(case, qkv.flatten(1), chunk=2, dtype=torch.int8)
    torch.testing.assert_close(out[1], torch.full((512,), torch.tensor([1.0, -1.0]).softmax(0)[0] / 512))


@pytest.mark.parametrize("size", [0.0, 1e-31])
def test_next_to_nothing_is_nothing_in_bytes(isa, size):
    case = Case(heads=1, kv_heads=1, head_dim=16, rotary_dims=0)
    assert not feed(case, torch.full((20, 48), size), chunk=20, dtype=torch.int8).any()


@pytest.mark.parametrize("number", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_what_is_no_number_shows_in_bytes_to_all_that_see_it_alone(isa, rng, part, number):
    case = Case(heads=1, kv_heads=1, head_dim=16, rotary_dims=16, sinks=2, window=10)
    qkv = case.random_qkv(40, rng)
    clean = feed(case, qkv, 40, torch.int8)
    for row in (0, 20):
        faulty = qkv.clone()
        faulty[row, {"query": 3, "key": 16 + 3, "value": 32 + 3}[part]] = number
        seen_by = {row} if part == "query" else set(range(40)) if row == 0 else set(range(20, 30))
        for chunk in (1, 40):
            out = feed(case, faulty, chunk, torch.int8)
            for n in range(40):
                assert out[n].isnan().all() if n in seen_by else torch.equal(out[n], clean[n]), n


def test_kv_of_bytes_without_room_for_scales_is_refused():
    with pytest.raises(RuntimeError, match=r"kv must be \[layers, blocks, kv_heads, 2, 1088\], not .*1024"):
        torch.classes.sinkstream.StepContext(
            torch.zeros(1, 8, 3, 2, 1024, dtype=torch.int8), 64, torch.tensor([line_of()]),
            torch.tensor([1, 2, 3], dtype=torch.int32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
def test_the_number_of_threads_changes_no_bit(rng, dtype):
    """With an odd number of sinks two threads write the tokens of a pair."""
    case = Case(sinks=3)
    qkv, results = case.random_qkv(200, rng), []
    for threads in (1, 2, 5):
        ops.set_threads(threads)
        results.append(feed(case, qkv, 70, dtype))
    ops.set_threads(2)
    assert all(torch.equal(result, results[0]) for result in results)


def test_only_the_named_layer_blocks_and_slots_are_written(rng):
    case = Case(sinks=3)
    kv = poisoned_kv(case, 8, layers=3)
    attend(kv, [(Stream(case, [5], [2, 7]), case.random_qkv(25, rng))], layer=1)
    assert kv[[0, 2]].isnan().all() and kv[1, [0, 1, 3, 4, 6]].isnan().all()
    slots = kv[1, :, 0, 0].view(8, case.head_dim, 16)  # keys of head 0: [block, dimension, slot]
    written = (~slots.isnan()).all(dim=1)
    assert written.sum(dim=1).tolist() == [0, 0, 16, 0, 0, 3, 0, 6]


def test_a_key_is_stored_rotated_by_text_position_and_a_value_as_it_is(rng):
    case = Case(heads=1, kv_heads=1, head_dim=16, rotary_dims=16, sinks=2, offset=1000)
    qkv, kv = case.random_qkv(20, rng), poisoned_kv(case, 3)
    attend(kv, [(Stream(case, [0], [1, 2]), qkv)], layer=0)
    _, k, v = qkv.view(20, 3, 16).unbind(1)
    positions = torch.tensor([0, 1, *range(1002, 1020)])
    keys = reference.rotate(k.double()[:, None], positions, case.inv_freq)[:, 0]
    blocks = kv[0, :, 0]
    torch.testing.assert_close(blocks[0, 0].view(16, 16)[:, 1].double(), keys[1], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(blocks[2, 0].view(16, 16)[:, 1].double(), keys[19], atol=1e-6, rtol=1e-6)
    assert torch.equal(blocks[2, 1].view(16, 16)[1], v[19])


def test_numbers_of_bfloat16_lie_in_pairs_of_dimensions_and_of_tokens(isa, rng):
    case = Case(heads=1, kv_heads=1, head_dim=23, rotary_dims=0, sinks=0)
    qkv, kv = case.random_qkv(3, rng), poisoned_kv(case, 1, torch.bfloat16)
    attend(kv, [(Stream(case, [], [0]), qkv)], layer=0)
    _, k, v = qkv.bfloat16().view(3, 3, 23).unbind(1)
    keys, values = kv[0, 0, 0].view(2, 16 * 32)
    assert torch.equal(keys.view(16, 16, 2)[:, :3].transpose(0, 1).reshape(3, 32)[:, :23], k)
    assert torch.equal(values.view(8, 32, 2)[:2].transpose(1, 2).reshape(4, 32)[:3, :23], v)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
@pytest.mark.parametrize("positions", [{}, ALIBI], ids=["rotary", "ALiBi"])
@pytest.mark.parametrize("last", [20, 21])
def test_what_a_later_row_writes_never_reaches_an_earlier_one(isa, rng, positions, dtype, last):
    case = Case(sinks=0, **positions)
    qkv = case.random_qkv(24, rng)
    clean = feed(case, qkv, 24, dtype)
    poisoned = qkv.clone()
    poisoned[last:] = NAN
    assert torch.equal(feed(case, poisoned, 24, dtype)[:last], clean[:last])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
@pytest.mark.parametrize("positions", [{}, ALIBI], ids=["rotary", "ALiBi"])
@pytest.mark.parametrize("first", [3, 4])
def test_what_has_left_the_window_never_comes_back(isa, rng, positions, dtype, first):
    case = Case(sinks=0, window=10, **positions)
    qkv = case.random_qkv(40, rng)
    clean = feed(case, qkv, 40, dtype)
    poisoned = qkv.clone()
    poisoned[:first] = NAN
    seen_by_none = first + 9
    for chunk in (1, 40):
        assert torch.equal(feed(case, poisoned, chunk, dtype)[seen_by_none:], clean[seen_by_none:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("part", ["query", "key", "value"])
@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FC12345, -0x3FEDCB, 0x7F800001, 0x7FFFFFFF],
                         ids=["plain", "payload", "negative", "smallest", "largest"])
def test_a_visible_nan_gives_nan(isa, rng, part, bits, dtype):
    """To a sequence that sees it, among the pinned and among the recent tokens, and to no other row."""
    case = Case(heads=1, kv_heads=1, head_dim=16, rotary_dims=16, sinks=2, window=10)
    qkv = case.random_qkv(40, rng)
    clean = feed(case, qkv, 40, dtype)
    column = {"query": 3, "key": 16 + 3, "value": 32 + 3}[part]
    nan = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    assert nan.isnan()
    for row in (0, 20):
        qkv_with_nan = qkv.clone()
        qkv_with_nan.view(torch.int32)[row, column] = bits
        seen_by = {row} if part == "query" else set(range(40)) if row == 0 else set(range(20, 30))
        for chunk in (1, 40):
            out = feed(case, qkv_with_nan, chunk, dtype)
            for n in range(40):
                if n not in seen_by:
                    assert torch.equal(out[n], clean[n]), n
                elif part == "value":
                    assert out[n].isnan().tolist() == [dim == 3 for dim in range(16)], n
                else:
                    assert out[n].isnan().all(), n


@pytest.mark.parametrize("late", [10_000_000, 2**48 - 2**12])
def test_alibi_distances_are_exact_however_late(isa, rng, late):
    """Pinned tokens at the start of the text, the others a multiple of the block's 16 tokens later."""
    case = Case(heads=6, kv_heads=2, sinks=4, window=60, **ALIBI)
    qkv = case.random_qkv(200, rng)
    kv, stream = poisoned_kv(case, 32), Stream(case, [31], list(range(20)), first=late // BLOCK - 4)
    attend(kv, [(stream, qkv[: case.sinks])])
    stream.position += late
    outs = torch.cat([attend(kv, [(stream, piece)]) for piece in qkv[case.sinks :].split(23)])
    full = case.window - 1  # rows whose window holds no token of the gap
    assert torch.equal(outs[full:], feed(case, qkv, chunk=200)[case.sinks + full :])


def test_slopes_of_zero_change_no_bit(isa, rng):
    case = Case(heads=6, kv_heads=2)
    qkv = case.random_qkv(100, rng)
    kv, stream = poisoned_kv(case, 8), make_stream(case, 100, list(range(8)))
    step = torch.classes.sinkstream.StepContext(
        kv, case.head_dim, torch.tensor([stream.line(100, blocks := [])]), torch.tensor(blocks, dtype=torch.int32))
    rotary = ops.rotary_table(case.inv_freq, step)
    shape = (1, case.heads, case.kv_heads, case.head_dim, case.scale, step)
    without = ops.sink_attention(qkv, rotary, *shape)
    assert torch.equal(ops.sink_attention(qkv, rotary, *shape, torch.zeros(case.heads)), without)


@pytest.mark.parametrize("magnitude", [1.0, 1.25])
def test_a_table_of_angles_is_double_however_late(isa, magnitude):
    case = Case(offset=10_000_000)
    kv = poisoned_kv(case, 8)
    blocks = []
    line = Stream(case, [0], [1, 2, 3, 4, 5, 6, 7], position=0).line(100, blocks)
    step = torch.classes.sinkstream.StepContext(kv, 64, torch.tensor([line]), torch.tensor(blocks, dtype=torch.int32))
    table = ops.rotary_table(case.inv_freq, step, magnitude)
    wanted = reference.rotary_table(
        case.inv_freq, torch.arange(100), case.sinks, case.window, case.offset, magnitude)
    torch.testing.assert_close(table.double(), wanted, atol=1e-7, rtol=0)


def line_of(**changes) -> list[int]:
    fields = {"start": 30, "rows": 4, "sinks": 4, "window": 60, "pinned_begin": 0, "recent_begin": 1,
              "recent_count": 2, "first_recent_block": 0, "rotary_offset": 0}
    return list((fields | changes).values())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (line_of(start=-1), "start is out of range"),
        (line_of(rows=0), "rows is out of range"),
        (line_of(sinks=-1), "sinks is out of range"),
        (line_of(window=0), "window is out of range"),
        (line_of(window=2**60), "window is out of range"),
        (line_of(rotary_offset=2**60), "rotary_offset is out of range"),
        (line_of(pinned_begin=3), "pinned blocks are missing"),
        (line_of(sinks=100, start=50), "pinned blocks are missing"),
        (line_of(recent_count=3), "outside the block list"),
        (line_of(recent_begin=-1), "outside the block list"),
        (line_of(recent_count=1), "do not cover"),
        (line_of(first_recent_block=1), "do not cover"),
        (line_of(start=40), "do not cover"),
    ],
)
def test_a_step_that_would_leave_its_blocks_is_refused(line, message):
    make = torch.classes.sinkstream.StepContext
    kv, blocks = poisoned_kv(Case(), 8), torch.tensor([1, 2, 3], dtype=torch.int32)
    make(kv, 64, torch.tensor([line_of()]), blocks)
    with pytest.raises(RuntimeError, match=f"sequence 0: .*{message}"):
        make(kv, 64, torch.tensor([line]), blocks)


def test_a_step_with_a_block_that_does_not_exist_is_refused():
    with pytest.raises(RuntimeError, match="block 8 of 8"):
        torch.classes.sinkstream.StepContext(
            poisoned_kv(Case(), 8), 64, torch.tensor([line_of()]), torch.tensor([1, 2, 8], dtype=torch.int32))


def step_of(case: Case) -> torch.ScriptObject:
    """Four rows."""
    return torch.classes.sinkstream.StepContext(
        poisoned_kv(case, 8), case.head_dim, torch.tensor([line_of()]), torch.tensor([1, 2, 3], dtype=torch.int32))


def test_attention_that_does_not_fit_the_step_is_refused(rng):
    case = Case()
    step = step_of(case)
    rotary = ops.rotary_table(case.inv_freq, step)
    for qkv, layer, kv_heads in ((case.random_qkv(3, rng), 0, 3), (case.random_qkv(4, rng), 2, 3),
                                 (case.random_qkv(4, rng), -1, 3), (case.random_qkv(4, rng), 0, 1)):
        with pytest.raises(RuntimeError, match="sink_attention: "):
            ops.sink_attention(qkv, rotary, layer, 9, kv_heads, 64, 0.125, step)


@pytest.mark.parametrize(
    ("rotary", "slopes", "message"),
    [
        (torch.zeros(3, 2, 2, 32), None, r"rotary is \[3, 2, 2, 32\]"),
        (torch.zeros(4, 2, 2, 33), None, r"rotary is \[4, 2, 2, 33\]"),
        (torch.zeros(4, 2, 2), None, "rotary must be float32 with 4 dimensions"),
        (None, torch.zeros(8), r"slopes is \[8\] for 9 heads"),
        (None, torch.zeros(9, 1), "slopes must be float32 with 1 dimensions"),
        (None, torch.zeros(9, dtype=torch.float64), "slopes must be float32"),
        (None, torch.full((9,), NAN), "slopes must be within .* not nan"),
        (None, torch.full((9,), 1e7), "slopes must be within"),
    ],
)
def test_positions_that_do_not_fit_are_refused(rng, rotary, slopes, message):
    case = Case()
    with pytest.raises(RuntimeError, match=f"sink_attention: {message}"):
        ops.sink_attention(case.random_qkv(4, rng), rotary, 0, 9, 3, 64, 0.125, step_of(case), slopes)


@pytest.mark.parametrize("magnitude", [0.0, -1.0, NAN, float("inf")])
def test_a_magnitude_that_is_no_scale_is_refused(magnitude):
    with pytest.raises(RuntimeError, match="rotary_table: magnitude must be positive"):
        ops.rotary_table(Case().inv_freq, step_of(Case()), magnitude)


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [
    (2**32 + 9, 3, 64), (9, 2**32 + 3, 64), (9, 3, 2**32 + 64), (-9, 3, 64), (0, 3, 64)])
def test_attention_of_heads_beyond_an_int_is_refused(rng, heads, kv_heads, head_dim):
    """2**32 + 9 is 9 once it is cut to an int."""
    case = Case()
    step = step_of(case)
    rotary = ops.rotary_table(case.inv_freq, step)
    with pytest.raises(RuntimeError, match="sink_attention: "):
        ops.sink_attention(case.random_qkv(4, rng), rotary, 0, heads, kv_heads, head_dim, 0.125, step)
