"""llama.cpp's server, over its wire: HTTP with server-sent events.

A fresh server a cell, as it divides its context among a fixed number of slots. An endless cell uses its context shift: a full
slot drops the older half of what stands behind the kept tokens, and rotates the rest to its new place.
"""

import asyncio
import json
import os
import time
import urllib.request

from comparison.figures import from_arrivals
from comparison.peers import PeerFailed
from comparison.peers.process import Process, ServerPeer, free_port

_SINKS = 4
_ANSWER_SECONDS = 900


def server_command(binary, model, cell, threads, port, flash_attention):
    command = [binary, "-m", model, "--host", "127.0.0.1", "--port", str(port), "-np", str(cell.sessions),
               "-c", str(cell.sessions * cell.cache_tokens), "-t", str(threads), "-tb", str(threads), "--cont-batching",
               "--cache-ram", "0", "-fa", "on" if flash_attention else "off"]
    return command + (["--context-shift", "--keep", str(_SINKS)] if cell.kind == "endless" else [])


def request_body(cell, prompt, exact):
    body = {"prompt": prompt, "n_predict": cell.new_tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False,
            "stream": True, "return_tokens": True}
    if cell.kind == "endless":
        body["n_keep"] = _SINKS
        if exact:
            body["n_discard"] = 1
    return body


def event_tokens(line):
    """(tokens of one server-sent event, tokens of the reply in all where it is the last); None for other lines."""
    if not line.startswith(b"data: {"):
        if line.startswith(b"error: "):
            raise PeerFailed(line.decode(errors="replace").strip()[:300])
        return None
    event = json.loads(line[len(b"data: "):])
    if "error" in event:
        raise PeerFailed(str(event["error"])[:300])
    return len(event.get("tokens", [])), event.get("tokens_predicted") if event.get("stop") else None


async def _arrivals_of_one(port, body, begun):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps(body).encode()
    writer.write(b"POST /completion HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                 b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    status = await reader.readline()
    if b" 200 " not in status:
        raise PeerFailed(f"HTTP: {status.decode(errors='replace').strip()}")
    arrivals = []
    async for line in reader:
        told = event_tokens(line)
        if told is not None:
            tokens, total = told
            # Bytes of a character that is not whole wait for the next event; at the end they may never come.
            count = tokens if total is None else total - len(arrivals)
            arrivals += [time.perf_counter() - begun] * count
    writer.close()
    return arrivals


async def _arrivals(port, bodies):
    begun = time.perf_counter()
    return await asyncio.gather(*(_arrivals_of_one(port, body, begun) for body in bodies))


class LlamaServer(ServerPeer):
    def __init__(self, name, binary, model, threads, flash_attention=True, exact=False):
        super().__init__()
        self.name = name
        self._binary, self._model, self._threads = binary, model, threads
        self._flash_attention, self._exact = flash_attention, exact
        self._port = 0

    def missing(self):
        return next((f"no {os.path.basename(file)}" for file in (self._binary, self._model)
                     if not os.path.exists(file)), None)

    def takes(self, cell):
        if self._exact:
            return cell.name == "endless-1"
        # Beyond some hundred tokens of context its flash attention is the slower one on a CPU.
        return not self._flash_attention or cell.kind in ("reply", "prefill")

    def start(self, cell):
        self._port = free_port()
        self._process = Process(server_command(self._binary, self._model, cell, self._threads, self._port,
                                               self._flash_attention))
        self._process.await_ready(self._is_ready)

    def _is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def measure(self, cell, prompts):
        bodies = [request_body(cell, prompt, self._exact) for prompt in prompts]
        try:
            arrivals = asyncio.run(asyncio.wait_for(_arrivals(self._port, bodies), _ANSWER_SECONDS))
            return from_arrivals(cell, arrivals)
        except (OSError, TimeoutError, ValueError) as error:
            raise PeerFailed(str(error) or type(error).__name__) from error
