"""The server as a process: flags, model files, ports, signals, health."""

import json
import pathlib
import shutil
import signal
import socket
import zipfile

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase)

from client import Chat
from process import START_SECONDS, ServerProcess, busiest_thread, halted, run

SERVICE = "sinkstream.v1.ChatService"


def one_line_of_error(result):
    assert result.returncode == 1
    assert "listening" not in result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("sinkstream-server: error: ")
    return lines[0]


def test_help_lists_our_flags(binary):
    result = run(binary, "--help")
    assert result.returncode == 0
    assert result.stderr == ""
    for flag in ("--model", "--listen", "--threads", "--kv_bytes", "--max_sessions", "--sinks", "--window",
                 "--flagfile"):
        assert flag in result.stdout
    assert "absl" not in result.stdout


def test_version(binary):
    result = run(binary, "--version")
    version = (pathlib.Path(__file__).parents[2] / "VERSION").read_text().split()[0]
    assert (result.returncode, result.stdout) == (0, f"sinkstream-server {version}\n")


@pytest.mark.parametrize("flag", ["--max_token", "--no-statistics", "--nostats"])
@pytest.mark.parametrize("value", ["", "=3"])
def test_the_chat_names_what_is_no_flag(chat_program, flag, value):
    result = run(chat_program, flag + value)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"sinkstream-chat: {flag} is not a flag; --help lists them\n"


@pytest.mark.parametrize(
    "flags, named",
    [
        (["--no_such_flag"], "sinkstream-server: error: '--no_such_flag' is not a flag (see --help)"),
        (["--noreflexion"], "'--noreflexion' is not a flag"),
        (["--isa", "--frob"], "--isa"),
        (["--", "--frob"], "'--frob' is not a flag"),
        (["--threads=many"], "threads"),
        (["--kv_bytes=2GB"], "kv_bytes"),
        (["--listen=nowhere"], "--listen"),
        (["--sinks=-1"], "--sinks"),
        (["--isa=sse"], "--isa"),
        (["stray"], "stray"),
        ([], ""),
    ],
)
def test_bad_flags_start_nothing(binary, model, flags, named):
    result = run(binary, f"--model={model}", "--window=0", *flags)
    assert result.returncode == 1
    assert result.stdout == ""
    assert named in result.stderr


def test_no_model_given(binary):
    assert "--model" in one_line_of_error(run(binary))


def test_session_defaults_beyond_the_model(binary, model):
    line = one_line_of_error(run(binary, f"--model={model}", "--listen=127.0.0.1:0", "--window=9000"))
    assert "8192" in line


def test_kv_memory_that_holds_no_session(binary, model):
    line = one_line_of_error(run(binary, f"--model={model}", "--listen=127.0.0.1:0", "--kv_bytes=1MiB"))
    assert "kv" in line.lower()


def test_missing_model_file(binary, tmp_path):
    path = tmp_path / "none.pt"
    assert str(path) in one_line_of_error(run(binary, f"--model={path}"))


def test_truncated_model_file(binary, model, tmp_path):
    path = tmp_path / "short.pt"
    with open(model, "rb") as whole, open(path, "wb") as short:
        shutil.copyfileobj(whole, short, 1 << 20)
        short.truncate(pathlib.Path(model).stat().st_size // 2)
    assert str(path) in one_line_of_error(run(binary, f"--model={path}"))


@pytest.mark.parametrize("content", [b"", b"hello\n" * 1000, b"PK\x03\x04 not really"])
def test_foreign_file(binary, tmp_path, content):
    path = tmp_path / "foreign.pt"
    path.write_bytes(content)
    assert str(path) in one_line_of_error(run(binary, f"--model={path}"))


def test_foreign_torchscript_file(binary, tmp_path):
    torch = pytest.importorskip("torch")

    class Doubler(torch.nn.Module):
        def forward(self, x):
            return x * 2

    path = tmp_path / "doubler.pt"
    torch.jit.script(Doubler()).save(str(path))
    assert str(path) in one_line_of_error(run(binary, f"--model={path}"))


def test_model_file_of_a_future_format(binary, model, tmp_path):
    path = tmp_path / "future.pt"
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("extra/manifest.json"):
                manifest = json.loads(content)
                manifest["format_version"] += 1
                content = json.dumps(manifest).encode()
            target.writestr(name, content)
    line = one_line_of_error(run(binary, f"--model={path}"))
    assert str(path) in line and "newer" in line


def test_port_in_use(binary, model, server):
    line = one_line_of_error(run(binary, f"--model={model}", f"--listen={server.address}", "--kv_bytes=256MiB"))
    assert server.address in line


def test_start_says_what_was_chosen(server):
    start = "\n".join(server.output)
    for fact in ("sinkstream-server ", "SmolLM2-135M-Instruct", "float32", "threads: ", "sessions of 4 sinks",
                 f"listening on {server.address}"):
        assert fact in start


def test_health(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        reply = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
    watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_there_is_no_reflection_by_default(channel):
    with pytest.raises(grpc.RpcError) as refusal:
        ProtoReflectionDescriptorDatabase(channel).get_services()
    assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_reflection_lists_the_service(small_server):
    database = ProtoReflectionDescriptorDatabase(small_server.channel)
    assert SERVICE in database.get_services()
    names = [method.name for method in database.FindFileByName("sinkstream/v1/chat.proto").service[0].method]
    assert names == ["Converse", "GetModel", "Tokenize", "Detokenize", "GetLoad"]


@pytest.fixture
def small_server(binary, model, tmp_path):
    """Does not end by itself while a turn runs."""
    flags = tmp_path / "flags"
    flags.write_text("--listen=127.0.0.1:0\n--kv_bytes=256MiB\n--window=100\n--max_sessions=2\n--threads=1\n"
                     "--drain_timeout=1h\n--reflection\n")
    with ServerProcess(binary, f"--flagfile={flags}", f"--model={model}") as it:
        it.await_address()
        with grpc.insecure_channel(it.address) as channel:
            it.channel = channel
            yield it


def test_flags_from_a_file(api, small_server):
    model = api.grpc.ChatServiceStub(small_server.channel).GetModel(api.pb.GetModelRequest())
    assert model.defaults.window == 100
    assert model.limits.max_sessions == 2
    assert small_server.stop() == 0


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(binary, model, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(START_SECONDS)
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with ServerProcess(binary, f"--model={model}", "--listen=127.0.0.1:0", "--kv_bytes=256MiB") as server:
            assert manager.recv(100) == b"READY=1"
            with grpc.insecure_channel(server.await_address()) as channel:
                reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                assert reply.status == health_pb2.HealthCheckResponse.SERVING
            assert server.stop() == 0
            assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_model_loads_ends_the_server(binary, model, number):
    with ServerProcess(binary, f"--model={model}", "--listen=127.0.0.1:0") as server:
        server.await_loading()
        assert server.stop(number) == 0
        assert server.rest_of_output() == ""
        assert server.errors() == ""


def test_a_hangup_without_a_terminal_ends_nothing(api, small_server):
    chat = Chat(api, api.grpc.ChatServiceStub(small_server.channel))
    chat.open()
    small_server.send_signal(signal.SIGHUP)
    assert chat.ask("Hello.", max_tokens=2, ignore_end_of_turn=True).done.usage.generated_tokens == 2
    chat.leave()
    assert small_server.stop() == 0


def test_a_signal_lets_the_running_turn_end(api, small_server):
    chat = Chat(api, api.grpc.ChatServiceStub(small_server.channel))
    chat.open()
    chat.send_turn("Count to ten.", max_tokens=20, ignore_end_of_turn=True)
    chat.read()
    small_server.send_signal(signal.SIGINT)
    reply = chat.read_reply()
    assert reply.done.usage.generated_tokens == 20
    assert [farewell.time_left.seconds for farewell in reply.farewells] == [3600]
    assert chat.end().code() == grpc.StatusCode.UNAVAILABLE
    assert small_server.wait() == 0
    logged = [json.loads(line) for line in small_server.errors().splitlines()]
    assert [(line["level"], line["event"]) for line in logged] == [("info", "draining"), ("info", "turn")]


def test_a_second_signal_hurries(api, small_server):
    chat = Chat(api, api.grpc.ChatServiceStub(small_server.channel))
    chat.open()
    chat.send_turn("Count for ever.", max_tokens=16000, ignore_end_of_turn=True)
    chat.read()
    watch = health_pb2_grpc.HealthStub(small_server.channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    small_server.send_signal()
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    small_server.send_signal()
    assert chat.end().code() == grpc.StatusCode.UNAVAILABLE
    assert small_server.wait() == 0


def run_with_a_stuck_step(api, server, stop):
    """Its exit code, when `stop` has been called while a step does not end; what it has logged."""
    chat = Chat(api, api.grpc.ChatServiceStub(server.channel))
    chat.open()
    engine = busiest_thread(server.pid, lambda: chat.ask("Count to ten.", max_tokens=50, ignore_end_of_turn=True))
    chat.send_turn("Count for ever.", max_tokens=16000, ignore_end_of_turn=True)
    chat.read()
    try:
        with halted(engine):
            stop()
    except PermissionError:
        pytest.skip("no process may be traced here")
    return server.wait(), [json.loads(line) for line in server.errors().splitlines()]


def test_a_stuck_step_does_not_hold_up_the_end_for_ever(api, small_server):
    code, logged = run_with_a_stuck_step(api, small_server, lambda: small_server.send_signals(2))
    assert code == 1
    assert (logged[-1]["level"], logged[-1]["event"]) == ("error", "not_stopped")


def test_a_third_signal_ends_it_at_once(api, small_server):
    code, logged = run_with_a_stuck_step(api, small_server, lambda: small_server.send_signals(3))
    assert code == 1
    assert "not_stopped" not in [line["event"] for line in logged]
