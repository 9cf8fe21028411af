"""python -m sinkstream_export: exit codes and what is said."""

import re
import signal

import pytest
from sinkstream_export import __version__, chat_formats, precision

import tiny_models


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "tiny"
    path.mkdir()
    return tiny_models.write_hf(path)


def said(result):
    """The lines on stderr."""
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()


def test_success_reports_each_long_step_and_exits_0(folder, tmp_path, run_cli):
    result = run_cli("--from", folder, "--out", tmp_path / "new" / "model.pt", "--dtype", "bfloat16")
    assert result.returncode == 0
    assert result.stdout == ""
    lines = said(result)
    assert [line.split()[1] for line in lines] == ["reading", "building", "verifying", "logits"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["model.pt"]


def test_quantised_export_tells_what_the_matrices_are_and_what_that_costs(tmp_path, run_cli):
    (tmp_path / "tiny").mkdir()
    source = tiny_models.write_hf(tmp_path / "tiny", tiny_models.make_model_in_blocks())
    result = run_cli("--from", source, "--out", tmp_path / "model.pt", "--dtype", "int4")
    assert result.returncode == 0
    lines = [line.removeprefix("sinkstream_export: ") for line in said(result)]
    assert [line.split()[0] for line in lines] == ["reading", "building", "matrices:", "verifying", "rounding",
                                                   "on"]
    assert lines[2] == "matrices: 21 Q4_1, 2 Q8_0"
    number = r"\d+(\.\d+)?(e-\d+)?"
    cost = rf"{number} nats \(mean KL divergence\), [+-]{number} \(mean NLL\)"
    assert re.fullmatch(rf"on a sample of \d+ tokens predictions differ from the source's by {cost};"
                        rf" from the same weights' in float32 by {cost}; writing .*", lines[5])
    assert re.fullmatch(rf"rounding keys and values changes predictions by {number} nats as bfloat16, {number} nats as"
                        " int8: the cache is int8", lines[4])


def test_help_and_version(run_cli):
    told = "".join(run_cli("--help").stdout.split())
    assert f"--dtype{{{','.join(precision.NAMES)}}}" in told
    assert ",".join(chat_formats.NAMES) in told
    assert run_cli("--version").stdout == f"sinkstream_export {__version__}\n"


@pytest.mark.parametrize("arguments", [
    [], ["--from", "x"], ["--from", "x", "--out", "y", "--dtype", "int3"], ["--from", "x", "--out", "y", "--what"],
    ["--from", "x", "--out", "y", "--chat-format", "llama9"],
])
def test_bad_usage_exits_2(run_cli, arguments):
    result = run_cli(*arguments)
    assert result.returncode == 2
    assert "error: " in said(result)[-1]


def test_failure_is_one_line_and_exit_code_1(folder, tmp_path, run_cli):
    out = tmp_path / "model.pt"
    tiny_models.edit_json(folder / "config.json", model_type="gpt2")
    cases = [
        (["--from", tmp_path / "nowhere", "--out", out], "nowhere does not exist"),
        (["--from", folder, "--out", out], "learned absolute positions"),
        (["--from", folder, "--out", out, "--ops", tmp_path / "no.so"], "operator library"),
        (["--from", folder, "--out", out, "--ops", folder / "config.json"], "cannot be loaded"),
    ]
    for arguments, reason in cases:
        result = run_cli(*arguments)
        assert result.returncode == 1
        errors = [line for line in said(result) if "error" in line]
        assert len(errors) == 1 and errors[0].startswith("sinkstream_export: error: ") and reason in errors[0]
        assert not out.exists()


def test_out_that_is_a_folder_is_an_error_of_one_line(folder, tmp_path, run_cli):
    (tmp_path / "taken").mkdir()
    result = run_cli("--from", folder, "--out", tmp_path / "taken")
    assert result.returncode == 1
    [line] = said(result)  # nothing has been read before
    assert line == f"sinkstream_export: error: --out {tmp_path / 'taken'} is a folder"
    assert list((tmp_path / "taken").iterdir()) == []


def test_full_disk_is_an_error_of_one_line_and_leaves_nothing(folder, tmp_path, run_cli):
    (tmp_path / "old").mkdir()
    result = run_cli("--from", folder, "--out", tmp_path / "old" / "new" / "newer" / "model.pt", largest_file=100_000)
    assert result.returncode == 1
    assert said(result)[-1].startswith("sinkstream_export: error: ")
    assert list((tmp_path / "old").iterdir()) == []


STOPPED = """
import os, sys
from sinkstream_export import __main__, verify
verify.check = lambda *arguments: os.kill(os.getpid(), {number})
sys.exit(__main__.main())
"""


@pytest.mark.parametrize("number, code, word", [
    (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "hung up"),
])
def test_signal_while_a_file_is_made_is_one_line_and_leaves_nothing(folder, tmp_path, run_cli, number, code, word):
    out = tmp_path / "new" / "model.pt"
    result = run_cli("--from", folder, "--out", out, program=STOPPED.format(number=int(number)))
    assert not out.parent.exists()
    assert result.returncode == code
    assert said(result)[-1] == f"sinkstream_export: error: {word}"
    assert "verifying" in said(result)[-2]


HUNG_UP_TWICE = """
import os, shutil, signal, sys
from sinkstream_export import __main__, verify
hang_up = lambda *arguments, **names: os.kill(os.getpid(), signal.SIGHUP)
remove = shutil.rmtree
verify.check = hang_up
shutil.rmtree = lambda *arguments, **names: hang_up() or remove(*arguments, **names)
sys.exit(__main__.main())
"""


def test_a_second_hangup_does_not_keep_the_first_from_cleaning(folder, tmp_path, run_cli):
    out = tmp_path / "new" / "model.pt"
    result = run_cli("--from", folder, "--out", out, program=HUNG_UP_TWICE)
    assert not out.parent.exists()
    assert result.returncode == 129


IGNORANT = """
import os, signal, sys
from sinkstream_export import __main__, verify
signal.signal(signal.SIGHUP, signal.SIG_IGN)
check = verify.check
verify.check = lambda *arguments: os.kill(os.getpid(), signal.SIGHUP) or check(*arguments)
sys.exit(__main__.main())
"""


def test_a_hangup_that_is_ignored_as_by_nohup_stops_nothing(folder, tmp_path, run_cli):
    assert run_cli("--from", folder, "--out", tmp_path / "model.pt", program=IGNORANT).returncode == 0
    assert (tmp_path / "model.pt").exists()
