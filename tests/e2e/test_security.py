"""Encryption, clients' certificates, tokens and how the server listens: the built programs, as an operator runs them."""

import os
import pathlib
import subprocess

import grpc
import pytest

from certificates import Authority
from client import Chat
from process import ServerProcess, run

READY_SECONDS = 30
ALICE, BOB = "alice-token-0123", "bob-token-456789"


def one_line_of_error(result) -> str:
    assert result.returncode == 1
    assert "listening" not in result.stdout
    [line] = result.stderr.splitlines()
    assert line.startswith("sinkstream-server: error: ")
    return line


def replace(path: pathlib.Path, content: bytes) -> None:
    """At once, as an operator should."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    os.rename(fresh, path)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "authority")


@pytest.fixture
def tls(tmp_path, authority):
    """Flags of a server that encrypts, and its files."""

    class Tls:
        certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
        flags = [f"--tls_certificate={certificate}", f"--tls_key={key}"]

        @classmethod
        def install(cls, issuer: Authority) -> None:
            certificate, key = issuer.issue("localhost")
            replace(cls.certificate, certificate.read_bytes())
            replace(cls.key, key.read_bytes())

    Tls.install(authority)
    return Tls


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    replace(path, f"alice {ALICE}\nbob {BOB}\n".encode())
    return path


@pytest.fixture
def start(binary, model):
    """Starts a small server with more flags."""
    servers = []

    def start_one(*flags):
        servers.append(ServerProcess(binary, f"--model={model}", "--listen=127.0.0.1:0", "--kv_bytes=256MiB", "--threads=1",
                                     *flags))
        servers[-1].await_address()
        return servers[-1]

    yield start_one
    for server in servers:
        with server:
            assert server.stop() == 0, server.errors()


def reaches(server, root: bytes) -> bool:
    """Whether a new connection that trusts `root` gets through."""
    with grpc.secure_channel(server.address, grpc.ssl_channel_credentials(root)) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=1)
        except grpc.FutureTimeoutError:
            return False
        return True


@pytest.mark.parametrize(
    "flags, named",
    [
        (["--listen=0.0.0.0:0"], "--listen"),
        (["--listen=0.0.0.0:0", "--auth_tokens=any"], "--listen"),
        (["--tls_certificate=any.pem"], "--tls_key"),
        (["--tls_key=any.key"], "--tls_certificate"),
        (["--tls_client_ca=any.pem"], "--tls_client_ca"),
        (["--tls_certificate=none.pem", "--tls_key=none.key"], "none.pem: No such file"),
        (["--auth_tokens=none.txt"], "none.txt: No such file"),
        (["--stuck_step_limit=0"], "--stuck_step_limit"),
    ],
)
def test_what_does_not_go_together_starts_nothing(binary, model, flags, named):
    assert named in one_line_of_error(run(binary, f"--model={model}", *flags))


def test_a_bad_token_file_is_named_with_its_line(binary, model, tokens):
    tokens.write_text(f"# of the team\nalice {ALICE}\nbob\n")
    line = one_line_of_error(run(binary, f"--model={model}", f"--auth_tokens={tokens}"))
    assert f"{tokens}:3: " in line
    tokens.write_text("")
    assert str(tokens) in one_line_of_error(run(binary, f"--model={model}", f"--auth_tokens={tokens}"))


def test_a_key_of_another_certificate_starts_nothing(binary, model, authority, tls):
    replace(tls.key, authority.issue("another")[1].read_bytes())
    line = one_line_of_error(run(binary, f"--model={model}", *tls.flags))
    assert str(tls.key) in line and str(tls.certificate) in line


def test_an_unencrypted_port_for_others_is_opened_on_request(start):
    assert start("--listen=0.0.0.0:0", "--insecure_listen").address.startswith("0.0.0.0:")


def test_certificates_are_replaced_without_a_restart(api, start, authority, tls, tmp_path):
    server = start(*tls.flags)
    fresh = Authority(tmp_path, "fresh")
    assert reaches(server, authority.root()) and not reaches(server, fresh.root())
    with grpc.secure_channel(server.address, grpc.ssl_channel_credentials(authority.root())) as channel:
        chat = Chat(api, api.grpc.ChatServiceStub(channel))
        chat.open()
        tls.install(fresh)
        while not reaches(server, fresh.root()):
            pass
        assert not reaches(server, authority.root())
        assert chat.ask("Hello.", max_tokens=4).done, "the stream that was there goes on"
    while "the new certificate is in force" not in server.errors():
        pass


def test_tokens_open_the_door_and_are_told_to_nobody(api, start, tokens):
    server = start(f"--auth_tokens={tokens}", "--max_principal_sessions=7")

    def call(token):
        metadata = [("authorization", f"Bearer {token}")] if token else []
        with grpc.insecure_channel(server.address) as channel:
            return api.grpc.ChatServiceStub(channel).GetModel(api.pb.GetModelRequest(), metadata=metadata)

    for token in (None, "carol-token-0000"):
        with pytest.raises(grpc.RpcError) as refusal:
            call(token)
        assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert call(ALICE).limits.max_principal_sessions == 7
    replace(tokens, f"alice {ALICE}\n".encode())
    with pytest.raises(grpc.RpcError):
        while True:
            call(BOB)
    call(ALICE)
    for secret in (ALICE, BOB, "carol-token-0000"):
        assert secret not in server.errors() + "".join(server.output)


def test_a_secret_that_others_may_read_is_warned_of(start, tokens):
    tokens.chmod(0o644)
    server = start(f"--auth_tokens={tokens}")
    assert '"level":"warning"' in server.errors()
    assert f"{tokens}: is a secret that others may read" in server.errors()


def talk(program, *flags) -> subprocess.CompletedProcess:
    return subprocess.run([program, *flags], input="Hello.\n", capture_output=True, text=True, timeout=120)


def test_the_chat_shows_certificate_and_token(chat_program, start, authority, tls, tokens, tmp_path):
    server = start(*tls.flags, f"--tls_client_ca={authority.path}", f"--auth_tokens={tokens}")
    certificate, key = authority.issue("alice")
    token = tmp_path / "token"
    token.write_text(ALICE + "\n")
    encrypted = [f"--server={server.address}", f"--tls_ca={authority.path}"]
    shown = [*encrypted, f"--tls_certificate={certificate}", f"--tls_key={key}"]
    good = talk(chat_program, *shown, f"--token_file={token}", "--max_tokens=4")
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.strip()

    def complaint(*flags):
        result = talk(chat_program, *flags)
        assert (result.returncode, result.stdout) == (1, "")
        [line] = result.stderr.splitlines()
        return line

    assert "UNAUTHENTICATED" in complaint(*shown) and "(give --token-file)" in complaint(*shown)
    token.write_text("carol-token-0000")
    assert "does not know the token" in complaint(*shown, f"--token_file={token}")
    assert "needs --tls-ca" in complaint(f"--server={server.address}")
    stranger = Authority(tmp_path, "stranger")
    assert "lead to --tls-ca" in complaint(f"--server={server.address}", f"--tls_ca={stranger.path}")
    assert "--tls-certificate" in complaint(*encrypted)


def test_the_load_generator_shows_its_token(loadgen_tool, start, authority, tls, tokens, tmp_path):
    server = start(*tls.flags, f"--auth_tokens={tokens}")
    token = tmp_path / "token"
    token.write_text(BOB)
    load = [loadgen_tool, f"--server={server.address}", f"--tls-ca={authority.path}", "--sessions=1", "--turns=1",
            "--warmup-turns=0", "--max-tokens=4"]
    assert run(*load, f"--token-file={token}").returncode == 0
    refused = run(*load)
    assert refused.returncode == 1 and "give --token-file" in refused.stderr
