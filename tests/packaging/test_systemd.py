"""deploy/systemd, read by systemd's own programs where they are there. None of them needs a running systemd."""

import re
import shutil
import subprocess

import pytest

UNIT = "sinkstream.service"
# As `systemd-analyze security` counts, from 0 (confined) to 10.
MOST_EXPOSURE = 1.5


@pytest.fixture(scope="module")
def folder(root):
    return root / "deploy/systemd"


@pytest.fixture
def analyze():
    """Runs systemd-analyze; its combined output and exit code."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")

    def run(*arguments):
        result = subprocess.run(["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return result.returncode, result.stdout

    return run


def flags(folder):
    lines = (folder / "server.flags").read_text().splitlines()
    return dict(line.removeprefix("--").split("=", 1) for line in lines if line and not line.startswith("#"))


def directives(folder, name):
    return re.findall(rf"^{name}=(.*)$", (folder / UNIT).read_text(), re.MULTILINE)


def test_the_unit_is_one_that_systemd_understands(folder, analyze, prefix, tmp_path):
    unit = tmp_path / UNIT
    # systemd looks for the program in its own path, where a test installs nothing.
    unit.write_text((folder / UNIT).read_text().replace("=sinkstream-server", f"={prefix}/bin/sinkstream-server"))
    code, output = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    assert (code, output) == (0, "")


def test_the_unit_is_well_confined(folder, analyze):
    _, output = analyze("security", "--offline=true", "--no-pager", folder / UNIT)
    [exposure] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", output)
    assert float(exposure) <= MOST_EXPOSURE, output


def test_the_service_has_time_to_drain(folder):
    [stop] = directives(folder, "TimeoutStopSec")
    assert int(stop.removesuffix("s")) > int(flags(folder)["drain_timeout"].removesuffix("s"))


def test_a_server_that_cannot_start_is_not_started_again(folder, prefix):
    refused = subprocess.run([prefix / "bin/sinkstream-server", f"--flagfile={folder}/server.flags", "--metrics_listen="],
                             capture_output=True, text=True)
    assert "model.pt" in refused.stderr
    assert directives(folder, "RestartPreventExitStatus") == [str(refused.returncode)]


def test_there_are_files_for_sessions_that_are_parked_and_no_core_dump(folder):
    assert int(directives(folder, "LimitNOFILE")[0]) > 1024
    assert directives(folder, "LimitCORE") == ["0"]


def test_settings_name_folders_that_the_service_may_use(folder):
    assert flags(folder)["model"].startswith(f"/var/lib/{directives(folder, 'StateDirectory')[0]}/")
    assert flags(folder)["park_directory"] == f"/var/cache/{directives(folder, 'CacheDirectory')[0]}"


def test_its_user_is_made_by_sysusers(folder):
    assert (folder / "sinkstream.conf").read_text().split()[:2] == ["u", directives(folder, "User")[0]]
