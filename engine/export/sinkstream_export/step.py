"""Makes the inputs of a model step in Python, for the verifier and for tests: a KV pool, block tables, StepContext.

The server does the same in engine/kv/kv_window.h; docs/model_artifact.md describes the tensors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import torch

from .checkpoint import DecoderConfig

BLOCK_TOKENS = 16


def make_kv(
    layers: int, num_blocks: int, kv_heads: int, head_dim: int, dtype: torch.dtype = torch.float32, fill: float = 0.0
) -> torch.Tensor:
    """A KV pool: [layers, num_blocks, kv_heads, 2, 16 * D], D = head_dim rounded up to a multiple of 16.

    Of int8 it is [..., 16 * D + 64]: codes, and behind them the scales, float32 and full of `fill`.
    """
    codes = BLOCK_TOKENS * -(-head_dim // 16) * 16
    shape = (layers, num_blocks, kv_heads, 2)
    if dtype != torch.int8:
        return torch.full((*shape, codes), fill, dtype=dtype)
    kv = torch.zeros(*shape, codes + BLOCK_TOKENS * 4, dtype=dtype)
    kv[..., codes:].view(torch.float32).fill_(fill)
    return kv


class BlockPool:
    """Ids of free blocks. A block given back is the next one taken, so that stale contents show."""

    def __init__(self, num_blocks: int):
        self._free = list(reversed(range(num_blocks)))

    def take(self) -> int:
        return self._free.pop()

    def give_back(self, block: int) -> None:
        self._free.append(block)


@dataclass
class SequenceStep:
    """One sequence's part of a step: `rows` tokens at text positions start, start + 1, ..."""

    start: int
    rows: int
    sinks: int
    window: int
    pinned_blocks: list[int]
    recent_blocks: list[int]
    first_recent_block: int
    rotary_offset: int = 0


@dataclass
class KvWindow:
    """One stream's blocks: pinned tokens for ever, recent ones until they have left the window."""

    pool: BlockPool
    sinks: int
    window: int
    rotary_offset: int = 0
    length: int = 0  # tokens fed so far
    pinned: list[int] = field(default_factory=list)
    recent: dict[int, int] = field(default_factory=dict)  # index of a recent block -> block id

    def feed(self, count: int) -> SequenceStep:
        """The next `count` tokens: gives back the blocks that no token to come will read, takes the new ones."""
        start, end = self.length, self.length + count
        first = self._recent_index(max(self.sinks, start - self.window + 1))
        for index in [index for index in self.recent if index < first]:
            self.pool.give_back(self.recent.pop(index))
        while len(self.pinned) * BLOCK_TOKENS < min(end, self.sinks):
            self.pinned.append(self.pool.take())
        if end > self.sinks:
            for index in range(first, self._recent_index(end - 1) + 1):
                if index not in self.recent:
                    self.recent[index] = self.pool.take()
        self.length = end
        blocks = [self.recent[index] for index in sorted(self.recent)]
        return SequenceStep(start, count, self.sinks, self.window, list(self.pinned), blocks,
                            first if blocks else 0, self.rotary_offset)

    def _recent_index(self, position: int) -> int:
        return (position - self.sinks) // BLOCK_TOKENS


def blocks_needed(sinks: int, window: int, chunk: int) -> int:
    """Blocks that a stream fed in chunks of at most `chunk` tokens holds at most."""
    return -(-sinks // BLOCK_TOKENS) + (window + chunk - 2) // BLOCK_TOKENS + 2


def make_tables(sequences: list[SequenceStep]) -> tuple[torch.Tensor, torch.Tensor]:
    """(int64 [Q, 9] sequences, int32 [B] blocks) of a StepContext."""
    rows, blocks = [], []
    for part in sequences:
        pinned_begin = len(blocks)
        blocks += part.pinned_blocks
        recent_begin = len(blocks)
        blocks += part.recent_blocks
        rows.append([part.start, part.rows, part.sinks, part.window, pinned_begin, recent_begin,
                     len(part.recent_blocks), part.first_recent_block, part.rotary_offset])
    return torch.tensor(rows, dtype=torch.int64), torch.tensor(blocks, dtype=torch.int32)


def make_step(kv: torch.Tensor, head_dim: int, sequences: list[SequenceStep]) -> torch.ScriptObject:
    """A StepContext over `kv`. The operator library must be loaded."""
    return torch.classes.sinkstream.StepContext(kv, head_dim, *make_tables(sequences))


def stream_logits(
    module: torch.nn.Module, config: DecoderConfig, tokens: torch.Tensor, sinks: int, window: int, chunk: int,
    rotary_offset: int = 0, kv_dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Logits [tokens, vocab_size] of one stream that is fed `tokens` (int64 [T]) in chunks of `chunk`."""
    num_blocks = blocks_needed(sinks, window, chunk)
    kv = make_kv(config.layers, num_blocks, config.kv_heads, config.head_dim, kv_dtype)
    stream = KvWindow(BlockPool(num_blocks), sinks, window, rotary_offset)
    logits = []
    for begin, end in pairwise([*range(0, len(tokens), chunk), len(tokens)]):
        step = make_step(kv, config.head_dim, [stream.feed(end - begin)])
        logits.append(module(tokens[begin:end], torch.arange(end - begin), step))
    return torch.cat(logits)
