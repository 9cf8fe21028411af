"""Sessions whose keys and values are kept as bytes (--kv_dtype=int8)."""

import grpc

from client import Chat
from process import ServerProcess

LIST = "alpha beta gamma delta epsilon zeta eta theta iota kappa\n"


def test_a_session_streams_past_its_window_in_a_quarter_of_the_memory(api, binary, model, stub):
    settings = dict(sinks=4, window=100)
    in_float32 = Chat(api, stub)
    float32_bytes = in_float32.open(**settings).kv_bytes
    in_float32.leave()
    with ServerProcess(binary, f"--model={model}", "--listen=127.0.0.1:0", "--kv_bytes=256MiB", "--kv_dtype=int8") as it:
        it.await_address()
        with grpc.insecure_channel(it.address) as channel:
            stub_of_bytes = api.grpc.ChatServiceStub(channel)
            assert stub_of_bytes.GetModel(api.pb.GetModelRequest()).kv_dtype == "int8"
            chat = Chat(api, stub_of_bytes)
            # Of a head's 64 dimensions and 16 slots: codes and 16 scales instead of floats.
            assert chat.open(**settings).kv_bytes * 64 * 4 == float32_bytes * (64 + 4)
            reply = chat.ask(raw=LIST * 5, max_tokens=40, ignore_end_of_turn=True, temperature=0)
            chat.leave()
        assert it.stop() == 0, it.errors()
    assert reply.windows, "it has evicted"
    assert reply.text.startswith("alpha beta gamma delta")
