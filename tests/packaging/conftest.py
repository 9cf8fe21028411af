"""What a release build installs and packs, and the files of deploy/.

SINKSTREAM_BUILD: the build's folder. SINKSTREAM_MODEL: the model file. Both default to what `make build` leaves.
"""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SINKSTREAM_BUILD", ROOT / "build"))
MODEL = pathlib.Path(os.environ.get("SINKSTREAM_MODEL", ROOT / "build/models/smollm2-135m-instruct.pt"))
sys.path.append(str(ROOT / "tests/e2e"))


@pytest.fixture(scope="session")
def root() -> pathlib.Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def version() -> str:
    return (ROOT / "VERSION").read_text().split()[0]


@pytest.fixture(scope="session")
def model() -> pathlib.Path:
    return MODEL


@pytest.fixture(scope="session")
def prefix(tmp_path_factory) -> pathlib.Path:
    """A folder that everything has been installed into, and moved away from."""
    first = tmp_path_factory.mktemp("installed") / "first"
    subprocess.run(["cmake", "--install", BUILD, "--prefix", first, "--strip"], check=True, capture_output=True)
    return first.rename(first.with_name("moved"))


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> dict[str, pathlib.Path]:
    """The Debian packages, by name."""
    folder = tmp_path_factory.mktemp("packages")
    subprocess.run(["cpack", "--config", BUILD / "CPackConfig.cmake", "-B", folder], check=True, capture_output=True)
    return {file.name.split("_")[0]: file for file in folder.glob("*.deb")}
