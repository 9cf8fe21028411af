"""`make watch` without its set-up: a real server with the default model, under load, and Debian's Prometheus beside it.

SINKSTREAM_MODEL: the model file (default: what `make model` leaves).
"""

import http.server
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from sources import ROOT

MODEL = os.environ.get("SINKSTREAM_MODEL", str(ROOT / "build/models/smollm2-135m-instruct.pt"))
START_SECONDS = 240
# Windows that slide at once; users of every kind, who never go.
SERVER_FLAGS = "--window=60 --kv_bytes=256MiB"
LOAD_FLAGS = ("--sessions=3 --turns=1000000 --max-tokens=20-60 --think-ms=exp:200 --cancel-share=0.1 --drop-share=0.1"
              " --slow-share=0.1")


@dataclass
class Watch:
    """scripts/watch as it runs. `url`: Prometheus. `instance`: the server's label."""

    process: subprocess.Popen
    url: str
    instance: str

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
            return answer.read().decode()

    def query(self, expression: str) -> list[dict]:
        """The series of an instant query; an error of the expression is one of the test."""
        answer = json.loads(self.get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
        assert answer["status"] == "success", answer
        return answer["data"]["result"]


def start(**settings: str) -> subprocess.Popen:
    environment = {**os.environ, "MODEL": MODEL, "SERVER_FLAGS": SERVER_FLAGS, "LOAD_FLAGS": LOAD_FLAGS, "WATCH_PORT": "0",
                   **settings}
    return subprocess.Popen([ROOT / "scripts/watch"], env=environment, stderr=subprocess.PIPE, text=True, cwd=ROOT)


# Where Debian's package serves what Prometheus' own builds serve below vendor/.
VENDOR = {"vendor/rickshaw/rickshaw.min.css": "rickshaw/rickshaw.min.css",
          "vendor/rickshaw/rickshaw.min.js": "rickshaw/rickshaw.min.js",
          "vendor/rickshaw/vendor/d3.v3.js": "d3/d3.min.js"}


@contextmanager
def as_upstream(watch: Watch) -> Iterator[Watch]:
    """The same Prometheus, with the scripts of the console pages where its own builds have them, and nowhere else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, static = self.path, "/classic/static/"
            if path.startswith(static):
                name = path.removeprefix(static)
                path = None if name in VENDOR.values() else static + VENDOR.get(name, name)
            if path is None:
                return self.send_error(404)
            with urllib.request.urlopen(f"{watch.url}{path}", timeout=30) as answer:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.end_headers()
                self.wfile.write(answer.read())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Watch(watch.process, f"http://127.0.0.1:{server.server_port}", watch.instance)
        server.shutdown()


def await_data(watch: Watch) -> None:
    """Until there is something to show: some scrapes, turns that ended, tokens that left their windows."""
    deadline = time.monotonic() + START_SECONDS
    enough = ["count_over_time(sinkstream_ready[10m]) > 8", "increase(sinkstream_evicted_tokens_total[1m]) > 100",
              "increase(sinkstream_time_to_first_token_seconds_count[1m]) > 3",
              "sinkstream:pinned_attention_ratio:mean1h", "sinkstream:generated_nll_nats:mean1h",
              "sinkstream:late_tokens:ratio_rate5m >= 0"]

    def is_told(expression: str) -> bool:
        try:
            return bool(watch.query(expression))
        except urllib.error.HTTPError:  # Prometheus itself is not ready yet
            return False

    while not all(map(is_told, enough)):
        assert watch.process.poll() is None and time.monotonic() < deadline, enough
        time.sleep(0.5)


@pytest.fixture(scope="session")
def watch() -> Iterator[Watch]:
    process = start()
    instance = re.search(r"metrics on http://(\S+)/metrics", process.stderr.readline())[1]
    url = re.search(r"at (http://\S+)/consoles/index.html", process.stderr.readline())[1]
    running = Watch(process, url, instance)
    await_data(running)
    yield running
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    process.stderr.close()
