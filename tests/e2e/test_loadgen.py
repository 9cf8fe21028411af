"""sinkstream-loadgen against the real server and the default model."""

import json
import signal
import subprocess

import pytest

SECONDS = 300  # a hanging tool fails the test, nothing passes near it


def start(tool, server, report, *flags):
    return subprocess.Popen([tool, f"--server={server.address}", f"--json={report}", *flags],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process):
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def sessions(api, stub):
    return stub.GetLoad(api.pb.GetLoadRequest()).sessions


def test_a_closed_loop_has_every_token_it_asked_for(api, stub, loadgen_tool, server, tmp_path):
    before = sessions(api, stub)
    code, out, err = end(start(loadgen_tool, server, tmp_path / "report", "--sessions=3", "--turns=2", "--max_tokens=6",
                               "--history-tokens=40", "--slo_ttft_ms=100000"))
    assert code == 0, err
    assert "(6 turns, 36 tokens)" in out
    report = json.loads((tmp_path / "report").read_text())
    assert (report["complete"], report["errors"], report["tokens"]) == (True, 0, 36)
    assert (report["ttft_ms"]["count"], report["itl_ms"]["count"]) == (6, 30)
    assert 0 < report["ttft_ms"]["p50"] <= report["turn_ms"]["max"] <= 1000 * report["seconds"] + 1
    assert report["tokens_per_second"] * report["seconds"] == pytest.approx(36)
    assert report["goodput"]["share_of_turns"] == 1
    assert sessions(api, stub) == before


def test_users_who_cancel_drop_and_dawdle_in_an_open_loop_cause_no_error(loadgen_tool, server, tmp_path):
    code, _, err = end(start(loadgen_tool, server, tmp_path / "report", "--rate=4", "--duration=2", "--turns=2",
                             "--max-tokens=3-8", "--cancel-share=0.3", "--drop-share=0.3", "--slow-share=0.3",
                             "--read-delay-ms=20"))
    assert code == 0, err
    report = json.loads((tmp_path / "report").read_text())
    assert report["errors"] == 0, report["errors_by_code"]
    assert report["cancelled_dropped_or_slow_turns"] > 0 and report["reattach_ms"]["count"] > 0


def test_an_interrupted_load_keeps_its_figures_and_leaves_no_session(api, stub, loadgen_tool, server, tmp_path):
    before = sessions(api, stub)
    process = start(loadgen_tool, server, tmp_path / "report", "--sessions=2", "--turns=1000000", "--max-tokens=16000")
    while sessions(api, stub) < before + 2:
        assert process.poll() is None, end(process)
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert code == 1
    assert "INCOMPLETE: interrupted" in out
    assert "sinkstream-loadgen: interrupted; what was measured until then is on standard output and in" in err
    assert json.loads((tmp_path / "report").read_text())["complete"] is False
    while sessions(api, stub) > before:  # the last one closes with its stream
        pass
