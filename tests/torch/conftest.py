"""Loads the operator library (SINKSTREAM_OPS, else build/lib of this checkout) and makes the inputs of the tests. SINKSTREAM_TEST_ISA:
the one instruction set to test, instead of all of this CPU."""

import os
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
LIBRARY = os.environ.get("SINKSTREAM_OPS") or str(ROOT / "build" / "lib" / "libsinkstream_ops.so")
sys.path.insert(0, str(ROOT / "engine" / "export"))

torch.ops.load_library(LIBRARY)
torch.set_num_threads(1)
torch.ops.sinkstream.set_threads(2)

ISAS = [isa for isa in torch.ops.sinkstream.supported_isas() if isa == os.environ.get("SINKSTREAM_TEST_ISA", isa)]

def pytest_sessionstart():
    if not ISAS:
        pytest.exit("instruction sets: none")


def pytest_terminal_summary(terminalreporter):
    """A header would not be shown by -q."""
    terminalreporter.write_line(f"instruction sets: {', '.join(ISAS)}")


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(20240229)


@pytest.fixture(params=ISAS)
def isa(request) -> str:
    """Each instruction set in turn."""
    torch.ops.sinkstream.select_isa(request.param)
    yield request.param
    torch.ops.sinkstream.select_isa("auto")
