"""Replies are the same whether tokens are guessed ahead or not."""

import grpc
import pytest

from client import Chat
from process import ServerProcess

LIST = "alpha beta gamma delta epsilon zeta eta theta iota kappa\n"
PROMPTS = {
    "repetitive": dict(raw=LIST * 5, max_tokens=120, ignore_end_of_turn=True),
    "to be copied": dict(text="Repeat this line five times: the quick brown fox jumps over the lazy dog",
                         max_tokens=100),
    "normal": dict(text="Explain why the sky is blue, and why sunsets are red.", max_tokens=120),
}
SAMPLINGS = {
    "greedy": dict(temperature=0),
    "sampled": dict(temperature=0.7, top_p=0.9, seed=7),
    "penalised": dict(temperature=0.5, repetition_penalty=1.1, frequency_penalty=0.2, seed=11),
    "stopped": dict(temperature=0, stop_strings=["delta", "sunset", "fox fox"]),
}


@pytest.fixture(scope="module", params=[0, 4])
def speculating(request, binary, model):
    """A server of its own, and how many tokens it guesses."""
    with ServerProcess(binary, f"--model={model}", "--listen=127.0.0.1:0", "--kv_bytes=256MiB",
                       f"--speculative_tokens={request.param}") as it:
        it.await_address()
        yield request.param, it
        assert it.stop() == 0, it.errors()


REPLIES = {}  # of the server that guesses nothing, which comes first


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_same_replies(api, speculating, prompt, sampling):
    tokens, server = speculating
    with grpc.insecure_channel(server.address) as channel:
        chat = Chat(api, api.grpc.ChatServiceStub(channel))
        chat.open(sinks=4, window=100)  # which fills
        reply = chat.ask(**PROMPTS[prompt], **SAMPLINGS[sampling], top_logprobs=2)
        chat.leave()
    told = (reply.tokens, reply.text, reply.done.finish_reason, reply.done.usage, reply.windows, reply.logprobs)
    if tokens == 0:
        REPLIES[prompt, sampling] = told
    assert told == REPLIES[prompt, sampling]
    assert len(reply.tokens) == reply.done.usage.generated_tokens > 0
