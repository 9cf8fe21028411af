"""The machine that measures, and what else runs on it meanwhile."""

import os
import pathlib
import platform
import re
import resource
import subprocess
import time

_TICK = os.sysconf("SC_CLK_TCK")
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16")


def describe(root, threads):
    """What a table of figures must say beside them."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(encoding="ascii"))
    flags = set((re.search(r"^flags\s*: (.*)$", cpuinfo, re.MULTILINE) or ["", ""])[1].split())
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)
    return {"cpu": model[1] if model else platform.processor(),
            "flags": [flag for flag in _TELLING_FLAGS if flag in flags],
            "processors": len(os.sched_getaffinity(0)), "threads": threads,
            "memory_gib": round(int(memory[1]) / 2**20), "kernel": platform.release(),
            "commit": commit(root), "load_average": load_average(),
            "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}


def commit(root):
    """Of the checkout; with "+" where tracked files differ from it."""

    def git(*arguments):
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    name = git("rev-parse", "--short", "HEAD")
    if name is None:
        return "unknown"
    return name + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def load_average():
    return [round(value, 2) for value in os.getloadavg()]


def _busy_seconds():
    """Of all processors together, whoever used them."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _, _, irq, softirq, steal = (int(n) for n in stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK


def _processes():
    """{pid: (parent, CPU seconds of it and of the children it has waited for)}."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            found[int(entry)] = (int(fields[1]), sum(int(n) for n in fields[11:15]) / _TICK)
    return found


def descendants(pid):
    """Processes that `pid` has started, and theirs."""
    processes, found = _processes(), []
    generation = {pid}
    while generation:
        generation = {one for one, (parent, _) in processes.items() if parent in generation}
        found += generation
    return found


def _own_seconds():
    """Of this process and of all that it has started, alive or waited for."""
    processes = _processes()
    own = sum(processes[pid][1] for pid in descendants(os.getpid()) if pid in processes)
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        own += usage.ru_utime + usage.ru_stime
    return own


class OtherLoad:
    """How many processors others kept busy since it was made."""

    def __init__(self):
        self._since = time.perf_counter(), _busy_seconds(), _own_seconds()

    def cores(self):
        then, busy, own = self._since
        seconds = time.perf_counter() - then
        return round(max(0.0, (_busy_seconds() - busy - (_own_seconds() - own)) / seconds), 3)


def resident_mb(pid):
    """Of a process and those it has started, together; their most so far."""
    total = 0
    for one in (pid, *descendants(pid)):
        try:
            status = pathlib.Path(f"/proc/{one}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        peak = re.search(r"VmHWM:\s*(\d+)", status)
        total += int(peak[1]) if peak else 0
    return round(total / 1000)
