"""Cells: what is asked of every peer, and what the figure of a cell is.

    reply-N    N sessions at once, a prompt of 16 tokens and a reply of 128 each; tokens of the replies a second, from the
               start to the last token: reading the prompts is part of it
    prefill-1  one prompt of 512 tokens and one token of reply; tokens of the prompt a second until that token
    history-N  replies of 64 tokens behind 448 tokens of history, while all N sessions are in their reply
    endless-N  replies that go on when a cache of 512 tokens is full, from where it is full, while all N go on

Replies are greedy and do not end before their length.
"""

from dataclasses import dataclass

ENDLESS_CACHE = 512


@dataclass(frozen=True)
class Cell:
    kind: str
    sessions: int
    prompt_tokens: int
    new_tokens: int
    cache_tokens: int = 1024  # what a session's cache must hold; an endless one has just that

    @property
    def name(self):
        return f"{self.kind}-{self.sessions}"

    @property
    def unmeasured_tokens(self):
        """Tokens of a reply that come before the figure begins."""
        return self.cache_tokens - self.prompt_tokens if self.kind == "endless" else 0


def _cells():
    yield from (Cell("reply", n, 16, 128) for n in (1, 2, 4, 8, 16, 32, 64))
    yield Cell("prefill", 1, 512, 1)
    yield from (Cell("history", n, 448, 64) for n in (1, 8, 32))
    yield Cell("endless", 1, 16, 1520, ENDLESS_CACHE)
    yield from (Cell("endless", n, 16, 1008, ENDLESS_CACHE) for n in (8, 32))


CELLS = {cell.name: cell for cell in _cells()}
QUICK = ("reply-1", "reply-8", "reply-32", "prefill-1")


def chosen(names):
    """The cells of a comma-separated list; "quick", "all" and kinds ("reply") stand for several. ValueError names what is none."""
    groups = {"quick": QUICK, "all": tuple(CELLS)}
    for name, cell in CELLS.items():
        groups[name] = (name,)
        groups[cell.kind] = (*groups.get(cell.kind, ()), name)
    wanted = []
    for name in names.split(","):
        if name not in groups:
            raise ValueError(f"no cell {name!r}; there are {', '.join(groups)}")
        wanted += [one for one in groups[name] if one not in wanted]
    return [CELLS[name] for name in wanted]
