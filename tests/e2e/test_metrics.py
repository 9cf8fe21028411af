"""The operators' port and the log of a real server: what they tell is what its client saw."""

import datetime
import json
import re
import resource
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import grpc
import pytest

from client import Chat
from process import ServerProcess, run

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
FLAGS = ("--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--kv_bytes=256MiB", "--window=60",
         "--drain_timeout=1h")


def request(address: str, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
    """Status code and body."""
    asked = urllib.request.Request(f"http://{address}{path}", method=method, data=body)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def series(address: str) -> dict[str, float]:
    """The value of each series, by its name and labels as they are written."""
    code, text = request(address, "/metrics")
    assert code == 200
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def await_end(address: str, sessions: int) -> dict[str, float]:
    """The series once so many sessions have been closed by their clients and nothing is held any more."""
    deadline = time.monotonic() + 60
    while True:
        told = series(address)
        closed = told['sinkstream_sessions_closed_total{reason="client"}']
        if closed == sessions and told["sinkstream_kv_reserved_bytes"] == 0:
            return told
        assert time.monotonic() < deadline, told


def check_with_promtool(address: str) -> None:
    text = request(address, "/metrics")[1]
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@contextmanager
def watched_server(api, binary, model, *flags):
    with ServerProcess(binary, f"--model={model}", *FLAGS, *flags) as server:
        server.ops = server.await_line(r"metrics on (\S+)")
        server.await_address()
        with grpc.insecure_channel(server.address) as channel:
            server.stub = api.grpc.ChatServiceStub(channel)
            yield server


@pytest.fixture
def watched(api, binary, model):
    with watched_server(api, binary, model) as server:
        yield server


@pytest.fixture
def watched_without_guesses(api, binary, model):
    """Every token is a step."""
    with watched_server(api, binary, model, "--speculative_tokens=0") as server:
        yield server


def test_before_the_model_is_loaded_it_is_alive_and_not_ready(binary, model):
    with ServerProcess(binary, f"--model={model}", *FLAGS) as server:
        ops = server.await_line(r"metrics on (\S+)")
        assert request(ops, "/healthz") == (200, "ok\n")
        assert request(ops, "/readyz") == (503, "starting\n")
        assert series(ops)["sinkstream_ready"] == 0
        server.await_address()
        assert request(ops, "/readyz") == (200, "ready\n")
        assert series(ops)["sinkstream_ready"] == 1
        assert server.stop() == 0


def test_promtool_finds_no_fault_before_and_after_a_turn(api, watched):
    check_with_promtool(watched.ops)
    chat = Chat(api, watched.stub)
    chat.open(system_prompt="Be brief.")
    chat.ask("Name a colour.", max_tokens=40)
    check_with_promtool(watched.ops)


def test_counts_what_the_client_saw(api, watched):
    chat = Chat(api, watched.stub)
    chat.open(sinks=4, sampling=api.pb.Sampling(temperature=0))
    replies = [chat.ask(f"Tell me of number {i}.", max_tokens=50, ignore_end_of_turn=True) for i in range(3)]
    assert chat.leave() == grpc.StatusCode.OK
    usage = [reply.done.usage for reply in replies]
    told = await_end(watched.ops, 1)
    prompt, generated = sum(u.prompt_tokens for u in usage), sum(u.generated_tokens for u in usage)
    assert generated == 150
    assert told['sinkstream_turns_total{finish_reason="length"}'] == 3
    assert told["sinkstream_prompt_tokens_total"] == prompt
    assert told["sinkstream_generated_tokens_total"] == generated
    assert told["sinkstream_evicted_tokens_total"] == sum(u.evicted_tokens for u in usage) > 0
    assert told["sinkstream_time_to_first_token_seconds_count"] == 3
    assert told["sinkstream_inter_token_latency_seconds_count"] == generated - 3
    assert told["sinkstream_turn_duration_seconds_count"] == 3
    assert told["sinkstream_unanswered_turn_seconds_count"] == 0
    assert told["sinkstream_kv_blocks_freed_total"] == told["sinkstream_kv_blocks_evicted_total"] > 0
    seconds = sum(reply.done.timings.total.ToNanoseconds() for reply in replies) / 1e9
    assert told["sinkstream_turn_duration_seconds_sum"] == pytest.approx(seconds, rel=0.01)
    assert told["sinkstream_kv_used_bytes"] == 0 < told["sinkstream_kv_peak_bytes"] <= told["sinkstream_kv_limit_bytes"]
    assert told['sinkstream_sessions{state="attached"}'] == 0


def test_sees_the_sinks_at_work_and_the_model_sure_of_itself(api, watched_without_guesses):
    watched = watched_without_guesses
    chat = Chat(api, watched.stub)
    chat.open(sinks=4, sampling=api.pb.Sampling(temperature=0))
    chat.ask("Tell me a story.", max_tokens=600, ignore_end_of_turn=True)
    chat.leave()
    told = await_end(watched.ops, 1)
    looks = told["sinkstream_pinned_attention_ratio_count"]
    assert looks == told["sinkstream_generated_nll_nats_count"] >= 30, "every layer has been looked at"
    # Xiao et al. 2023: beyond the first layers, heads attend to the sinks above all.
    assert 0.2 < told["sinkstream_pinned_attention_ratio_sum"] / looks < 0.95
    # Greedy text is text that the model finds likely.
    assert 0 < told["sinkstream_generated_nll_nats_sum"] / looks < 1.5


def test_tells_the_model_the_limits_and_the_process(api, watched):
    told = series(watched.ops)
    [info] = [name for name in told if name.startswith("sinkstream_model_info{")]
    assert 'model="SmolLM2-135M-Instruct"' in info and 'sinks="4"' in info and 'window="60"' in info
    model = watched.stub.GetModel(api.pb.GetModelRequest())
    assert told["sinkstream_kv_limit_bytes"] == model.limits.kv_bytes
    assert 0.9 < told["sinkstream_kv_sessions_limit_bytes"] / model.limits.kv_bytes < 1
    assert told["sinkstream_sessions_limit"] == model.limits.max_sessions
    assert told["process_resident_memory_bytes"] > 100e6
    parts = told["sinkstream_kv_limit_bytes"] + told["sinkstream_distribution_limit_bytes"]
    assert told["process_resident_memory_bytes"] + parts < told["sinkstream_memory_limit_bytes"] < 10e9
    assert told["sinkstream_stuck_step_limit_seconds"] == 60
    assert time.time() - 600 < told["process_start_time_seconds"] <= time.time() + 1
    assert told["process_threads"] > 4 and told["process_open_fds"] > 4


def test_a_port_that_had_no_file_for_a_connection_is_not_ready_any_more(api, watched):
    chat = Chat(api, watched.stub)
    chat.open(idle_timeout=datetime.timedelta(0))
    soft, hard = resource.prlimit(watched.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(watched.pid, resource.RLIMIT_NOFILE, (3, hard))
    host, port = watched.address.rsplit(":", 1)
    deadline = time.monotonic() + 60
    with socket.create_connection((host, int(port))):
        while '"event":"port_deaf"' not in watched.errors():
            assert time.monotonic() < deadline, watched.errors()
            time.sleep(0.01)
    resource.prlimit(watched.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert "only a restart helps: Too many open files" in watched.errors()
    assert request(watched.ops, "/readyz") == (503, "deaf\n")
    assert series(watched.ops)["sinkstream_ready"] == 0
    assert chat.ask("Hello", max_tokens=3).done  # streams that are open go on
    chat.half_close()
    assert chat.end().code() == grpc.StatusCode.OK
    assert watched.stop() == 0


def test_is_not_ready_while_it_drains(api, watched):
    chat = Chat(api, watched.stub)
    chat.open()
    chat.send_turn("Count for ever.", max_tokens=16000, ignore_end_of_turn=True)
    chat.read()
    watched.send_signal()
    while request(watched.ops, "/readyz")[0] == 200:  # the signal is on its way
        pass
    assert request(watched.ops, "/readyz") == (503, "draining\n")
    assert request(watched.ops, "/healthz") == (200, "ok\n")
    told = series(watched.ops)
    assert told["sinkstream_ready"] == 0
    assert told['sinkstream_sessions{state="running"}'] == 1, "which goes on"
    watched.send_signal()
    chat.end()
    assert watched.wait() == 0


def log_lines(server: ServerProcess) -> list[dict]:
    return [json.loads(line) for line in server.errors().splitlines()]


def test_a_turn_is_a_line_of_the_log(api, watched):
    chat = Chat(api, watched.stub, metadata=[("traceparent", f"00-{TRACE}-{SPAN}-01")])
    opened = chat.open()
    reply = chat.ask("Say something memorable.", request_id=5, max_tokens=10, ignore_end_of_turn=True)
    chat.leave()
    assert watched.stop() == 0
    [line] = [line for line in log_lines(watched) if line["event"] == "turn"]
    usage = reply.done.usage
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
    assert (line["level"], line["code"], line["finish_reason"]) == ("info", "OK", "length")
    assert (line["session"], line["request_id"]) == (opened.session_id[:8], 5)
    assert (line["prompt_tokens"], line["generated_tokens"]) == (usage.prompt_tokens, usage.generated_tokens)
    assert line["total_seconds"] == pytest.approx(reply.done.timings.total.ToNanoseconds() / 1e9, abs=1e-3)
    assert (line["trace_id"], line["parent_span_id"], line["trace_sampled"]) == (TRACE, SPAN, True)
    whole = watched.errors()
    assert "memorable" not in whole and reply.text.strip() not in whole and opened.session_id not in whole


def test_the_log_level_changes_while_it_runs(api, watched):
    def open_and_leave(sessions_closed: int) -> None:
        chat = Chat(api, watched.stub)
        chat.open()
        chat.leave()
        await_end(watched.ops, sessions_closed)

    open_and_leave(1)
    assert request(watched.ops, "/log_level", "PUT", b"debug") == (200, "debug\n")
    open_and_leave(2)
    assert request(watched.ops, "/log_level", "PUT", b"error") == (200, "error\n")
    open_and_leave(3)
    assert request(watched.ops, "/log_level", "PUT", b"loud")[0] == 400
    assert request(watched.ops, "/log_level") == (200, "error\n")
    assert watched.stop() == 0
    assert [line["event"] for line in log_lines(watched)] == ["session_opened", "session_closed"]


def test_a_port_that_is_taken_stops_the_start(binary, model, watched):
    result = run(binary, f"--model={model}", "--listen=127.0.0.1:0", f"--metrics_listen={watched.ops}")
    assert (result.returncode, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert watched.ops in line and "--metrics_listen" in line


def test_the_list_of_metrics_is_what_is_told(binary, watched):
    page = run(binary, "--print_metrics").stdout
    listed = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE))
    told = set(re.findall(r"^# TYPE (\w+) ", request(watched.ops, "/metrics")[1], flags=re.MULTILINE))
    assert told == listed
