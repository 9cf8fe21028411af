import itertools
import threading

import grpc
import pytest

QUESTION = "What is the capital of France?"
TEXT = "The quick brown fox jumps over the lazy dog. Größe, 東京 and 🙂 are in here too."


def test_answers_sensibly(open_chat):
    reply = open_chat().ask(QUESTION, max_tokens=40)
    assert "Paris" in reply.text
    assert reply.done.usage.generated_tokens == len(reply.tokens)
    assert reply.done.usage.prompt_tokens > 10
    assert reply.done.timings.total.ToNanoseconds() > reply.done.timings.first_token.ToNanoseconds() > 0


def test_ten_turns_beyond_the_window(open_chat):
    chat = open_chat(sinks=4, window=120)
    evicted = 0
    for i in range(1, 11):
        reply = chat.ask(f"Turn {i}: name one animal, please.", request_id=i, max_tokens=20)
        assert reply.done.request_id == i
        assert reply.text.strip()
        assert reply.done.usage.cached_tokens <= 124
        evicted += reply.done.usage.evicted_tokens
        if reply.windows:
            assert reply.windows[-1].evicted_tokens == evicted
            assert reply.windows[-1].first_recent_position == 4 + evicted
    assert evicted > 100


def test_two_sessions_at_once_each_keep_their_own(open_chat):
    alone = open_chat().ask("Count to five.", max_tokens=20).tokens
    first, second = open_chat(), open_chat()
    first.send_turn("Count to five.", max_tokens=20)
    second.send_turn(QUESTION, max_tokens=20)
    assert first.read_reply().tokens == alone
    assert "Paris" in second.read_reply().text


def test_cancel_ends_the_reply_and_the_session_goes_on(api, open_chat):
    chat = open_chat()
    chat.send_turn("Tell me a very long story.", request_id=1, max_tokens=2000, ignore_end_of_turn=True)
    assert chat.read().WhichOneof("event") == "delta"
    chat.send(cancel=api.pb.Cancel())
    reply = chat.read_reply()
    assert reply.done.finish_reason == api.pb.FINISH_REASON_CANCELLED
    assert reply.done.usage.generated_tokens < 2000
    assert chat.ask(QUESTION).text


def test_a_reattached_session_says_what_an_uninterrupted_one_says(open_chat):
    turns = ["My name is Ada.", "What is my name?", "Say it again."]
    stayed = open_chat()
    expected = [stayed.ask(turn).tokens for turn in turns]
    said = []
    session = None
    for turn in turns:
        chat = open_chat() if session is None else open_chat(session_id=session, sampling=None)
        assert chat.opened.resumed == (session is not None)
        session = chat.session_id
        said.append(chat.ask(turn).tokens)
        chat.half_close()
        assert chat.end().code() == grpc.StatusCode.OK
    assert said == expected


def test_a_second_attach_takes_over(open_chat):
    first = open_chat()
    second = open_chat(session_id=first.session_id, sampling=None)
    assert first.end().code() == grpc.StatusCode.ABORTED
    assert second.ask(QUESTION).text


def test_a_half_close_mid_reply_lets_the_reply_end(open_chat):
    chat = open_chat()
    chat.send_turn(QUESTION)
    chat.half_close()
    assert chat.read_reply().done.usage.generated_tokens > 0
    assert chat.end().code() == grpc.StatusCode.OK


def test_a_system_prompt_is_pinned_whole_and_obeyed_for_ever(stub, open_chat):
    prompt = "You are a pirate. Always answer as a pirate would, and say Arrr."
    chat = open_chat(system_prompt=prompt, window=80)
    plain = open_chat()
    assert chat.opened.sinks > plain.opened.sinks
    assert chat.opened.sinks > len(prompt.split())
    first = chat.ask("Who are you?", max_tokens=20)
    for _ in range(4):
        last = chat.ask("Who are you?", max_tokens=20)
    assert last.done.usage.evicted_tokens > 0
    assert first.tokens != plain.ask("Who are you?", max_tokens=20).tokens


def test_where_a_text_is_split_does_not_matter(api, open_chat):
    words = TEXT * 3
    replies = []
    for cuts in ([], [1, 7, 30], range(5, len(words), 5)):
        chat = open_chat(window=64)
        edges = [0, *cuts, len(words)]
        held = 0
        for start, end in itertools.pairwise(edges):
            appended = chat.append(words[start:end])
            assert appended.appended is not None
            held = appended.appended.held_bytes
        reply = chat.ask(raw=" And so", max_tokens=10)
        replies.append((reply.tokens, held))
    assert replies[0] == replies[1] == replies[2]


def test_stop_strings_end_the_reply_and_never_show(api, open_chat):
    reply = open_chat().ask("Count from one to nine, in digits.", max_tokens=60, stop_strings=["4", "5,"])
    assert reply.done.finish_reason == api.pb.FINISH_REASON_STOP_STRING
    assert reply.done.stop_string in ("4", "5,")
    assert reply.done.stop_string not in reply.text


def test_stop_tokens_and_max_tokens(api, open_chat):
    free = open_chat().ask(QUESTION, max_tokens=6)
    assert free.done.finish_reason == api.pb.FINISH_REASON_LENGTH
    assert len(free.tokens) == 6
    stop = free.tokens[3]
    reply = open_chat().ask(QUESTION, stop_tokens=[stop])
    assert reply.done.finish_reason == api.pb.FINISH_REASON_STOP_TOKEN
    assert reply.tokens == free.tokens[: free.tokens.index(stop) + 1]


def test_logprobs_of_the_chosen_and_the_likeliest(open_chat):
    reply = open_chat().ask(QUESTION, top_logprobs=3, max_tokens=8)
    assert len(reply.logprobs) == len(reply.tokens) == 8
    for token, at in zip(reply.tokens, reply.logprobs):
        assert at.chosen.token_id == token
        assert at.chosen == at.top[0], "greedy takes the likeliest"
        assert len(at.top) == 3
        assert 0 >= at.top[0].logprob >= at.top[1].logprob >= at.top[2].logprob
    assert b"".join(at.chosen.token_bytes for at in reply.logprobs).decode() == reply.text


def test_no_logprobs_unless_asked_for(open_chat):
    assert not open_chat().ask(QUESTION).logprobs


HOT = dict(temperature=1.5, top_p=1, max_tokens=16)


def test_a_seed_makes_a_reply_reproducible_alone_and_in_a_batch(open_chat):
    alone = open_chat().ask("Invent a word.", seed=7, **HOT)
    assert alone.done.seed == 7
    chats = [open_chat() for _ in range(6)]
    for i, chat in enumerate(chats):
        chat.send_turn("Invent a word." if i in (0, 3) else f"Invent {i} words.", seed=7, **HOT)
    replies = [chat.read_reply() for chat in chats]
    assert replies[0].tokens == replies[3].tokens == alone.tokens
    assert open_chat().ask("Invent a word.", seed=8, **HOT).tokens != alone.tokens


def test_the_seed_that_was_drawn_is_told_and_gives_the_same(open_chat):
    drawn = open_chat().ask("Invent a word.", **HOT)
    assert open_chat().ask("Invent a word.", seed=drawn.done.seed, **HOT).tokens == drawn.tokens


def test_greedy_tokens_do_not_depend_on_neighbours(open_chat):
    questions = [f"What is {i} plus {i}?" for i in range(6)]
    alone = [open_chat().ask(question).tokens for question in questions]
    chats = [open_chat() for _ in questions]
    together = [None] * len(questions)

    def talk(i):
        together[i] = chats[i].ask(questions[i]).tokens

    threads = [threading.Thread(target=talk, args=(i,)) for i in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_token_ids_are_the_same_as_their_text(api, stub, open_chat):
    ids = stub.Tokenize(api.pb.TokenizeRequest(text="Once upon a time")).token_ids
    assert open_chat().ask(ids=ids).tokens == open_chat().ask(raw="Once upon a time").tokens


@pytest.mark.parametrize("text", [TEXT, " ", "\n\n\t x", "<|im_end|>", "a" * 5000, "é\u0301\u200d"])
def test_tokenization_round_trips(api, stub, text):
    ids = stub.Tokenize(api.pb.TokenizeRequest(text=text)).token_ids
    assert stub.Detokenize(api.pb.DetokenizeRequest(token_ids=ids)).text == text


def test_get_model(api, stub, open_chat):
    model = stub.GetModel(api.pb.GetModelRequest())
    assert model.name == "SmolLM2-135M-Instruct"
    assert (model.architecture, model.chat_format) == ("llama", "chatml")
    assert model.weight_dtype == model.kv_dtype == "float32"
    assert (model.vocab_size, model.trained_context) == (49152, 8192)
    assert model.isa in ("amx", "avx512_bf16", "avx512_vnni", "avx512", "avx2", "portable")
    assert model.limits.max_sessions == 256
    assert model.limits.kv_bytes <= 1 << 30
    chat = open_chat(sampling=None)
    assert chat.opened.kv_bytes == model.kv_bytes_per_session
    assert chat.opened.sampling == model.defaults.sampling
    assert chat.opened.limits == model.limits
    assert (chat.opened.sinks, chat.opened.window) == (model.defaults.sinks, model.defaults.window)
