"""llama.cpp in its own process, without a server: its program llama-batched-bench.

It reads all prompts in one batch, then decodes random tokens for all sessions and chooses none, which flatters it a little.
"""

import json
import os
import subprocess

from comparison.figures import Figures
from comparison.peers import PeerFailed

_SECONDS = 900


def figures(cell, output):
    """From what the program prints with --output-format jsonl."""
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    rows = [row for row in rows if (row["pp"], row["tg"], row["pl"]) == (cell.prompt_tokens, cell.new_tokens, cell.sessions)]
    if len(rows) != 1:
        raise PeerFailed(f"{len(rows)} rows of figures for {cell.name}")
    prompt_seconds, reply_seconds = rows[0]["t_pp"], rows[0]["t_tg"]
    tokens = cell.sessions * cell.new_tokens
    rate = {"prefill": cell.prompt_tokens / prompt_seconds, "history": tokens / reply_seconds,
            "reply": tokens / (prompt_seconds + reply_seconds)}[cell.kind]
    return Figures(rate=rate, ttft_ms=1000 * prompt_seconds,
                   itl_ms=None if cell.kind == "prefill" else 1000 * reply_seconds / cell.new_tokens)


class LlamaBatched:
    def __init__(self, name, binary, model, threads):
        self.name = name
        self._binary, self._model, self._threads = binary, model, threads

    def missing(self):
        return next((f"no {os.path.basename(file)}" for file in (self._binary, self._model)
                     if not os.path.exists(file)), None)

    def takes(self, cell):
        return cell.kind != "endless"

    def start(self, cell):
        """Each measurement is a process of its own, whose loading is not in its figures."""

    def measure(self, cell, prompts):
        del prompts  # it draws its own
        context = cell.sessions * (cell.prompt_tokens + cell.new_tokens)
        command = [self._binary, "-m", self._model, "-c", str(context), "-b", "2048", "-ub", "512",
                   "-npp", str(cell.prompt_tokens), "-ntg", str(cell.new_tokens), "-npl", str(cell.sessions),
                   "-t", str(self._threads), "-tb", str(self._threads), "-fa", "off" if cell.kind == "history" else "on",
                   "--output-format", "jsonl"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerFailed(str(error)) from error
        if done.returncode != 0:
            raise PeerFailed(f"ended with {done.returncode}: {(done.stderr.strip() or 'it said nothing').splitlines()[-1]}")
        return figures(cell, done.stdout)

    def resident_mb(self):
        return None

    def pause(self):
        pass

    def stop(self):
        pass
