"""Each bad input gets its code and a message naming field and limit; the session and its neighbours go on."""

import grpc
import pytest

from client import DEADLINE, Chat

NAN, INF = float("nan"), float("inf")
BIG = "x" * (256 * 1024 + 1)


@pytest.fixture(autouse=True)
def neighbour(open_chat):
    """Somebody who talks before and after, and notices nothing."""
    question = "Say yes."
    chat = open_chat()
    again = chat.ask(question, max_tokens=4).tokens
    yield
    fresh = open_chat()
    assert fresh.ask(question, max_tokens=4).tokens == again
    assert chat.ask(question, max_tokens=4).done is not None


def details(api, call):
    status = api.status.Status()
    for key, value in call.trailing_metadata():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    return status


def unpack(detail, message):
    assert detail.Unpack(message)
    return message


def bad_field(api, status):
    return unpack(status.details[0], api.errors.BadRequest()).field_violations[0].field


def end_of(api, stub, *events):
    chat = Chat(api, stub)
    for event in events:
        chat.send(**event)
    return chat.end()


def test_first_message_is_not_open(api, stub):
    call = end_of(api, stub, {"turn": api.pb.Turn(text="hi")})
    assert call.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "open" in call.details()


def test_second_open(api, stub):
    call = end_of(api, stub, {"open": api.pb.Open()}, {"open": api.pb.Open()})
    assert call.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_message_without_event(api, stub):
    call = end_of(api, stub, {"open": api.pb.Open()}, {})
    assert call.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert bad_field(api, details(api, call)) == "event"


@pytest.mark.parametrize("session_id", ["x", "0" * 32, "../../etc/passwd", "0" * 5000])
def test_unknown_session(api, stub, session_id):
    call = end_of(api, stub, {"open": api.pb.Open(session_id=session_id)})
    assert call.code() == grpc.StatusCode.NOT_FOUND


def test_settings_with_a_session_id(api, stub, open_chat):
    session_id = open_chat().session_id
    call = end_of(api, stub, {"open": api.pb.Open(session_id=session_id, window=9)})
    assert call.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert bad_field(api, details(api, call)) == "open.session_id"


@pytest.mark.parametrize(
    "fields, field, limit",
    [
        (dict(sinks=-1), "open.sinks", "0"),
        (dict(window=0), "open.window", "1"),
        (dict(sinks=4, window=8189), "open.window", "8192"),
        (dict(window=2**63 - 1), "open.window", "8192"),
        (dict(system_prompt=BIG), "open.system_prompt", "262144"),
        (dict(system_prompt="word " * 9000), "open.system_prompt", "8192"),
        (dict(idle_timeout={"seconds": -1}), "open.idle_timeout", "0"),
        (dict(idle_timeout={"seconds": 10**6}), "open.idle_timeout", "24h"),
        (dict(sampling={"top_p": 1.5}), "open.sampling.top_p", "1"),
    ],
)
def test_settings_out_of_range(api, stub, fields, field, limit):
    call = end_of(api, stub, {"open": api.pb.Open(**fields)})
    assert call.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert bad_field(api, details(api, call)) == field
    assert call.details().startswith(field) and limit in call.details()


@pytest.mark.parametrize(
    "turn, field, limit",
    [
        (dict(), "turn.input", ""),
        (dict(text=""), "turn.text", ""),
        (dict(text=BIG), "turn.text", "262144"),
        (dict(raw=""), "turn.raw_text", ""),
        (dict(ids=[]), "turn.token_ids.ids", ""),
        (dict(ids=[5, 49152]), "turn.token_ids.ids[1]", "49152"),
        (dict(ids=[-1]), "turn.token_ids.ids[0]", "49152"),
        (dict(text="x", temperature=NAN), "turn.sampling.temperature", "10"),
        (dict(text="x", temperature=-0.1), "turn.sampling.temperature", "10"),
        (dict(text="x", temperature=INF), "turn.sampling.temperature", "10"),
        (dict(text="x", top_k=-1), "turn.sampling.top_k", "49152"),
        (dict(text="x", top_k=49153), "turn.sampling.top_k", "49152"),
        (dict(text="x", top_p=0), "turn.sampling.top_p", "1"),
        (dict(text="x", top_p=NAN), "turn.sampling.top_p", "1"),
        (dict(text="x", min_p=1), "turn.sampling.min_p", "1"),
        (dict(text="x", repetition_penalty=0), "turn.sampling.repetition_penalty", "10"),
        (dict(text="x", presence_penalty=11), "turn.sampling.presence_penalty", "10"),
        (dict(text="x", frequency_penalty=-11), "turn.sampling.frequency_penalty", "10"),
        (dict(text="x", penalty_last_n=4097), "turn.sampling.penalty_last_n", "4096"),
        (dict(text="x", max_tokens=0), "turn.sampling.max_tokens", "16384"),
        (dict(text="x", max_tokens=16385), "turn.sampling.max_tokens", "16384"),
        (dict(text="x", top_logprobs=21), "turn.sampling.top_logprobs", "20"),
        (dict(text="x", stop_strings=["a"] * 17), "turn.sampling.stop_strings", "16"),
        (dict(text="x", stop_strings=[""]), "turn.sampling.stop_strings", "256"),
        (dict(text="x", stop_strings=["a" * 257]), "turn.sampling.stop_strings", "256"),
        (dict(text="x", stop_tokens=[49152]), "turn.sampling.stop_tokens", "49152"),
        (dict(text="x", stop_tokens=[1] * 65), "turn.sampling.stop_tokens", "64"),
    ],
)
def test_turn_is_refused_and_the_session_goes_on(api, open_chat, turn, field, limit):
    chat = open_chat()
    refused = chat.ask(request_id=3, **turn)
    assert refused.failed.request_id == 3
    assert refused.failed.status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert bad_field(api, refused.failed.status) == field
    assert refused.failed.status.message.startswith(field)
    assert limit in refused.failed.status.message
    assert chat.ask("Say yes.", max_tokens=2).done is not None


def test_append_is_refused(api, open_chat):
    chat = open_chat()
    for arguments, field in [(dict(text=""), "append.text"), (dict(text=BIG), "append.text"),
                             (dict(ids=[49152]), "append.token_ids.ids[0]")]:
        assert bad_field(api, chat.append(**arguments).failed.status) == field


def test_turn_while_one_runs(open_chat):
    chat = open_chat()
    chat.send_turn("Count to a hundred.", request_id=1, max_tokens=30)
    chat.send_turn("And me?", request_id=2)
    answers = [chat.read_reply(), chat.read_reply()]
    refused = next(answer for answer in answers if answer.failed)
    done = next(answer for answer in answers if answer.done)
    assert refused.failed.request_id == 2
    assert refused.failed.status.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert done.done.request_id == 1


def test_message_over_the_size_limit(api, stub):
    call = end_of(api, stub, {"open": api.pb.Open()}, {"turn": api.pb.Turn(text="x" * (2 << 20))})
    assert call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def converse_raw(channel, *messages):
    call = channel.stream_stream("/sinkstream.v1.ChatService/Converse")(iter(messages), timeout=DEADLINE)
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    return call


OPEN = b"\x0a\x00"


@pytest.mark.parametrize(
    "message, field",
    [
        (b"\x0a\x04\x12\x02h\xff", "open.system_prompt"),
        (b"\xff\xff\xff\xff", "message"),
        (b"\x12\x7f\x00", "message"),
        (b"", "event"),
    ],
)
def test_message_that_does_not_parse_ends_the_stream(api, channel, message, field):
    messages = [message] if message.startswith(b"\x0a") else [OPEN, message]
    call = converse_raw(channel, *messages)
    assert call.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert bad_field(api, details(api, call)) == field


@pytest.mark.parametrize(
    "message, field",
    [
        (b"\x12\x06\x08\x07\x12\x02h\xff", "turn.text"),
        (b"\x12\x07\x08\x07\x12\x03\xed\xa0\x80", "turn.text"),
        (b"\x1a\x06\x08\x07\x12\x02h\xff", "append.text"),
    ],
)
def test_a_request_that_is_not_utf8_fails_alone(api, channel, message, field):
    call = channel.stream_stream("/sinkstream.v1.ChatService/Converse")(iter([OPEN, message]), timeout=DEADLINE)
    answers = [api.pb.ConverseResponse.FromString(answer) for answer in call]
    assert [answer.WhichOneof("event") for answer in answers] == ["opened", "failed"]
    assert answers[1].failed.request_id == 7
    assert answers[1].failed.status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert field in answers[1].failed.status.message
    assert call.code() == grpc.StatusCode.OK


def test_unary_text_that_is_not_utf8(api, channel):
    for method in ("Tokenize", "Detokenize"):
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary(f"/sinkstream.v1.ChatService/{method}")(b"\x0a\x02h\xff")
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_unary_limits(api, stub):
    for call in (lambda: stub.Tokenize(api.pb.TokenizeRequest(text="")),
                 lambda: stub.Tokenize(api.pb.TokenizeRequest(text=BIG)),
                 lambda: stub.Detokenize(api.pb.DetokenizeRequest(token_ids=[-1])),
                 lambda: stub.Detokenize(api.pb.DetokenizeRequest(token_ids=[1] * 131073))):
        with pytest.raises(grpc.RpcError) as error:
            call()
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert bad_field(api, details(api, error.value)).startswith(("text", "token_ids"))


def open_until_refused(api, stub, open_chat, **fields):
    chats = []
    while len(chats) < 300:
        chat = Chat(api, stub)
        chat.send(open=api.pb.Open(**fields))
        try:
            chat.opened = chat.read().opened
        except grpc.RpcError:
            return chats, chat.end()
        chats.append(chat)
    raise AssertionError("nothing was refused")


def test_more_sessions_than_memory_holds(api, stub, open_chat):
    fields = dict(window=8000, idle_timeout={"seconds": 0})
    chats, refused = open_until_refused(api, stub, open_chat, **fields)
    assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    status = details(api, refused)
    assert unpack(status.details[0], api.errors.RetryInfo()).retry_delay.ToNanoseconds() > 0
    info = unpack(status.details[1], api.errors.ErrorInfo())
    assert (info.reason, info.domain) == ("KV_MEMORY", "sinkstream")
    for chat in chats:
        assert chat.leave() == grpc.StatusCode.OK
    again, _ = open_until_refused(api, stub, open_chat, **fields)
    assert len(again) == len(chats), "closed sessions gave their memory back"
    for chat in again:
        chat.leave()


@pytest.mark.parametrize("prompt", ["Tell me a story.", "word " * 20000], ids=["decode", "prefill"])
def test_memory_comes_back_when_clients_go_away_in_the_middle(api, stub, open_chat, prompt):
    fields = dict(window=4000, idle_timeout={"seconds": 0})
    chats, _ = open_until_refused(api, stub, open_chat, **fields)
    for chat in chats[:2]:
        chat.send_turn(prompt, max_tokens=5000, ignore_end_of_turn=True)
    for chat in chats[:2]:
        chat.read()
    for chat in chats:
        chat.disconnect()
        assert chat.end().code() == grpc.StatusCode.CANCELLED
    # A server learns of a disconnection when it learns of it: until then an open is refused with RetryInfo.
    again = []
    for _ in range(500):
        more, _ = open_until_refused(api, stub, open_chat, **fields)
        again += more
        if len(again) == len(chats):
            break
    assert len(again) == len(chats)
    for chat in again:
        chat.leave()
