"""Log-probabilities of texts: those of `transformers` on the same weights, whoever else is served."""

import pathlib
import threading

import grpc
import pytest
import torch
from sinkstream_export.reference import band_sink_forward, llama_shape

from client import DEADLINE

BOOK = pathlib.Path(__file__).parents[1] / "data/crime_and_punishment_excerpt.txt"
TOKENS = 160  # two chunks
TOLERANCE = 1e-3
SKIP_ALL = 2**31 - 1


@pytest.fixture(scope="module")
def text():
    return BOOK.read_text(encoding="utf-8")[:1500]


@pytest.fixture(scope="module")
def ids(reference, text):
    return reference[1](text)["input_ids"][:TOKENS]


@pytest.fixture(scope="module")
def dense(reference, ids):
    """transformers' log-probabilities [tokens, vocabulary] of what follows each token."""
    with torch.inference_mode():
        return reference[0](torch.tensor([ids])).logits[0].double().log_softmax(-1)


class Scored:
    """What a call or an append has told, put together."""

    def __init__(self, scores):
        self.tokens = [at.chosen.token_id for part in scores for at in part.logprobs]
        self.logprobs = [at.chosen.logprob for part in scores for at in part.logprobs]
        self.positions = [part.position + i for part in scores for i in range(len(part.logprobs))]
        self.top = [at.top for part in scores for at in part.logprobs]
        self.distributions = [
            torch.frombuffer(bytearray(row), dtype=torch.float32) for part in scores for row in part.distributions
        ]


@pytest.fixture
def score(api, score_stub):
    def call(text=None, ids=None, **fields):
        request = api.score_pb.ScoreRequest(text=text, **fields)
        if ids is not None:
            request.token_ids.ids.extend(ids)
        events = list(score_stub.Score(request, timeout=DEADLINE))
        assert events[-1].WhichOneof("event") == "done"
        scored = Scored([event.scores for event in events[:-1]])
        scored.done = events[-1].done
        return scored

    return call


def of_text(every, ids):
    """Of ids[1:], from the rows before them."""
    return every[: len(ids) - 1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def assert_close(got, expected):
    torch.testing.assert_close(torch.tensor(got).double(), expected, atol=TOLERANCE, rtol=0)


def test_the_log_probabilities_are_those_of_transformers(ids, dense, score):
    got = score(ids=ids, sinks=0, window=TOKENS)
    assert got.tokens == ids[1:]
    assert got.positions == list(range(1, TOKENS))
    assert_close(got.logprobs, of_text(dense, ids))
    assert got.done.usage.prompt_tokens == TOKENS - 1
    assert got.done.timings.total.ToNanoseconds() > 0


def test_with_a_small_window_they_are_those_of_the_oracle(reference, ids, score):
    sinks, window = 4, 48
    with torch.inference_mode():
        model = reference[0]
        logits = band_sink_forward(
            model.state_dict(), llama_shape(model.config), torch.tensor(ids), sinks, window)
    got = score(ids=ids, sinks=sinks, window=window)
    assert_close(got.logprobs, of_text(logits.double().log_softmax(-1), ids))
    assert got.done.usage.evicted_tokens == TOKENS - 1 - (window - 1) - sinks


def test_a_text_is_read_whole(reference, score):
    text = "Nothing is held back of an unfinis"
    got = score(text)
    assert got.tokens == reference[1](text)["input_ids"][1:]
    assert b"".join(at.token_bytes for at in score(text, scoring={"top_logprobs": 1}).top[-1]) != b""


def test_the_likeliest_tokens_and_whole_distributions(ids, dense, score):
    got = score(ids=ids[:40], scoring={"top_logprobs": 5, "distributions": True, "skip_tokens": 10})
    assert got.positions == list(range(10, 40))
    for position, top, row in zip(got.positions, got.top, got.distributions, strict=True):
        assert row.double().exp().sum().item() == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(row.double(), dense[position - 1], atol=TOLERANCE, rtol=0)
        assert [at.token_id for at in top] == row.argsort(descending=True, stable=True)[:5].tolist()
        assert [at.logprob for at in top] == [row[at.token_id].item() for at in top]


def test_pieces_of_a_text_are_scored_as_the_whole(ids, open_chat, score):
    whole = score(ids=ids, sinks=4, window=48)
    chat = open_chat(sinks=4, window=48)
    pieces = [chat.append(ids=ids[a:b], scoring={}) for a, b in [(0, 1), (1, 8), (8, 9), (9, 140), (140, TOKENS)]]
    got = Scored([part for piece in pieces for part in piece.scores])
    assert got.positions == whole.positions
    assert got.logprobs == whole.logprobs


def test_text_comes_in_pieces_too(text, open_chat, score):
    chat = open_chat()
    pieces = [chat.append(text[at:at + 70], scoring={}) for at in range(0, 700, 70)]
    got = Scored([part for piece in pieces for part in piece.scores])
    whole = score(text[:700])
    read = len(got.logprobs)
    assert pieces[-1].appended.held_bytes > 0
    assert got.tokens == whole.tokens[:read]
    assert got.logprobs == whole.logprobs[:read]


def test_a_continuation_is_scored_behind_its_context(ids, open_chat, score):
    chat = open_chat()
    context = chat.append(ids=ids[:20], scoring={"skip_tokens": SKIP_ALL})
    assert not context.scores
    got = Scored(chat.append(ids=ids[20:30], scoring={}).scores)
    assert got.logprobs == score(ids=ids[:30]).logprobs[19:]


def test_two_at_once_beside_a_chat_are_scored_as_alone(ids, open_chat, score):
    texts = [ids[:100], ids[60:]]
    alone = [score(ids=text).logprobs for text in texts]
    reply_alone = open_chat().ask("Say yes.").tokens
    together = {}

    def run(i):
        together[i] = score(ids=texts[i]).logprobs

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    reply = open_chat().ask("Say yes.").tokens
    for thread in threads:
        thread.join()
    assert [together[0], together[1]] == alone
    assert reply == reply_alone


@pytest.mark.parametrize(
    "fields, field, limit",
    [
        (dict(), "input", ""),
        (dict(text=""), "text", ""),
        (dict(text="x" * (256 * 1024 + 1)), "text", "262144"),
        (dict(token_ids={"ids": [1, 49152]}), "token_ids.ids[1]", "49152"),
        (dict(text="x", sinks=-1), "sinks", "0"),
        (dict(text="x", window=9000), "window", "8192"),
        (dict(text="x", scoring={"top_logprobs": 21}), "scoring.top_logprobs", "20"),
        (dict(text="x", scoring={"skip_tokens": -1}), "scoring.skip_tokens", "0"),
        (dict(text="x y " * 64, scoring={"distributions": True}), "scoring.distributions", "64"),
    ],
)
def test_bad_input_is_refused(api, score_stub, fields, field, limit):
    call = score_stub.Score(api.score_pb.ScoreRequest(**fields), timeout=DEADLINE)
    with pytest.raises(grpc.RpcError) as refused:
        list(call)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(field + ":") and limit in refused.value.details()
    status = api.status.Status()
    status.ParseFromString(dict(call.trailing_metadata())["grpc-status-details-bin"])
    bad_request = api.errors.BadRequest()
    assert status.details[0].Unpack(bad_request)
    assert bad_request.field_violations[0].field == field


def test_a_bad_append_is_refused_and_the_session_goes_on(ids, open_chat):
    chat = open_chat()
    for scoring, field in [({"top_logprobs": -1}, "top_logprobs"), ({"distributions": True}, "distributions")]:
        refused = chat.append(ids=ids, scoring=scoring).failed.status
        assert refused.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert refused.message.startswith(f"append.scoring.{field}:")
    assert len(Scored(chat.append(ids=ids[:5], scoring={}).scores).logprobs) == 4


def test_the_load_is_told(api, stub, open_chat):
    open_chat().append(ids=[1])  # answered after the engine has told of all before it
    before = stub.GetLoad(api.pb.GetLoadRequest())
    chat = open_chat()
    chat.append(ids=[1])
    load = stub.GetLoad(api.pb.GetLoadRequest())
    assert load.sessions == before.sessions + 1
    assert load.attached_sessions == before.attached_sessions + 1
    assert load.kv_bytes_reserved == before.kv_bytes_reserved + chat.opened.kv_bytes
    assert load.kv_bytes == chat.opened.limits.kv_bytes
    assert load.resident_bytes > 300 << 20  # the weights alone
