"""scripts/watch by itself: it ends with all that it started, and says what is wrong."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import start
from sources import ROOT


def folders() -> set[Path]:
    return set((ROOT / "build").glob("watch-*"))


@pytest.fixture(autouse=True)
def before() -> Iterator[set[Path]]:
    """The folders that were there; what a test leaves beside them, which it does to show its logs, is removed."""
    found = folders()
    yield found
    for folder in folders() - found:
        shutil.rmtree(folder)


def test_it_ends_all_that_it_started_and_leaves_nothing(before):
    process = start()
    lines = [process.stderr.readline() for _ in range(2)]
    [folder] = folders() - before
    assert "/consoles/index.html" in lines[1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not folder.exists()
    assert subprocess.run(["pgrep", "-f", folder.name], capture_output=True, text=True).stdout == ""
    assert process.stderr.read() == ""


def test_a_server_that_cannot_start_is_named_with_its_last_words():
    process = start(SERVER_FLAGS="--window=0")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the server has ended" in told and "--window" in told


def test_a_load_that_ends_ends_the_rest():
    process = start(LOAD_FLAGS="--no-such-flag")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1 and "the load has ended" in told and "no-such-flag" in told
