"""The slopes of attention with linear biases (Press et al. 2022)."""

import torch
from torch import Tensor

from .checkpoint import Alibi


def slopes(alibi: Alibi, heads: int) -> Tensor:
    """float32 [heads]. Of n heads, n a power of two, head i (from 1) has 2^(-bias_max * i / n). Another number of heads
    takes those of the next power of two: first every second one, then the others, as far as there are heads."""
    n = 1 << (heads - 1).bit_length()
    exponents = torch.arange(1, n + 1, dtype=torch.float64) * (alibi.bias_max / n)
    if n != heads:
        exponents = torch.cat([exponents[1::2], exponents[::2]])[:heads]
    return (alibi.scale * torch.pow(2.0, -exponents)).to(torch.float32)
