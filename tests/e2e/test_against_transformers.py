"""Greedy replies are those of `transformers` on the same weights, before anything is evicted."""

import torch

NEW_TOKENS = 24


def continuation(model, ids):
    with torch.inference_mode():
        out = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=NEW_TOKENS,
                             repetition_penalty=1.0)
    return out[0, len(ids):].tolist()


def test_greedy_continuation_of_token_ids(reference, open_chat):
    model, tokenizer = reference
    ids = tokenizer("It was a bright cold day in April, and the clocks were")["input_ids"]
    reply = open_chat().ask(ids=ids, max_tokens=NEW_TOKENS)
    assert reply.done.usage.prompt_tokens == len(ids)
    assert reply.tokens == continuation(model, ids)


def test_greedy_reply_of_a_chat(reference, open_chat):
    model, tokenizer = reference
    chat = open_chat()
    messages = []
    for question in ("Why is the sky blue?", "And at night?"):
        messages.append(dict(role="user", content=question))
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        expected = continuation(model, ids)
        reply = chat.ask(question, max_tokens=NEW_TOKENS)
        assert reply.tokens == expected
        assert reply.done.usage.prompt_tokens + reply.done.usage.cached_tokens == len(ids)
        messages.append(dict(role="assistant", content=reply.text))
