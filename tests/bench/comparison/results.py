"""Results: every measurement of a run as it comes, kept on disk from the first on."""

import dataclasses
import json
import os

from comparison.figures import Figures, summary


class Results:
    """Threads: one. Each add() leaves a whole file behind."""

    def __init__(self, path, machine, ours):
        """`ours`: names of those that are compared with the others."""
        self._path = path
        self.document = {"machine": machine, "ours": list(ours), "measurements": [], "left_out": {}}

    def add(self, round_number, cell, peer, figures, other_cores, resident_mb):
        self.document["measurements"].append({"round": round_number, "cell": cell, "peer": peer,
                                              **dataclasses.asdict(figures), "other_cores": other_cores,
                                              "resident_mb": resident_mb})
        self._write()

    def leave_out(self, reasons):
        """{peer: {cell, or "" for all: reason}}."""
        self.document["left_out"] = reasons
        self._write()

    def end(self, load_average):
        self.document["machine"]["load_average_at_end"] = load_average
        self._write()

    def _write(self):
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        with open(self._path + ".new", "w", encoding="utf-8") as file:
            json.dump(self.document, file, indent=1)
        os.replace(self._path + ".new", self._path)


def summaries(document):
    """{cell: {peer: Summary}}, both in the order in which they first came."""
    rounds = {}
    for one in document["measurements"]:
        figures = Figures(one["rate"], one["ttft_ms"], one["itl_ms"], one["itl_p99_ms"])
        rounds.setdefault(one["cell"], {}).setdefault(one["peer"], []).append(figures)
    return {cell: {peer: summary(figures) for peer, figures in of_cell.items()} for cell, of_cell in rounds.items()}


def resident(document):
    """{peer: megabytes at most}; of those that are processes of their own."""
    most = {}
    for one in document["measurements"]:
        if one["resident_mb"] is not None:
            most[one["peer"]] = max(most.get(one["peer"], 0), one["resident_mb"])
    return most


def other_cores(document):
    """The most that other processes took beside a measurement."""
    return max((one["other_cores"] for one in document["measurements"]), default=0.0)
