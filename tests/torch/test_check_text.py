"""check_text: the server's parsers of tokenizer and chat format, as the exporter calls them."""

import json

import pytest
import torch

check_text = torch.ops.sinkstream.check_text

# The 256 bytes as the byte-level alphabet writes them: those that print stand for themselves.
PRINTED = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
ALPHABET = [*map(chr, PRINTED), *(chr(0x100 + i) for i in range(256 - len(PRINTED)))]
SPECIAL = 257


def tokenizer(**changes) -> dict:
    """The bytes, one merge and one special token."""
    vocab = {character: i for i, character in enumerate([*ALPHABET, "ab"])}
    model = {"type": "BPE", "vocab": vocab, "merges": [["a", "b"]]}
    return {
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "decoder": {"type": "ByteLevel"},
        "model": model | changes.pop("model", {}),
        "added_tokens": [{"id": SPECIAL, "content": "<|end|>", "special": True}],
    } | changes


def chat_format(**changes) -> dict:
    role = {"prefix": [{"text": "user: "}], "suffix": [{"token": SPECIAL}]}
    return {"format_version": 1, "name": "chat", "trim": False, "begin": [], "system": role, "user": role,
            "assistant": role, "default_system": None, "stop_tokens": [SPECIAL]} | changes


def split(pattern: str) -> dict:
    parts = [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
             {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]
    return {"type": "Sequence", "pretokenizers": parts}


def check(tokenizer_file: dict, chat_format_file: dict, vocab_size: int = SPECIAL + 1) -> None:
    check_text(json.dumps(tokenizer_file), json.dumps(chat_format_file), vocab_size)


def test_what_the_server_reads_passes():
    assert check(tokenizer(), chat_format()) is None
    check(tokenizer(pre_tokenizer=split(r"\s+|\p{L}+")), chat_format())


@pytest.mark.parametrize(("changes", "message"), [
    ({"pre_tokenizer": split(r"\h+")}, "unsupported in a regular expression"),
    ({"model": {"vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3}, "unk_token": "<unk>"}},
     "unk_token is not supported where bytes lack tokens"),
    ({"model": {"dropout": 0.1}}, "dropout is not supported"),
    ({"model": {"end_of_word_suffix": "</w>"}}, "end_of_word_suffix is not supported"),
    ({"normalizer": {"type": "Lowercase"}}, "normalizer Lowercase is not supported"),
    ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer Whitespace is not supported"),
    ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "add_prefix_space must be false"),
    ({"added_tokens": [{"id": SPECIAL, "content": "<x>", "special": False, "single_word": True}]},
     "added token \"<x>\": single_word is not supported"),
    ({"decoder": {"type": "WordPiece"}}, "decoder WordPiece is not supported"),
])
def test_a_tokenizer_that_the_server_refuses_is_refused_with_its_reason(changes, message):
    with pytest.raises(RuntimeError, match=message):
        check(tokenizer(**changes), chat_format())


@pytest.mark.parametrize(("changes", "message"), [
    ({"format_version": 3}, "chat_format.json: "),
    ({"stop_tokens": [SPECIAL + 1]}, "chat_format.json: .*stop_tokens"),
    ({"user": None}, "chat_format.json: .*user"),
])
def test_a_chat_format_that_the_server_refuses_is_refused_with_its_reason(changes, message):
    with pytest.raises(RuntimeError, match=message):
        check(tokenizer(), chat_format(**changes))


def test_a_vocabulary_that_holds_no_token_of_the_format_is_refused():
    with pytest.raises(RuntimeError, match="chat_format.json: "):
        check(tokenizer(), chat_format(), vocab_size=SPECIAL)
    with pytest.raises(RuntimeError, match="vocab_size 0 is not within"):
        check(tokenizer(), chat_format(), vocab_size=0)


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_text_that_is_no_json_object_is_refused(text):
    with pytest.raises(RuntimeError, match="tokenizer"):
        check_text(text, json.dumps(chat_format()), SPECIAL + 1)
    with pytest.raises(RuntimeError, match="chat_format.json"):
        check_text(json.dumps(tokenizer()), text, SPECIAL + 1)
