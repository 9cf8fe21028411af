"""A peer's server as a process."""

import os
import signal
import socket
import subprocess
import tempfile
import time

from comparison.machine import resident_mb
from comparison.peers import PeerFailed

_START_SECONDS = 300
_STOP_SECONDS = 20


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """Started at once; what it says is kept for its failure."""

    def __init__(self, command, **options):
        self._output = tempfile.TemporaryFile(mode="w+", errors="replace")
        options = {"stdout": self._output, "stderr": self._output, "start_new_session": True} | options
        try:
            self.popen = subprocess.Popen(command, **options)
        except OSError as error:
            raise PeerFailed(f"{command[0]}: {error.strerror}") from error

    def await_ready(self, ready):
        """Until `ready()`; the process must live."""
        end = time.monotonic() + _START_SECONDS
        while not ready():
            if self.popen.poll() is not None:
                raise PeerFailed(f"ended with {self.popen.returncode}: {self.last_words()}")
            if time.monotonic() > end:
                raise PeerFailed(f"not ready after {_START_SECONDS} s: {self.last_words()}")
            time.sleep(0.05)

    def output(self):
        self._output.seek(0)
        return self._output.read()

    def last_words(self):
        lines = [line.strip() for line in self.output().splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"

    def resident_mb(self):
        return resident_mb(self.popen.pid)

    def signal_all(self, number):
        """To it and to all that it has started."""
        try:
            os.killpg(self.popen.pid, number)
        except ProcessLookupError:
            pass

    def stop(self):
        self.signal_all(signal.SIGCONT)
        self.signal_all(signal.SIGTERM)
        try:
            self.popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal_all(signal.SIGKILL)
            self.popen.wait()
        self._output.close()


class ServerPeer:
    """A peer that is a server of its own for each cell; start() makes `_process`."""

    def __init__(self):
        self._process = None

    def resident_mb(self):
        return self._process.resident_mb()

    def pause(self):
        self.stop()

    def stop(self):
        if self._process is not None:
            self._process.stop()
            self._process = None
