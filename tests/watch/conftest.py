"""`make watch` without its set-up: a real server with the default model, under load, and Debian's Prometheus beside it.

SINKSTREAM_MODEL: the model file (default: what `make model` leaves).
"""

import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sources import ROOT

MODEL = os.environ.get("SINKSTREAM_MODEL", str(ROOT / "build/models/smollm2-135m-instruct.pt"))
START_SECONDS = 120
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


def await_data(watch: Watch) -> None:
    """Until there is something to show: some scrapes, turns that ended, tokens that left their windows."""
    deadline = time.monotonic() + START_SECONDS
    enough = ["count_over_time(sinkstream_ready[10m]) > 8", "increase(sinkstream_evicted_tokens_total[1m]) > 100",
              "increase(sinkstream_time_to_first_token_seconds_count[1m]) > 3",
              "sinkstream:pinned_attention_ratio:mean1h", "sinkstream:generated_nll_nats:mean1h",
              "sinkstream:late_tokens:ratio_rate5m >= 0"]
    while not all(watch.query(expression) for expression in enough):
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
