"""Weights as LinearWeight takes them: plain, as GGUF's blocks (made by gguf's own Python) and as rows of bytes."""

import gguf
import torch
from torch import Tensor

BLOCKS = {name: gguf.GGMLQuantizationType[name] for name in ("Q4_0", "Q4_1", "Q8_0")}
ROWS = "rows"
BLOCK = 32  # inputs


def rows_of_bytes(scales: Tensor, codes: Tensor) -> Tensor:
    """float32 [out, 1], int8 [out, in] -> uint8 [out, 4 + in]."""
    return torch.cat([scales.contiguous().view(torch.uint8), codes.view(torch.uint8)], dim=1)


def in_format(weight: Tensor, format: str) -> Tensor:
    """float32 [out, in] in "float32", "bfloat16", ROWS or one of BLOCKS: the latter uint8 [out, in / 32, bytes of a block]."""
    if format == ROWS:
        scales = weight.abs().amax(1, keepdim=True).clamp(min=1e-6) / 127
        return rows_of_bytes(scales, (weight / scales).round().to(torch.int8))
    if format not in BLOCKS:
        return weight.to(getattr(torch, format))
    blocks = torch.from_numpy(gguf.quants.quantize(weight.numpy(), BLOCKS[format]))
    return blocks.view(len(weight), weight.shape[1] // BLOCK, -1)
