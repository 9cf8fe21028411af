"""End to end: the built server with the default model, and a client generated from proto/ when the tests run.

SINKSTREAM_SERVER: the server's binary. SINKSTREAM_CHAT, SINKSTREAM_EVAL, SINKSTREAM_LOADGEN: the clients. SINKSTREAM_MODEL: the
model file. All default to what `make build` leaves.
"""

import importlib
import os
import pathlib
import sys

import grpc
import pytest
from grpc_tools import protoc

from client import Chat
from process import ServerProcess

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "engine/export"))

SERVER = os.environ.get("SINKSTREAM_SERVER", str(ROOT / "build/bin/sinkstream-server"))
CHAT = os.environ.get("SINKSTREAM_CHAT", str(ROOT / "build/bin/sinkstream-chat"))
EVAL = os.environ.get("SINKSTREAM_EVAL", str(ROOT / "build/bin/sinkstream-eval"))
LOADGEN = os.environ.get("SINKSTREAM_LOADGEN", str(ROOT / "build/bin/sinkstream-loadgen"))
MODEL = os.environ.get("SINKSTREAM_MODEL", str(ROOT / "build/models/smollm2-135m-instruct.pt"))
PROTOS = ["sinkstream/v1/chat.proto", "sinkstream/v1/score.proto", "google/rpc/status.proto",
          "google/rpc/error_details.proto"]


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    """The generated modules: api.pb, api.grpc, api.score_pb, api.score_grpc, api.errors, api.status."""
    out = tmp_path_factory.mktemp("generated")
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{ROOT / 'proto'}", f"-I{well_known}", f"--python_out={out}",
                 f"--grpc_python_out={out}", *PROTOS]
    assert protoc.main(arguments) == 0
    sys.path.insert(0, str(out))

    class Api:
        pb = importlib.import_module("sinkstream.v1.chat_pb2")
        grpc = importlib.import_module("sinkstream.v1.chat_pb2_grpc")
        score_pb = importlib.import_module("sinkstream.v1.score_pb2")
        score_grpc = importlib.import_module("sinkstream.v1.score_pb2_grpc")
        errors = importlib.import_module("google.rpc.error_details_pb2")
        status = importlib.import_module("google.rpc.status_pb2")

    return Api


@pytest.fixture(scope="session")
def binary():
    return SERVER


@pytest.fixture(scope="session")
def chat_program():
    return CHAT


@pytest.fixture(scope="session")
def eval_tool():
    return EVAL


@pytest.fixture(scope="session")
def loadgen_tool():
    return LOADGEN


@pytest.fixture(scope="session")
def model():
    return MODEL


@pytest.fixture(scope="session")
def server(binary, model):
    with ServerProcess(binary, f"--model={model}", "--listen=127.0.0.1:0", "--kv_bytes=1GiB") as it:
        it.await_address()
        yield it
        assert it.stop() == 0, it.errors()


@pytest.fixture(scope="session")
def channel(server):
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.address, options=options) as it:
        yield it


@pytest.fixture(scope="session")
def stub(api, channel):
    return api.grpc.ChatServiceStub(channel)


@pytest.fixture(scope="session")
def score_stub(api, channel):
    return api.score_grpc.ScoreServiceStub(channel)


@pytest.fixture
def open_chat(api, stub):
    """Opens sessions of a greedy client; those that the test leaves open are closed after it."""
    chats = []

    def open_one(**fields):
        fields.setdefault("sampling", api.pb.Sampling(temperature=0, max_tokens=12))
        chats.append(Chat(api, stub))
        chats[-1].open(**fields)
        return chats[-1]

    yield open_one
    for chat in chats:
        chat.leave()


@pytest.fixture(scope="session")
def reference():
    """transformers' model on the default model's weights, and its tokenizer."""
    import reference_model  # here, as it takes seconds and few tests need it

    return reference_model.load()
