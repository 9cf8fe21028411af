"""The server as a process."""

import pathlib
import re
import signal
import subprocess
import tempfile

START_SECONDS = 120
STOP_SECONDS = 60


class ServerProcess:
    def __init__(self, binary, *flags):
        self._stderr = tempfile.TemporaryFile(mode="w+")
        self._process = subprocess.Popen([binary, *flags], stdout=subprocess.PIPE, text=True,
                                         stderr=self._stderr)
        self.output = []
        self.address = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._stderr.close()

    def await_address(self):
        self.address = self.await_line(r"listening on (\S+)")
        return self.address

    def await_line(self, pattern):
        """The group of the next line of output that is of the pattern."""
        for line in self._process.stdout:
            self.output.append(line.rstrip("\n"))
            if found := re.fullmatch(pattern, self.output[-1]):
                return found[1]
        raise AssertionError(f"the server ended: {self.errors()}")

    def await_loading(self):
        """Until signals are caught, which is before anything is loaded.

        Just these two: a library that starts blocks all signals for a moment, and lets go of them again.
        """
        caught = 1 << (signal.SIGTERM - 1) | 1 << (signal.SIGINT - 1)
        status = pathlib.Path(f"/proc/{self._process.pid}/status")
        while int(re.search(r"SigBlk:\s*(\w+)", status.read_text())[1], 16) != caught:
            assert self._process.poll() is None, self.errors()

    @property
    def pid(self):
        return self._process.pid

    def send_signal(self, number=signal.SIGTERM):
        self._process.send_signal(number)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self, number=signal.SIGTERM):
        self.send_signal(number)
        return self.wait()

    def wait(self):
        return self._process.wait(STOP_SECONDS)

    def rest_of_output(self):
        return self._process.stdout.read()

    def errors(self):
        self._stderr.seek(0)
        return self._stderr.read()


def run(binary, *flags):
    """Runs the server to its end; for what must not start."""
    return subprocess.run([binary, *flags], capture_output=True, text=True, timeout=START_SECONDS)
