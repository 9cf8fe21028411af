"""The report in markdown: a table of rates with ratios to the best peer of each cell, one of latencies. Pure."""

import textwrap

from comparison.cells import CELLS
from comparison.figures import best_rate, least_ttft
from comparison.results import other_cores, resident, summaries

_HEADINGS = {"reply": "sessions: ", "prefill": "prefill of 512", "history": "448 of history: ", "endless": "endless: "}
_NONE = "–"


def _heading(cell):
    name = _HEADINGS[cell.kind]
    return name if cell.kind == "prefill" else f"{name}{cell.sessions}"


def number(value):
    """Three digits or more."""
    if value is None:
        return _NONE
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _in_order(document):
    """Peers, then ours; each in the order in which they first came."""
    names = list(dict.fromkeys(one["peer"] for one in document["measurements"]))
    return [name for name in names if name not in document["ours"]], [name for name in names if name in document["ours"]]


def rate_table(document):
    """Medians of tokens a second; below, ours as a ratio to the best of the peers."""
    by_cell = summaries(document)
    peers, ours = _in_order(document)
    rows = []
    for name in peers + ours:
        rows.append([name, *(number(cell[name].rate) if name in cell else _NONE for cell in by_cell.values())])
    for name in ours:
        rows.append([f"**{name} / best peer**", *(_ratio(cell, name, peers) for cell in by_cell.values())])
    return _table(["tokens/s", *(_heading(CELLS[cell]) for cell in by_cell)], rows)


def _ratio(of_cell, name, peers):
    best = best_rate(of_cell, peers)
    return f"**{of_cell[name].rate / best[1]:.2f}**" if best and name in of_cell else _NONE


def latency_table(document):
    """Medians: time to the first token, and between tokens with its 99th percentile."""
    by_cell = summaries(document)
    peers, ours = _in_order(document)

    def entry(of_cell, name):
        if name not in of_cell:
            return _NONE
        one = of_cell[name]
        return f"{number(one.ttft_ms)}; {number(one.itl_ms)} ({number(one.itl_p99_ms)})"

    rows = [[name, *(entry(cell, name) for cell in by_cell.values())] for name in peers + ours]
    return _table(["ms: TTFT; ITL (p99)", *(_heading(CELLS[cell]) for cell in by_cell)], rows)


def _first_token_lines(document):
    peers, ours = _in_order(document)
    of_cell = summaries(document).get("reply-1", {})
    best = least_ttft(of_cell, peers)
    if not best:
        return []
    return [f"- first token of a 16-token turn on an idle server: {name} {number(of_cell[name].ttft_ms)} ms, "
            f"{of_cell[name].ttft_ms / best[1]:.2f} of {best[0]}'s {number(best[1])} ms" for name in ours if name in of_cell]


def _endless_lines(document):
    """Whether a full cache costs what a cache of that size costs."""
    by_cell = summaries(document)
    lines = []
    for name in _in_order(document)[1]:
        shares = [f"{by_cell[f'endless-{n}'][name].rate / by_cell[f'history-{n}'][name].rate:.2f} of {n}" for n in (1, 8, 32)
                  if name in by_cell.get(f"endless-{n}", {}) and name in by_cell.get(f"history-{n}", {})]
        if shares:
            lines.append(f"- {name}, endless / with history: {', '.join(shares)}")
    return lines


def _machine_lines(document):
    machine = document["machine"]
    rounds = {one["round"] for one in document["measurements"]}
    at_end = machine.get("load_average_at_end")
    text = (f"{machine['cpu']}, {machine['processors']} processors ({', '.join(machine['flags'])}), {machine['memory_gib']} GiB, "
            f"kernel {machine['kernel']}; commit {machine['commit']}, {machine['threads']} threads, {machine['date']} UTC; "
            f"medians, rounds: {len(rounds)}; load average {machine['load_average'][0]} before"
            + (f" and {at_end[0]} after" if at_end else "")
            + f"; other processes took at most {other_cores(document):.2f} of a processor beside a measurement.")
    return textwrap.wrap(text, 135)


def markdown(document):
    if not document["measurements"]:
        return "Nothing was measured.\n\n" + "\n".join(_left_out_lines(document)) + "\n"
    parts = [*_machine_lines(document), "", rate_table(document), "", latency_table(document), "",
             *_first_token_lines(document), *_endless_lines(document)]
    memory = [f"{name} {megabytes:,}" for name, megabytes in resident(document).items()]
    parts.append(f"- resident memory at most, MB: {', '.join(memory)}")
    return "\n".join([*parts, *_left_out_lines(document)]) + "\n"


def _left_out_lines(document):
    return [f"- left out: {peer}{f' in {cell}' if cell else ''}: {reason}"
            for peer, cells in document["left_out"].items() for cell, reason in cells.items()]
