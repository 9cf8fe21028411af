"""One text fed through the attention operator in pieces, its blocks scattered over a poisoned pool."""

from dataclasses import dataclass

import torch
from sinkstream_export.step import make_kv
from torch import Tensor

BLOCK = 16
NAN = float("nan")


@dataclass(frozen=True)
class Case:
    """Shapes of one attention layer and the session's sinks and window."""

    heads: int = 9
    kv_heads: int = 3
    head_dim: int = 64
    rotary_dims: int = 64
    sinks: int = 4
    window: int = 60
    offset: int = 0
    alibi: bool = False
    magnitude: float = 1.0

    @property
    def inv_freq(self) -> Tensor | None:
        if self.rotary_dims == 0:
            return None
        return 1.0 / 10000.0 ** (torch.arange(0, self.rotary_dims, 2, dtype=torch.float64) / self.rotary_dims)

    @property
    def slopes(self) -> Tensor | None:
        return 2.0 ** (-8.0 * torch.arange(1, self.heads + 1) / self.heads) if self.alibi else None

    @property
    def scale(self) -> float:
        return self.head_dim**-0.5

    def random_qkv(self, rows: int, rng: torch.Generator) -> Tensor:
        return torch.randn(rows, (self.heads + 2 * self.kv_heads) * self.head_dim, generator=rng)


def poisoned_kv(case: Case, blocks: int, dtype: torch.dtype = torch.float32, layers: int = 2) -> Tensor:
    """What lies in blocks of sessions gone by is never to be seen: NaN makes it show, of int8 in the scales."""
    kv = make_kv(layers, blocks, case.kv_heads, case.head_dim, dtype, fill=NAN)
    if dtype == torch.int8:
        kv[..., : -BLOCK * 4].fill_(99)
    return kv


@dataclass
class Stream:
    """A sequence whose every block stays: pinned token i in pinned[i / 16], recent token m in recent[(m - S) / 16 - first]."""

    case: Case
    pinned: list[int]
    recent: list[int]
    position: int = 0
    first: int = 0

    def line(self, rows: int, blocks: list[int]) -> list[int]:
        """This sequence's line of `sequences` for its next `rows` tokens; its blocks are added to `blocks`."""
        case, end = self.case, self.position + rows
        first = max(0, max(case.sinks, self.position - case.window + 1) - case.sinks) // BLOCK
        pinned_begin = len(blocks)
        blocks += self.pinned
        recent_begin = len(blocks)
        table = self.recent[first - self.first :]
        blocks += table
        self.position = end
        return [end - rows, rows, case.sinks, case.window, pinned_begin, recent_begin, len(table), first, case.offset]


def make_stream(case: Case, tokens: int, ids: list[int]) -> Stream:
    """Takes what `tokens` tokens need from the front of `ids`."""
    count_pinned = -(-min(case.sinks, tokens) // BLOCK)
    count_recent = -(-max(0, tokens - case.sinks) // BLOCK)
    taken = [ids.pop(0) for _ in range(count_pinned + count_recent)]
    return Stream(case, taken[:count_pinned], taken[count_pinned:])


def attend(kv: Tensor, parts: list[tuple[Stream, Tensor]], layer: int = 1) -> Tensor:
    """One step: each stream's next rows of qkv. All streams have the same shapes."""
    case, blocks = parts[0][0].case, []
    lines = [stream.line(len(qkv), blocks) for stream, qkv in parts]
    step = torch.classes.sinkstream.StepContext(
        kv, case.head_dim, torch.tensor(lines), torch.tensor(blocks, dtype=torch.int32))
    ops, inv_freq = torch.ops.sinkstream, case.inv_freq
    rotary = None if inv_freq is None else ops.rotary_table(inv_freq, step, case.magnitude)
    return ops.sink_attention(
        torch.cat([qkv for _, qkv in parts]), rotary, layer, case.heads, case.kv_heads, case.head_dim, case.scale, step,
        case.slopes)


def feed(case: Case, qkv: Tensor, chunk: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The whole text in pieces of `chunk` rows, in a pool whose blocks are taken from the far end downwards."""
    pool = 2 + -(-len(qkv) // BLOCK) + -(-case.sinks // BLOCK)
    kv = poisoned_kv(case, pool, dtype)
    stream = make_stream(case, len(qkv), list(range(pool - 1, -1, -1)))
    return torch.cat([attend(kv, [(stream, piece)]) for piece in qkv.split(chunk)])
