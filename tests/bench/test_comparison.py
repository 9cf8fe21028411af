"""The pure parts of the comparison with other programs: what is measured when, what the figures are, what the report says."""

import argparse
import importlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import pytest

from comparison import cells, figures, plan, plot, prompts, report, results, roster
from comparison.cells import CELLS, Cell
from comparison.figures import Figures
from comparison.peers import PeerFailed, in_process, llama_batched, llama_server, sinkstream
from comparison.run import Run, present

REPLY = Cell("reply", 2, 16, 3)


# Cells.


def test_cells_are_chosen_by_name_kind_and_group():
    assert [cell.name for cell in cells.chosen("history,reply-1")] == ["history-1", "history-8", "history-32", "reply-1"]
    assert [cell.name for cell in cells.chosen("quick,reply-8")] == list(cells.QUICK)
    assert cells.chosen("all") == list(CELLS.values())


def test_a_cell_that_is_none_is_named():
    with pytest.raises(ValueError, match="no cell 'reply-3'; there are quick, all, reply-1"):
        cells.chosen("reply-3")


# From the times of tokens to figures.


def test_the_rate_of_replies_counts_from_the_start_to_the_last_token():
    measured = figures.from_arrivals(REPLY, [[1.0, 1.5, 2.0], [2.0, 2.5, 3.0]])
    assert measured.rate == 6 / 3.0
    assert measured.ttft_ms == 1500
    assert measured.itl_ms == 500


def test_the_rate_of_a_prefill_is_of_its_prompt():
    assert figures.from_arrivals(Cell("prefill", 1, 512, 1), [[0.25]]) == Figures(rate=2048, ttft_ms=250)


def test_with_a_history_only_what_all_sessions_decode_at_once_counts():
    cell = Cell("history", 2, 448, 4)
    # The second has read its prompt at 3 s, the first has ended at 4 s: one token of each falls between.
    measured = figures.from_arrivals(cell, [[1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0]])
    assert measured.rate == 2 / 1.0
    assert measured.itl_ms == 1000


def test_endless_counts_from_the_full_cache_on():
    cell = Cell("endless", 1, 16, 6, cache_tokens=19)
    slow_until_full = [1.0, 2.0, 3.0, 4.0, 4.1, 4.2]
    assert figures.from_arrivals(cell, [slow_until_full]).rate == pytest.approx(2 / 0.2)


def test_replies_that_are_too_short_are_no_figures():
    with pytest.raises(ValueError, match=r"2 replies of \[2, 3\] tokens, not 2 of 3"):
        figures.from_arrivals(REPLY, [[1.0, 1.5, 2.0], [2.0, 2.5]])


def test_sessions_that_never_decode_together_are_no_figures():
    with pytest.raises(ValueError, match="at the same time"):
        figures.from_arrivals(Cell("history", 2, 448, 2), [[1.0, 2.0], [3.0, 4.0]])


def test_percentiles_are_values_that_were_measured():
    assert figures.percentile([30, 10, 20, 40], 0.5) == 20
    assert figures.percentile([30, 10, 20, 40], 0.99) == 40
    assert figures.percentile([7], 0.01) == 7


def test_rounds_are_summed_up_by_their_medians():
    of_rounds = figures.summary([Figures(90, ttft_ms=20), Figures(300, ttft_ms=40), Figures(100, ttft_ms=30)])
    assert (of_rounds.rate, of_rounds.least, of_rounds.most, of_rounds.rounds) == (100, 90, 300, 3)
    assert (of_rounds.ttft_ms, of_rounds.itl_ms) == (30, None)


def test_the_best_peer_is_none_of_ours():
    of_cell = {name: figures.summary([Figures(rate, ttft_ms=ttft)])
               for name, rate, ttft in (("ours", 900, 5), ("a", 100, 30), ("b", 200, 40))}
    assert figures.best_rate(of_cell, ["a", "b", "away"]) == ("b", 200)
    assert figures.least_ttft(of_cell, ["a", "b"]) == ("a", 30)
    assert figures.best_rate({}, ["a"]) is None


# What is asked of peers, and what they answer.


def test_prompts_are_the_same_for_every_peer_and_differ_between_rounds():
    text, cell = list(range(1000)), CELLS["reply-8"]
    first = prompts.pieces(text, cell, 0)
    assert first == prompts.pieces(text, cell, 0) != prompts.pieces(text, cell, 1)
    assert len(first) == 8
    assert all(piece == list(range(piece[0], piece[0] + 16)) for piece in first)


def test_a_text_shorter_than_a_prompt_is_refused():
    with pytest.raises(ValueError, match="16 tokens, fewer than a prompt of 16"):
        prompts.pieces(list(range(16)), CELLS["reply-1"], 0)


def test_the_load_generator_reads_histories_before_it_measures():
    assert {"--sessions=8", "--history-tokens=447", "--prompt-tokens=1", "--max-tokens=64"} <= set(
        sinkstream.load_flags(CELLS["history-8"]))
    # 16 + 1520 tokens, of which 512 fill the cache.
    assert {"--history-tokens=512", "--max-tokens=1024", "--sinks=4", "--window=508"} <= set(
        sinkstream.load_flags(CELLS["endless-1"]))


def load_report(**changes):
    return {"errors": 0, "errors_by_code": {}, "complete": True, "tokens": 8 * 128, "tokens_per_second": 640.0,
            "ttft_ms": {"p50": 30.0}, "itl_ms": {"p50": 12.0, "p99": 15.0}} | changes


def test_our_figures_are_those_of_the_load_generator():
    assert sinkstream.figures(CELLS["reply-8"], load_report()) == Figures(640.0, 30.0, 12.0, 15.0)
    one_token = load_report(tokens=1, ttft_ms={"p50": 256.0}, itl_ms={"p50": None, "p99": None})
    assert sinkstream.figures(CELLS["prefill-1"], one_token).rate == 2000


@pytest.mark.parametrize("changes, reason", [
    ({"errors": 1, "errors_by_code": {"UNAVAILABLE": 1}}, "UNAVAILABLE"),
    ({"complete": False, "error": "the server has gone"}, "the server has gone"),
    ({"tokens": 1000}, "1000 tokens, not 1024"),
])
def test_a_load_that_failed_in_part_is_no_figure_of_ours(changes, reason):
    with pytest.raises(PeerFailed, match=reason):
        sinkstream.figures(CELLS["reply-8"], load_report(**changes))


def test_events_of_the_llama_server():
    assert llama_server.event_tokens(b'data: {"content":"a","tokens":[5,6],"stop":false}\n') == (2, None)
    assert llama_server.event_tokens(b'data: {"content":"","tokens":[],"stop":true,"tokens_predicted":128}\n') == (0, 128)
    assert llama_server.event_tokens(b"\r\n") is None
    with pytest.raises(PeerFailed, match="context"):
        llama_server.event_tokens(b'data: {"error":{"message":"the context is full"}}\n')


def test_the_llama_server_shifts_its_context_in_endless_cells_alone():
    endless = llama_server.server_command("server", "model", CELLS["endless-8"], 2, 80, flash_attention=False)
    assert endless[-3:] == ["--context-shift", "--keep", "4"]
    assert endless[endless.index("-c") + 1] == str(8 * 512)
    assert "--context-shift" not in llama_server.server_command("server", "model", CELLS["reply-8"], 2, 80, True)
    assert "n_discard" not in llama_server.request_body(CELLS["endless-1"], [1], exact=False)
    assert llama_server.request_body(CELLS["endless-1"], [1], exact=True)["n_discard"] == 1


def test_rows_of_llama_batched_bench():
    row = {"pp": 16, "tg": 128, "pl": 8, "t_pp": 0.5, "t_tg": 2.0}
    measured = llama_batched.figures(CELLS["reply-8"], f"loading\n{json.dumps(row)}\n\n")
    assert (measured.rate, measured.ttft_ms, measured.itl_ms) == (8 * 128 / 2.5, 500, 2000 / 128)
    history = row | {"pp": 448, "tg": 64}
    assert llama_batched.figures(CELLS["history-8"], json.dumps(history)).rate == 8 * 64 / 2.0
    with pytest.raises(PeerFailed, match="0 rows"):
        llama_batched.figures(CELLS["reply-1"], json.dumps(row))


def test_a_library_that_is_not_set_up_is_missing(tmp_path):
    peer = in_process.InProcess("library", str(tmp_path / "python"), "worker.py", {"threads": 1}, [], ("reply",))
    assert "python" in peer.missing()
    assert peer.takes(CELLS["reply-1"]) and not peer.takes(CELLS["endless-1"])


def test_llama_of_fewer_instructions_is_a_peer_where_it_was_built(tmp_path):
    assert not any("avx" in peer.name for peer in roster.peers(str(tmp_path), str(tmp_path), 2))
    binaries = tmp_path / "llama.cpp/build-avx2/bin"
    binaries.mkdir(parents=True)
    (binaries / "llama-server").touch()
    assert [peer.name for peer in roster.chosen(roster.peers(str(tmp_path), str(tmp_path), 2), "llama.cpp*avx*")] == [
        "llama.cpp server Q4_1 avx2", "llama.cpp server Q8_0 avx2", "llama.cpp in process Q4_1 avx2",
        "llama.cpp in process Q8_0 avx2"]


def test_openvino_chooses_how_to_compute_with_compressed_weights_and_evicts_in_endless_cells_alone(tmp_path):
    peers = {peer.name.removeprefix("OpenVINO GenAI "): peer
             for peer in roster.chosen(roster.peers(str(tmp_path), str(tmp_path), 2), "OpenVINO*")}
    assert {name for name, peer in peers.items() if "precision" not in peer.settings} == {"int8", "int4"}
    assert {name for name, peer in peers.items() if peer.settings.get("eviction")} == {"bf16 eviction"}
    assert {name for name, peer in peers.items() if peer.takes(CELLS["endless-1"])} == {"bf16 eviction"}
    assert all(weights in peers[weights].settings["model"] for weights in ("float32", "int8", "int4"))


@pytest.mark.parametrize("flags, name", [("", "sinkstream int8"), ("--speculative_tokens=0 --isa=avx2", "sinkstream int8 avx2")])
def test_our_name_tells_the_instructions_that_are_forced(flags, name):
    arguments = argparse.Namespace(server_flags=flags, model=["int8=file.pt"], binaries="bin", threads=2, text="text")
    assert [peer.name for peer in roster.ours(arguments)] == [name]


# The run.


class ScriptedPeer:
    """Measures what it is given; an exception is raised instead."""

    def __init__(self, name, outcomes=(), log=None, missing=None, takes=lambda cell: True):
        self.name, self._outcomes, self._missing = name, list(outcomes), missing
        self.log = log if log is not None else []
        self.takes = takes

    def missing(self):
        return self._missing

    def start(self, cell):
        self.log.append(f"{self.name} {cell.name}")

    def measure(self, cell, token_ids):
        assert len(token_ids) == cell.sessions
        if cell.new_tokens == 8:  # the warm-up
            return None
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def resident_mb(self):
        return 100

    def pause(self):
        self.log.append(f"{self.name} paused")

    def stop(self):
        self.log.append(f"{self.name} stopped")


def run(tmp_path, rounds, names, *peers):
    kept = results.Results(str(tmp_path / "results.json"), {}, ["ours"])
    Run(list(range(2000)), kept).all(rounds, cells.chosen(names), present(peers, kept))
    return json.loads((tmp_path / "results.json").read_text())


def test_peers_take_turns_and_the_first_one_changes():
    a, b = ScriptedPeer("a"), ScriptedPeer("b", takes=lambda cell: cell.kind == "reply")
    steps = [(number, cell.name, peer.name) for number, cell, peer in plan.plan(2, cells.chosen("reply-1,prefill-1"), [a, b])]
    assert steps == [(0, "reply-1", "a"), (0, "reply-1", "b"), (0, "prefill-1", "a"),
                     (1, "reply-1", "b"), (1, "reply-1", "a"), (1, "prefill-1", "a")]


def test_a_peer_rests_while_the_next_one_is_measured(tmp_path):
    log = []
    run(tmp_path, 1, "reply-1", ScriptedPeer("a", [Figures(1, 1)], log), ScriptedPeer("b", [Figures(2, 1)], log))
    assert log == ["a reply-1", "a paused", "b reply-1", "b paused", "a stopped", "b stopped"]


def test_a_peer_that_fails_is_left_out_with_its_reason_and_the_others_go_on(tmp_path):
    failing = ScriptedPeer("failing", [PeerFailed("out of memory"), Figures(1, 1), Figures(1, 1)])
    document = run(tmp_path, 2, "reply-32,reply-1", failing, ScriptedPeer("other", [Figures(5, 1)] * 4))
    assert document["left_out"] == {"failing": {"reply-32": "out of memory"}}
    assert [(one["cell"], one["rate"]) for one in document["measurements"] if one["peer"] == "other"] == [
        ("reply-32", 5), ("reply-1", 5), ("reply-32", 5), ("reply-1", 5)]
    assert [one["cell"] for one in document["measurements"] if one["peer"] == "failing"] == ["reply-1", "reply-1"]


def test_a_peer_that_fails_twice_is_not_asked_again(tmp_path):
    broken = ScriptedPeer("broken", [PeerFailed("no"), PeerFailed("no")])
    document = run(tmp_path, 2, "reply-1,reply-2,reply-4", broken)
    assert document["measurements"] == []
    assert broken.log.count("broken reply-4") == 0


def test_what_is_not_set_up_is_named_and_never_started(tmp_path):
    away = ScriptedPeer("away", missing="no llama-server")
    document = run(tmp_path, 1, "reply-1", away, ScriptedPeer("there", [Figures(5, 1)]))
    assert document["left_out"] == {"away": {"": "no llama-server"}}
    assert away.log == []


def test_what_was_measured_before_an_interruption_is_kept(tmp_path):
    log = []
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 1, "reply-1,reply-2", ScriptedPeer("a", [Figures(7, 1), KeyboardInterrupt()], log))
    assert json.loads((tmp_path / "results.json").read_text())["measurements"][0]["rate"] == 7
    assert log[-1] == "a stopped"


HUNG_UP = """
import os, signal, sys
sys.modules["transformers"] = type(sys)("transformers")
sys.modules["transformers"].AutoTokenizer = None
import compare

class FakeRun:
    def __init__(self, *arguments): pass

    def all(self, *arguments):
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            print("goes on")
        finally:
            print("peers stopped", flush=True)

compare.Run, compare.tokens_of, compare.present = FakeRun, lambda *arguments: [], lambda *arguments: []
signal.signal(signal.SIGHUP, signal.{before})
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)  # what is written to a closed terminal fails
sys.argv = ["compare.py"] + {arguments!r}
sys.exit(compare.main())
"""


def set_up(folder):
    """Arguments of compare.py that name what a bare checkout lacks: a model and the folders of scripts/bench."""
    (folder / "model.pt").touch()
    return ["--out", str(folder), "--bench", str(folder), "--binaries", str(folder), "--model", f"own={folder / 'model.pt'}"]


@pytest.mark.parametrize("before,told", [("SIG_DFL", ["peers stopped"]), ("SIG_IGN", ["goes on", "peers stopped"])])
def test_a_closed_terminal_is_an_interruption_unless_it_is_ignored(tmp_path, before, told):
    ran = subprocess.run([sys.executable, "-c", HUNG_UP.format(before=before, arguments=set_up(tmp_path))], stdout=subprocess.PIPE, text=True,
                         stdin=subprocess.DEVNULL, cwd=Path(__file__).parent, timeout=60)
    assert ran.stdout.splitlines()[:len(told)] == told
    assert (tmp_path / "results.md").exists()


@pytest.mark.parametrize("changed,message", [
    (["--rounds", "0"], "--rounds and --threads are at least 1"),
    (["--bench", "{folder}/none"], "{folder}/none is no folder; scripts/bench sets it up"),
    (["--binaries", "{folder}/model.pt"], "{folder}/model.pt is no folder; scripts/bench sets it up"),
    (["--model", "own"], "--model is NAME=FILE"),
    (["--model", "={folder}/model.pt"], "--model is NAME=FILE"),
    (["--model", "other={folder}/none.pt"], "--model: there is no file {folder}/none.pt"),
    (["--model", "own={folder}/model.pt"], "--model: two of one name"),
])
def test_what_cannot_be_measured_is_refused_before_anything_is(tmp_path, monkeypatch, capsys, changed, message):
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=None))
    compare = importlib.import_module("compare")
    arguments = set_up(tmp_path) + [argument.format(folder=tmp_path) for argument in changed]
    monkeypatch.setattr(sys, "argv", ["compare.py", *arguments])
    with pytest.raises(SystemExit, match="2"):
        compare.parse()
    assert capsys.readouterr().err.endswith(f"error: {message.format(folder=tmp_path)}\n")


# The report and the plot.


def document(**changes):
    machine = {"cpu": "A CPU", "processors": 2, "flags": ["avx2"], "memory_gib": 24, "kernel": "6.1", "commit": "abc",
               "threads": 2, "date": "2026-01-01 00:00", "load_average": [0.1, 0, 0], "load_average_at_end": [2.0, 1, 1]}
    rates = [("reply-1", "llama.cpp", 160.0, 20.0), ("reply-1", "sinkstream", 400.0, 15.0), ("reply-32", "llama.cpp", 1234.5, 300.0),
             ("reply-32", "vLLM", 900.0, 100.0), ("reply-32", "sinkstream", 2469.0, 100.0)]
    return {"machine": machine, "ours": ["sinkstream"], "left_out": {"other": {"": "no server", "reply-1": "too slow"}},
            "measurements": [{"round": 0, "cell": cell, "peer": peer, "rate": rate, "ttft_ms": ttft, "itl_ms": 9.87,
                              "itl_p99_ms": None, "other_cores": 0.04, "resident_mb": 250}
                             for cell, peer, rate, ttft in rates]} | changes


def test_the_table_has_ratios_to_the_best_peer_of_each_cell():
    table = report.rate_table(document()).splitlines()
    assert table[0] == "| tokens/s | sessions: 1 | sessions: 32 |"
    assert "| llama.cpp | 160 | 1,234 |" in table
    assert "| vLLM | – | 900 |" in table
    assert table[-2:] == ["| sinkstream | 400 | 2,469 |", "| **sinkstream / best peer** | **2.50** | **2.00** |"]


def test_the_report_tells_the_machine_latencies_and_who_was_left_out():
    text = report.markdown(document())
    for told in ("A CPU, 2 processors (avx2)", "commit abc", "load average 0.1 before and 2.0 after", "0.04 of a processor",
                 "| llama.cpp | 20; 9.87 (–) |", "sinkstream 15 ms, 0.75 of llama.cpp's 20 ms", "left out: other: no server",
                 "left out: other in reply-1: too slow", "sinkstream 250"):
        assert told in " ".join(text.split("\n")), told


def test_the_report_compares_a_full_cache_with_a_history():
    measurements = [{"round": 0, "cell": cell, "peer": "sinkstream", "rate": rate, "ttft_ms": 1.0, "itl_ms": 1.0,
                     "itl_p99_ms": 1.0, "other_cores": 0, "resident_mb": None}
                    for cell, rate in (("history-8", 200.0), ("endless-8", 190.0))]
    assert "sinkstream, endless / with history: 0.95 of 8" in report.markdown(document(measurements=measurements))


def test_a_run_without_figures_says_so():
    text = report.markdown(document(measurements=[]))
    assert "Nothing was measured." in text and "no server" in text
    assert plot.svg(document(measurements=[])) is None


def test_the_plot_has_a_line_for_each_and_is_well_formed():
    drawing = ElementTree.fromstring(plot.svg(document()))
    lines = drawing.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 3
    heights = {float(point.split(",")[1]): line.get("stroke-width") for line in lines for point in line.get("points").split()}
    assert all(0 < height < 480 for height in heights)
    assert heights[min(heights)] == "3"  # ours, the thick one, has the fastest point


def test_ticks_span_what_is_drawn():
    assert plot.ticks(26, 1008) == [20, 50, 100, 200, 500, 1000, 2000]
    assert plot.ticks(100, 100) == [100]
