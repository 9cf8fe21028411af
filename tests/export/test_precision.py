"""What --dtype makes of the source's tensors."""

from collections import Counter

import gguf
import pytest
import torch
from sinkstream_export import quantize
from sinkstream_export.checkpoint import ExportError, LazyTensors, Quantized
from sinkstream_export.precision import Precision

FLOATS = {name: torch.randn(8, 64, generator=torch.Generator().manual_seed(seed)) for seed, name in enumerate("abc")}


def tensors(**kinds):
    """a, b, c [8, 64] as a source holds them: of a kind of GGUF's, or as floats."""
    values, quantized = dict(FLOATS), {}
    for name, kind in kinds.items():
        if kind in ("Q4_0", "Q4_1", "Q8_0", "Q5_0"):
            kind_of_gguf = gguf.GGMLQuantizationType[kind]
            data = gguf.quantize(FLOATS[name].numpy(), kind_of_gguf)
            values[name] = torch.tensor(gguf.dequantize(data, kind_of_gguf))
            blocks = torch.tensor(data).unflatten(-1, (2, -1))
            quantized[name] = Quantized(kind, lambda blocks=blocks: blocks)
    return LazyTensors({name: lambda name=name: values[name] for name in values},
                       {name: tuple(value.shape) for name, value in values.items()}, quantized)


@pytest.mark.parametrize("dtype, source, vocabulary, kind", [
    ("int8", "Q8_0", False, "Q8_0"), ("int8", "Q8_0", True, "Q8_0"), ("int4", "floats", False, "Q4_1"), ("int4", "floats", True, "Q8_0"),
    ("int4", "Q4_0", False, "Q4_0"), ("int4", "Q4_0", True, "Q4_0"), ("int4", "Q4_1", False, "Q4_1"),
    ("int4", "Q8_0", False, "Q8_0"), ("int4", "Q5_0", False, "Q8_0"),
])
def test_kind_follows_from_the_dtype_and_the_source(dtype, source, vocabulary, kind):
    precision, held = Precision(dtype), tensors(a=source)
    blocks = precision.matrix(held, "a", vocabulary=vocabulary)
    assert precision.kinds == {kind: 1}
    if source == kind:
        assert torch.equal(blocks, held.quantized("a").read())
    else:
        expected = gguf.quantize(held["a"].numpy(), gguf.GGMLQuantizationType[kind])
        assert torch.equal(blocks.flatten(1), torch.tensor(expected))
    restored = gguf.dequantize(blocks.flatten(1).numpy(), gguf.GGMLQuantizationType[kind])
    assert torch.equal(precision.restored(held, "a"), torch.tensor(restored))


@pytest.mark.parametrize("source", ["floats", "Q4_1", "Q5_0"])
def test_int8_is_rows_of_bytes_where_the_source_has_no_bytes(source):
    precision, held = Precision("int8"), tensors(a=source)
    rows = precision.matrix(held, "a")
    assert precision.kinds == {quantize.INT8_ROWS: 1}
    assert torch.equal(rows, quantize.int8_rows(held["a"]))
    assert torch.equal(precision.restored(held, "a"), quantize.dequantize(rows))


def test_int8_is_blocks_where_rows_have_no_whole_groups_of_64():
    held = LazyTensors({"w": lambda: torch.ones(8, 96)}, {"w": (8, 96)})
    precision = Precision("int8")
    assert precision.matrix(held, "w").shape == (8, 3, 34) and precision.kinds == {"Q8_0": 1}


@pytest.mark.parametrize("kinds, becomes", [
    (dict(a="Q4_1", b="Q4_1", c="Q4_1"), "Q4_1"), (dict(a="Q4_1", b="Q4_0", c="Q4_1"), "Q8_0"),
    (dict(a="Q4_1", b="Q4_1", c="Q8_0"), "Q8_0"), (dict(a="Q4_1", b="Q5_0", c="Q4_1"), "Q8_0"),
    (dict(a="Q4_1"), "Q4_1"),  # beside floats, which become Q4_1
])
def test_stack_is_of_one_kind_and_in_the_order_of_its_parts(kinds, becomes):
    precision, held = Precision("int4"), tensors(**kinds)
    stack = precision.matrix(held, "a", "b", "c")
    assert precision.kinds == Counter({becomes: 3})
    restored = gguf.dequantize(stack.flatten(1).numpy(), gguf.GGMLQuantizationType[becomes])
    assert torch.equal(torch.cat([precision.restored(held, name) for name in "abc"]), torch.tensor(restored))


@pytest.mark.parametrize("dtype, atol", [("float32", 0), ("bfloat16", 0.02)])
def test_floats_are_rounded(dtype, atol):
    precision, held = Precision(dtype), tensors()
    stack = precision.matrix(held, "a", "b")
    assert stack.dtype == getattr(torch, dtype)
    torch.testing.assert_close(stack.float(), torch.cat([FLOATS["a"], FLOATS["b"]]), atol=atol, rtol=0)
    assert torch.equal(precision.restored(held, "b"), stack[8:].float())


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_rows_that_blocks_do_not_fill_are_refused_by_name(dtype):
    held = LazyTensors({"model.layers.0.mlp.up_proj.weight": lambda: torch.ones(8, 80)},
                       {"model.layers.0.mlp.up_proj.weight": (8, 80)})
    with pytest.raises(ExportError, match=f"^--dtype {dtype}: model.layers.0.mlp.up_proj.weight: in 80 is not a multiple"
                                          " of 32, the weights of a block; float32 and bfloat16 take any$"):
        Precision(dtype).matrix(held, "model.layers.0.mlp.up_proj.weight")


@pytest.mark.parametrize("dtype, value, scale", [("int4", 1e9, "float16"), ("int8", float("inf"), "float32")])
def test_weight_that_no_scale_reaches_is_refused_by_name_and_row(dtype, value, scale):
    weight = torch.ones(8, 64)
    weight[5, 40] = value
    held = LazyTensors({"w": lambda: weight}, {"w": (8, 64)})
    with pytest.raises(ExportError, match=f"^--dtype {dtype}: w: row 5 has a scale that is no finite {scale}$"):
        Precision(dtype).matrix(held, "w")


def test_missing_tensor_is_named():
    with pytest.raises(ExportError, match="the checkpoint has no tensor d"):
        Precision("int8").matrix(tensors(), "d")
