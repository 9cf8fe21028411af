"""Matrices of bytes. In GGUF's blocks, uint8 [out, in / 32, bytes of a block], a block being 32 weights of one row, the
kind is told by the block's bytes. d and m are float16:
  Q4_0 (18): d, 16 bytes of codes q: weight i in the low half of byte i, weight i + 16 in the high one; d * (q - 8)
  Q4_1 (20): d, m, codes as above; d * q + m
  Q8_0 (34): d, 32 int8; d * q
INT8_ROWS is uint8 [out, 4 + in]: of a row d, float32, and `in` int8; d * q.
Rows can be moved, stacked and left out as whole ones.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 32  # weights
INT8_ROWS = "int8 rows"
ROW_GROUP = 64  # of INT8_ROWS `in` is a multiple of it
BYTES = {"Q4_0": 18, "Q4_1": 20, "Q8_0": 34}  # of a block
_KINDS = {size: kind for kind, size in BYTES.items()}
_PIECE = 1 << 18  # weights that are worked on at once: each takes several copies


def kind(matrix: Tensor) -> str:
    return INT8_ROWS if matrix.dim() == 2 else _KINDS[matrix.shape[-1]]


def int8_rows(weight: Tensor) -> Tensor:
    """Of float [out, in], `in` a multiple of 64: symmetric, to the nearest, ties to even."""
    result = torch.empty(weight.shape[0], 4 + weight.shape[1], dtype=torch.uint8)
    return _by_rows(weight, result, _int8_rows)


def q8_0(weight: Tensor) -> Tensor:
    """Of float [out, in], `in` a multiple of 32: symmetric, as ggml rounds."""
    return _by_rows(weight, _empty_blocks(weight, "Q8_0"), _q8_0)


def q4_1(weight: Tensor) -> Tensor:
    """Of float [out, in], `in` a multiple of 32: from the block's least to its largest weight, as ggml rounds."""
    return _by_rows(weight, _empty_blocks(weight, "Q4_1"), _q4_1)


def dequantize(matrix: Tensor) -> Tensor:
    """float32 [out, in]."""
    inputs = matrix.shape[1] - 4 if kind(matrix) == INT8_ROWS else matrix.shape[1] * BLOCK
    return _by_rows(matrix, torch.empty(matrix.shape[0], inputs), _RESTORE[kind(matrix)])


def activation_group(kind: str) -> int:
    """How many activations share a scale where they meet a matrix of this kind."""
    return ROW_GROUP if kind == INT8_ROWS else BLOCK


def round_activations(x: Tensor, group: int) -> Tensor:
    """What the operators make of [..., in] that meets bytes: each `group` numbers of a row in 8 bits, symmetric; zeros
    where none reaches 1e-30."""
    groups = _groups(x, group)
    largest = groups.abs().amax(-1, keepdim=True)
    scale = torch.where(largest < 1e-30, 0, largest / 127)
    return ((groups * _inverse(scale)).round() * scale).flatten(-2)


def first_unbounded_row(matrix: Tensor) -> int | None:
    """The first row with a d or m that is no finite number, as of weights that it cannot scale."""
    finite = torch.isfinite(_scales(matrix)).flatten(1).all(dim=1)
    return None if finite.all() else int(finite.logical_not().nonzero()[0])


def _empty_blocks(weight: Tensor, kind: str) -> Tensor:
    return torch.empty(weight.shape[0], weight.shape[1] // BLOCK, BYTES[kind], dtype=torch.uint8)


def _by_rows(matrix: Tensor, result: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`result`, filled with what `change` makes of the matrix's rows."""
    rows = max(1, _PIECE * len(matrix) // max(1, matrix.numel()))
    for piece, changed in zip(matrix.split(rows), result.split(rows)):
        changed.copy_(change(piece))
    return result


def _q8_0(weight: Tensor) -> Tensor:
    groups = _groups(weight.float())
    scale = groups.abs().amax(-1, keepdim=True) / 127
    scaled = groups * _inverse(scale)
    whole = scaled.trunc()
    codes = whole + (2 * (scaled - whole)).trunc()  # halves away from zero
    return torch.cat([_half(scale), codes.to(torch.int8).view(torch.uint8)], dim=-1)


def _q4_1(weight: Tensor) -> Tensor:
    groups = _groups(weight.float())
    least, largest = groups.aminmax(dim=-1, keepdim=True)
    scale = (largest - least) / 15
    codes = ((groups - least) * _inverse(scale) + 0.5).clamp(0, 15).to(torch.uint8)
    low, high = codes.chunk(2, dim=-1)
    return torch.cat([_half(scale), _half(least), low | high << 4], dim=-1)


def _int8_rows(weight: Tensor) -> Tensor:
    rows = weight.float()
    scale = rows.abs().amax(-1, keepdim=True) / 127
    codes = (rows * _inverse(scale)).round().to(torch.int8)
    return torch.cat([scale.view(torch.uint8), codes.view(torch.uint8)], dim=-1)


def _groups(weight: Tensor, size: int = BLOCK) -> Tensor:
    return weight.unflatten(-1, (-1, size))


def _inverse(scale: Tensor) -> Tensor:
    return torch.where(scale == 0, 0, 1 / scale)


def _half(scale: Tensor) -> Tensor:
    return scale.half().view(torch.uint8)


def _restore_q8_0(blocks: Tensor) -> Tensor:
    codes = blocks[..., 2:].contiguous().view(torch.int8)
    return (_scales(blocks) * codes).flatten(1)


def _restore_q4_0(blocks: Tensor) -> Tensor:
    return (_scales(blocks) * (_nibbles(blocks[..., 2:]) - 8)).flatten(1)


def _restore_q4_1(blocks: Tensor) -> Tensor:
    scale, least = _scales(blocks).split(1, dim=-1)
    return (scale * _nibbles(blocks[..., 4:]) + least).flatten(1)


def _restore_int8_rows(rows: Tensor) -> Tensor:
    return _scales(rows) * rows[:, 4:].contiguous().view(torch.int8)


_RESTORE = {INT8_ROWS: _restore_int8_rows, "Q4_0": _restore_q4_0, "Q4_1": _restore_q4_1, "Q8_0": _restore_q8_0}


def _scales(matrix: Tensor) -> Tensor:
    """float32 [out, in / 32, 1], of Q4_1 with the minimum [out, in / 32, 2], of INT8_ROWS [out, 1]."""
    if kind(matrix) == INT8_ROWS:
        return matrix[:, :4].contiguous().view(torch.float32)
    size = 4 if kind(matrix) == "Q4_1" else 2
    return matrix[..., :size].contiguous().view(torch.float16).float()


def _nibbles(codes: Tensor) -> Tensor:
    """float32 [..., 32] of uint8 [..., 16]."""
    return torch.cat([codes & 15, codes >> 4], dim=-1).float()
