"""Measured sessions that fail end the measurement, which says why. The stream and the protocol are fakes."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import neighbours
import pytest
from long_stream import Session


class FakeProtocol:
    """Messages of any name, and what is in them."""

    def __getattr__(self, name):
        return lambda **fields: SimpleNamespace(**fields)


def event(kind, **fields):
    return SimpleNamespace(WhichOneof=lambda oneof: kind, **{kind: SimpleNamespace(**fields)})


def stub(*events):
    """A service of which each stream tells this."""
    return SimpleNamespace(Converse=lambda requests: iter([event("opened", sinks=4), *events]))


def test_an_append_is_read_to_its_end():
    session = Session(stub(event("delta"), event("append_done", tokens=7)), FakeProtocol())
    assert session.append("text").tokens == 7


@pytest.mark.parametrize("events,said", [([event("failed", code=13)], "code=13"), ([], "the stream has ended")])
def test_an_append_that_fails_ends_the_measurement(events, said):
    with pytest.raises(SystemExit, match=said):
        Session(stub(*events), FakeProtocol()).append("text")


BESIDE = """
import neighbours, test_sessions
neighbours.beside_a_long_prompt(test_sessions.stub({events}), test_sessions.FakeProtocol())
"""


@pytest.mark.parametrize("events,said", [
    ('test_sessions.event("failed", code=13)', "code=13"), ('test_sessions.event("turn_done")', "it is too short"),
    ("", "the stream has ended")])
def test_a_reply_that_ends_early_ends_the_measurement(events, said):
    ran = subprocess.run([sys.executable, "-c", BESIDE.format(events=events)], cwd=Path(neighbours.__file__).parent,
                         capture_output=True, text=True, timeout=30)
    assert ran.returncode == 1 and said in ran.stderr and "Traceback" not in ran.stderr
