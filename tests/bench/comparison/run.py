"""The run: every peer is measured in its turn, what fails is left out, and what was measured is kept."""

import dataclasses
import sys

from comparison.machine import OtherLoad
from comparison.peers import PeerFailed
from comparison.plan import LeftOut, plan
from comparison.prompts import pieces

_WARM_UP_TOKENS = 8


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def present(peers, results):
    """Those that can be measured here; of the others it is said why not."""
    missing = {peer.name: reason for peer in peers if (reason := peer.missing())}
    for name, reason in missing.items():
        say(f"{name}: left out: {reason}")
    results.leave_out({name: {"": reason} for name, reason in missing.items()})
    return [peer for peer in peers if peer.name not in missing]


class Run:
    def __init__(self, text_ids, results):
        self._text_ids, self._results = text_ids, results
        self._left_out = LeftOut()

    def all(self, rounds, cells, peers):
        missing = self._results.document["left_out"]
        steps = list(plan(rounds, cells, peers))
        try:
            for number, (round_number, cell, peer) in enumerate(steps, 1):
                if not self._left_out.holds(peer.name, cell.name):
                    say(f"[{number}/{len(steps)}] round {round_number + 1}, {cell.name}: {peer.name}")
                    self._one(round_number, cell, peer)
                    self._results.leave_out(missing | self._left_out.reasons)
        finally:
            for peer in peers:
                peer.stop()

    def _one(self, round_number, cell, peer):
        try:
            peer.start(cell)
            self._warm_up(cell, peer)
            load = OtherLoad()
            figures = peer.measure(cell, pieces(self._text_ids, cell, round_number))
            other_cores = load.cores()
            self._results.add(round_number, cell.name, peer.name, figures, other_cores, peer.resident_mb())
            say(f"    {figures.rate:,.1f} tokens/s, TTFT {figures.ttft_ms:,.0f} ms, others used {other_cores} of a processor")
            peer.pause()
        except PeerFailed as failure:
            say(f"    {peer.name} failed: {failure}")
            self._left_out.add(peer.name, cell.name, str(failure))
            peer.stop()

    def _warm_up(self, cell, peer):
        """The same shape, but short: pages are touched, kernels chosen and thread pools made before anything is timed."""
        if cell.kind in ("reply", "prefill"):
            short = dataclasses.replace(cell, new_tokens=min(cell.new_tokens, _WARM_UP_TOKENS))
        else:
            short = dataclasses.replace(cell, kind="reply", prompt_tokens=16, new_tokens=_WARM_UP_TOKENS)
        peer.measure(short, pieces(self._text_ids, short, -1))
