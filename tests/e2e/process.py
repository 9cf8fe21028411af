"""The server as a process."""

import contextlib
import ctypes
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

START_SECONDS = 120
STOP_SECONDS = 60


class ServerProcess:
    def __init__(self, binary, *flags):
        self._stderr = tempfile.TemporaryFile(mode="a+")
        self._process = subprocess.Popen([binary, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         text=True, stderr=self._stderr)
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

    def send_signals(self, count):
        """One after the other: two of a kind that wait at the same time are one."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status")
        for _ in range(count):
            while int(re.search(r"ShdPnd:\s*(\w+)", status.read_text())[1], 16) != 0:
                pass
            self.send_signal()

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


PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000  # <sys/ptrace.h>, <sys/wait.h>


def busiest_thread(pid, while_it_works):
    """The thread of the process that takes the most CPU time meanwhile."""
    def ticks():
        stats = {int(task.name): (task / "stat").read_text() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()}
        return {thread: int(stat.rpartition(")")[2].split()[11]) for thread, stat in stats.items()}

    before = ticks()
    while_it_works()
    return max((used - before.get(thread, 0), thread) for thread, used in ticks().items())[1]


@contextlib.contextmanager
def halted(thread):
    """The thread, of a child, does nothing; the child's other threads go on. Behind it, the child ends within STOP_SECONDS.

    OSError: it may not be done here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(thread, WALL)
    yield
    deadline = time.monotonic() + STOP_SECONDS
    while os.waitpid(thread, WALL | os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            libc.ptrace(PTRACE_DETACH, thread, None, None)
            raise AssertionError("the process did not end without the thread")
        time.sleep(0.01)


def run(binary, *flags):
    """Runs the server to its end; for what must not start."""
    return subprocess.run([binary, *flags], capture_output=True, text=True, timeout=START_SECONDS)
