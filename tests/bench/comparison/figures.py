"""Figures: from the times at which tokens arrived to what a cell is compared by. Pure.

Rates are tokens a second, latencies milliseconds.
"""

import itertools
import math
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """Of one measurement; what a peer does not tell is None."""

    rate: float
    ttft_ms: float | None = None
    itl_ms: float | None = None
    itl_p99_ms: float | None = None


def percentile(values, share):
    """The nearest rank: the smallest value that at least `share` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def from_arrivals(cell, arrivals):
    """`arrivals`: of each session, the seconds from the start to each token of its reply, rising."""
    if len(arrivals) != cell.sessions or any(len(times) != cell.new_tokens for times in arrivals):
        counts = sorted({len(times) for times in arrivals})
        raise ValueError(f"{len(arrivals)} replies of {counts} tokens, not {cell.sessions} of {cell.new_tokens}")
    begin, end = _measured_span(cell, arrivals)
    gaps = [b - a for times in arrivals for a, b in itertools.pairwise(times) if begin <= a and b <= end]
    return Figures(rate=_rate(cell, arrivals, begin, end),
                   ttft_ms=1000 * statistics.median(times[0] for times in arrivals),
                   itl_ms=1000 * statistics.median(gaps) if gaps else None,
                   itl_p99_ms=1000 * percentile(gaps, 0.99) if gaps else None)


def _measured_span(cell, arrivals):
    if cell.kind in ("reply", "prefill"):
        return 0.0, max(times[-1] for times in arrivals)
    # While all sessions decode: from the last to get there until the first to end.
    return max(times[cell.unmeasured_tokens] for times in arrivals), min(times[-1] for times in arrivals)


def _rate(cell, arrivals, begin, end):
    if cell.kind == "prefill":
        return cell.prompt_tokens / arrivals[0][0]
    if end <= begin:
        raise ValueError("the sessions did not decode at the same time")
    return sum(begin < time <= end for times in arrivals for time in times) / (end - begin)


@dataclass(frozen=True)
class Summary:
    """Of the rounds of one peer in one cell: medians, and the least and the most rate."""

    rate: float
    least: float
    most: float
    rounds: int
    ttft_ms: float | None
    itl_ms: float | None
    itl_p99_ms: float | None


def summary(rounds):
    """`rounds`: Figures, at least one."""

    def median(name):
        values = [value for value in (getattr(figures, name) for figures in rounds) if value is not None]
        return statistics.median(values) if values else None

    rates = [figures.rate for figures in rounds]
    return Summary(median("rate"), min(rates), max(rates), len(rounds), median("ttft_ms"), median("itl_ms"),
                   median("itl_p99_ms"))


def best_rate(of_cell, peers):
    """(name, rate) of the fastest of `peers` in {name: Summary}; None where none was measured."""
    rates = {name: of_cell[name].rate for name in peers if name in of_cell}
    return max(rates.items(), key=lambda item: item[1]) if rates else None


def least_ttft(of_cell, peers):
    """(name, milliseconds) of the peer whose first token comes first; None where none tells."""
    times = {name: of_cell[name].ttft_ms for name in peers if name in of_cell and of_cell[name].ttft_ms is not None}
    return min(times.items(), key=lambda item: item[1]) if times else None
