"""A peer that is a Python library: a worker in the library's own environment runs it (comparison/workers).

Between measurements the worker is stopped by a signal, so that threads that spin take nothing from the others.
"""

import json
import os
import queue
import signal
import subprocess
import threading

from comparison.figures import from_arrivals
from comparison.peers import PeerFailed
from comparison.peers.process import Process

_WORKERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "workers")
_ANSWER_SECONDS = 900


class InProcess:
    def __init__(self, name, python, worker, settings, needs, kinds):
        """`settings` go to the worker; files of `needs` must be there; cells of `kinds` are measured."""
        self.name = name
        self._python, self._worker, self.settings = python, worker, settings
        self._needs, self._kinds = (python, *needs), kinds
        self._process = None
        self._answers = queue.Queue()

    def missing(self):
        return next((f"no {os.path.relpath(file)}" for file in self._needs if not os.path.exists(file)), None)

    def takes(self, cell):
        return cell.kind in self._kinds

    def start(self, cell):
        del cell
        if self._process is not None:
            self._process.signal_all(signal.SIGCONT)
            return
        threads = str(self.settings["threads"])
        self._answers = queue.Queue()
        self._process = Process([self._python, os.path.join(_WORKERS, self._worker), json.dumps(self.settings)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                env=os.environ | {"OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"})
        threading.Thread(target=self._read, args=(self._process.popen.stdout, self._answers), daemon=True).start()
        self._answer()  # that it has loaded

    @staticmethod
    def _read(stream, answers):
        for line in stream:
            answers.put(line)
        answers.put(None)

    def _answer(self):
        try:
            line = self._answers.get(timeout=_ANSWER_SECONDS)
        except queue.Empty:
            raise PeerFailed(f"no answer in {_ANSWER_SECONDS} s") from None
        if line is None:
            self._process.popen.wait()
            raise PeerFailed(f"ended with {self._process.popen.returncode}: {self._process.last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer

    def measure(self, cell, prompts):
        request = {"prompts": prompts, "new_tokens": cell.new_tokens}
        try:
            self._process.popen.stdin.write(json.dumps(request) + "\n")
            self._process.popen.stdin.flush()
            return from_arrivals(cell, self._answer()["arrivals"])
        except (OSError, ValueError) as error:
            raise PeerFailed(str(error)) from error

    def resident_mb(self):
        return self._process.resident_mb()

    def pause(self):
        self._process.signal_all(signal.SIGSTOP)

    def stop(self):
        if self._process is not None:
            self._process.stop()
            self._process = None
