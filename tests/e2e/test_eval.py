"""sinkstream-eval against the real server and the default model."""

import json
import pathlib
import signal
import subprocess

import pytest

from conftest import ROOT
from process import ServerProcess

TEXT = ROOT / "tests/data/crime_and_punishment_excerpt.txt"
SECONDS = 600  # a hanging tool fails the test, nothing passes near it


def start(tool, server, subcommand, *flags):
    return subprocess.Popen([tool, subcommand, f"--server={server.address}", f"--text={TEXT}", *flags],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process):
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def measure(tool, server, subcommand, *flags):
    code, out, err = end(start(tool, server, subcommand, *flags))
    assert code == 0, err
    return out


@pytest.fixture(scope="module")
def table(eval_tool, server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    flags = [f"--{kind}={folder / kind}" for kind in ("json", "markdown", "svg")]
    out = measure(eval_tool, server, "table", "--tokens=800", "--warmup=300", "--recompute-tokens=24", *flags)
    assert out == (folder / "markdown").read_text()
    assert "first eviction" in (folder / "svg").read_text()
    return json.loads((folder / "json").read_text())


def perplexities(table):
    return {(row["policy"], row["sinks"]): row["perplexity"] for row in table["rows"]}


def test_a_window_without_sinks_is_much_worse(table):
    assert table["complete"]
    assert perplexities(table)["window", 0] / perplexities(table)["sink", 4] >= 1.4
    assert perplexities(table)["dense", 0] < perplexities(table)["sink", 4]


@pytest.mark.parametrize("sinks", [1, 2, 8])
def test_one_sink_does_what_four_do(table, sinks):
    assert perplexities(table)["sink", sinks] == pytest.approx(perplexities(table)["sink", 4], rel=0.02)


def test_four_sinks_are_close_to_recomputation(table):
    sink, window = table["against_recompute"]["rows"]
    assert table["against_recompute"]["tokens"] == 24
    assert (sink["policy"], window["policy"]) == ("sink", "window")
    assert abs(sink["mean_nll_gap"]) < 0.08
    assert 0 < sink["mean_kl"] < 0.1
    assert sink["mean_kl"] * 5 <= window["mean_kl"]


def test_a_recomputed_figure_does_not_depend_on_the_calls_at_a_time(eval_tool, server, tmp_path):
    reports = []
    for parallel in (1, 5):
        path = tmp_path / str(parallel)
        measure(eval_tool, server, "perplexity", "--policy=recompute", "--sinks=4", "--window=60", "--tokens=90",
                "--warmup=80", f"--parallel={parallel}", f"--json={path}")
        reports.append(json.loads(path.read_text()))
    assert reports[0] == reports[1]
    assert reports[0]["scored_tokens"] == 10


def test_what_was_evicted_is_gone(eval_tool, server, tmp_path):
    measure(eval_tool, server, "recall", "--sinks=4", "--window=252", "--distances=40,300", "--facts-per-distance=8",
            f"--json={tmp_path / 'recall'}")
    near, far = json.loads((tmp_path / "recall").read_text())["distances"]
    assert (near["in_cache"], far["in_cache"]) == ("yes", "no")
    assert near["replied"] >= 0.75 and near["chosen"] >= 0.75
    assert far["replied"] == 0 and far["chosen"] <= 0.25


def test_a_window_beyond_the_trained_context(eval_tool, server):
    code, out, err = end(start(eval_tool, server, "perplexity", "--sinks=4", "--window=8189"))
    assert (code, out) == (1, "")
    assert err == ("sinkstream-eval: sinks + window: is 8193 (4 + 8189); at most 8192, the context that the model was"
                   " trained on\n")


DRIFT = ["--sinks=4", "--window=124", "--tokens=1200", "--stretches=2", "--recompute-tokens=3"]


def drift_report(path):
    """Without what the clock and the machine say."""
    report = json.loads(pathlib.Path(path).read_text())
    for stretch in report["stretches"]:
        assert stretch.pop("milliseconds_per_token") > 0
        assert stretch.pop("resident_bytes") > 100 << 20
    return report


def await_first_stretch(tool, state):
    while not state.exists() or json.loads(state.read_text())["position"] < 600:
        assert tool.poll() is None, end(tool)


@pytest.fixture(scope="module")
def whole_drift(eval_tool, server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drift")
    measure(eval_tool, server, "drift", *DRIFT, f"--state={folder / 'state'}", f"--json={folder / 'report'}")
    return drift_report(folder / "report")


def test_an_interrupted_drift_run_goes_on_in_its_session(api, stub, eval_tool, server, whole_drift, tmp_path):
    state, report = tmp_path / "state", tmp_path / "report"
    files = [f"--state={state}", f"--json={report}"]
    before = stub.GetLoad(api.pb.GetLoadRequest()).sessions
    tool = start(eval_tool, server, "drift", *DRIFT, *files)
    await_first_stretch(tool, state)
    tool.send_signal(signal.SIGINT)
    code, _, err = end(tool)
    assert code == 1
    assert f"interrupted; the same command goes on from token 600 ({state})" in err
    code, _, err = end(start(eval_tool, server, "drift", *DRIFT, *files))
    assert code == 0
    assert "going on at token 600" in err and "again" not in err
    assert drift_report(report) == whole_drift
    assert stub.GetLoad(api.pb.GetLoadRequest()).sessions == before


def test_a_drift_run_goes_on_after_its_server_was_killed(eval_tool, server, binary, model, whole_drift, tmp_path):
    state, report = tmp_path / "state", tmp_path / "report"
    # Small requests: the text is tokenized in pieces, which must not show.
    with ServerProcess(binary, f"--model={model}", "--listen=127.0.0.1:0", "--kv_bytes=256MiB",
                       "--max_request_bytes=2048", "--window=124") as doomed:
        doomed.await_address()
        tool = start(eval_tool, doomed, "drift", *DRIFT, f"--state={state}", f"--json={report}")
        await_first_stretch(tool, state)
        doomed.kill()
        code, _, err = end(tool)
    assert code == 1
    assert f"the same command goes on from token 600 ({state})" in err
    assert json.loads(report.read_text())["position"] == 600
    continued = measure(eval_tool, server, "drift", *DRIFT, f"--state={state}", f"--json={report}")
    assert drift_report(report) == whole_drift
    assert continued.count("\n") == 4
