"""Sessions without a stream give up their memory to others, and come back as if nothing had been."""

import os

import grpc
import pytest

from client import Chat
from process import ServerProcess, run

SETTINGS = dict(window=200)
QUESTIONS = [f"My number is {i}. Say something about it." for i in range(10)]
GREEDY = dict(temperature=0, max_tokens=24)


@pytest.fixture(scope="module")
def crowded(api, binary, model, tmp_path_factory):
    """A server whose memory holds four of these sessions."""
    directory = tmp_path_factory.mktemp("park")
    with ServerProcess(binary, f"--model={model}", "--listen=127.0.0.1:0", "--kv_bytes=64MiB",
                       f"--park_directory={directory}") as it:
        it.await_address()
        with grpc.insecure_channel(it.address) as channel:
            it.stub = api.grpc.ChatServiceStub(channel)
            it.directory = directory
            yield it
        assert it.stop() == 0, it.errors()


def put_aside(chat):
    """The stream ends, the session stays."""
    chat.half_close()
    assert chat.end().code() == grpc.StatusCode.OK


def parked_files(server):
    links = (os.readlink(f"/proc/{server.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{server.pid}/fd"))
    return sum(link.endswith(" (deleted)") and not link.startswith("/dev") for link in links)


def test_ten_conversations_take_turns_in_the_memory_of_four(api, crowded, stub):
    alone = []
    for question in QUESTIONS:
        chat = Chat(api, stub)
        chat.open(**SETTINGS)
        alone.append((chat.ask(question, **GREEDY).tokens, chat.ask("And why?", **GREEDY).tokens))
        chat.leave()
    ids, first = [], []
    for question in QUESTIONS:
        chat = Chat(api, crowded.stub)
        ids.append(chat.open(**SETTINGS).session_id)
        first.append(chat.ask(question, **GREEDY).tokens)
        put_aside(chat)
    assert parked_files(crowded) >= 6
    assert not list(crowded.directory.iterdir()), "its files have no names"
    second = {}
    for i in [3, 9, 0, 4, 1, 8, 2, 7, 6, 5]:
        chat = Chat(api, crowded.stub)
        assert chat.open(session_id=ids[i]).resumed
        second[i] = chat.ask("And why?", **GREEDY).tokens
        put_aside(chat)
    assert [(first[i], second[i]) for i in range(10)] == alone


def test_a_directory_that_takes_no_files_is_refused_before_the_port_opens(binary, model, tmp_path):
    result = run(binary, f"--model={model}", "--listen=127.0.0.1:0", "--kv_bytes=64MiB", "--window=200",
                 f"--park_directory={tmp_path}/none")
    assert result.returncode == 1
    assert "park_directory" in result.stderr and str(tmp_path) in result.stderr
    assert "listening" not in result.stdout
