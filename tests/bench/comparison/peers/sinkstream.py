"""Our own server through gRPC, under sinkstream-loadgen on the same processors.

What stands before the measured reply (a history, a full cache) is read beforehand, as `--history-tokens`; the load generator
measures from where all sessions have got there.
"""

import json
import os
import re
import subprocess
import tempfile

from comparison.figures import Figures
from comparison.peers import PeerFailed
from comparison.peers.process import Process, ServerPeer

_SINKS = 4
_SECONDS = 900


def load_flags(cell):
    """sinkstream-loadgen's flags for one reply a session."""
    history, prompt, reply = 0, cell.prompt_tokens, cell.new_tokens
    if cell.kind == "history":
        history, prompt = cell.prompt_tokens - 1, 1
    elif cell.kind == "endless":
        history, prompt, reply = cell.cache_tokens, 1, cell.new_tokens - cell.unmeasured_tokens
    return [f"--sessions={cell.sessions}", "--turns=1", "--warmup-turns=0", f"--history-tokens={history}",
            f"--prompt-tokens={prompt}", f"--max-tokens={reply}", f"--sinks={_SINKS}",
            f"--window={cell.cache_tokens - _SINKS}"]


def figures(cell, report):
    """From the load generator's JSON."""
    if report["errors"] or not report.get("complete", True):
        raise PeerFailed(report.get("error") or f"errors: {report['errors_by_code']}")
    expected = cell.sessions * (cell.new_tokens - cell.unmeasured_tokens)
    if report["tokens"] != expected:
        raise PeerFailed(f"{report['tokens']} tokens, not {expected}")
    ttft = report["ttft_ms"]["p50"]
    rate = 1000 * cell.prompt_tokens / ttft if cell.kind == "prefill" else report["tokens_per_second"]
    return Figures(rate=rate, ttft_ms=ttft, itl_ms=report["itl_ms"]["p50"], itl_p99_ms=report["itl_ms"]["p99"])


class Sinkstream(ServerPeer):
    def __init__(self, name, binaries, model, threads, text, server_flags=()):
        super().__init__()
        self.name = name
        self._server = os.path.join(binaries, "sinkstream-server")
        self._loadgen = os.path.join(binaries, "sinkstream-loadgen")
        self._model, self._text = model, text
        self._flags = [f"--threads={threads}", "--listen=127.0.0.1:0", "--kv_bytes=4GiB", *server_flags]
        self._address = ""

    def missing(self):
        return next((f"no {os.path.relpath(file)}" for file in (self._server, self._loadgen, self._model)
                     if not os.path.exists(file)), None)

    def takes(self, cell):
        del cell
        return True

    def start(self, cell):
        del cell
        self._process = Process([self._server, f"--model={self._model}", *self._flags])
        self._process.await_ready(self._is_ready)

    def _is_ready(self):
        found = re.search(r"^listening on (\S+)$", self._process.output(), re.MULTILINE)
        self._address = found[1] if found else ""
        return bool(found)

    def measure(self, cell, prompts):
        del prompts  # the load generator takes its own pieces of the same text
        with tempfile.TemporaryDirectory() as directory:
            report = os.path.join(directory, "report.json")
            command = [self._loadgen, f"--server={self._address}", *load_flags(cell), f"--text={self._text}",
                       f"--json={report}"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            except subprocess.TimeoutExpired as error:
                raise PeerFailed(f"no end of the load in {_SECONDS} s") from error
            if done.returncode != 0:
                raise PeerFailed((done.stderr.strip() or "the load generator failed").splitlines()[-1][:300])
            with open(report, encoding="utf-8") as file:
                return figures(cell, json.load(file))
