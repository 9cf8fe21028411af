"""Reads a tokenizer.json as far as the exporter needs it. What the server's tokenizer (engine/text/tokenizer.h) does not
read, its own parser names (operators.check_text)."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from tokenizers import Tokenizer

from .checkpoint import ExportError


def check(tokenizer_json: str, vocab_size: int) -> Tokenizer:
    """The tokenizer; ExportError names what is malformed and a model other than BPE and
    Unigram. Ids must lie in [0, vocab_size)."""
    parts = _parse(tokenizer_json)
    _check_model(_typed(dict, parts.get("model"), "model"))
    _added_tokens(parts)
    try:
        tokenizer = Tokenizer.from_str(tokenizer_json)
    except Exception as error:  # tokenizers raises plain Exception
        raise ExportError(f"tokenizer.json: {error}") from error
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest >= vocab_size:
        raise ExportError(f"tokenizer: token id {largest} is outside the model's vocabulary of {vocab_size}")
    return tokenizer


def added_token_id(tokenizer_json: str, content: str) -> int | None:
    """The id of the added token `content`, as the file has it; ExportError if the file is malformed."""
    tokens = _added_tokens(_parse(tokenizer_json))
    return next((token.get("id") for token in tokens if token.get("content") == content), None)


def _parse(tokenizer_json: str) -> dict:
    try:
        return _typed(dict, json.loads(tokenizer_json), "the whole")
    except json.JSONDecodeError as error:
        raise ExportError(f"tokenizer.json: {error}") from error


_KIND_NAMES = {dict: "an object", list: "an array"}


def _typed(kind: type, value: Any, what: str) -> Any:
    """`value`, the part `what` of the file; ExportError unless it is of `kind`, a key of _KIND_NAMES."""
    if not isinstance(value, kind):
        raise ExportError(f"tokenizer.json: {what} must be {_KIND_NAMES[kind]}, not {json.dumps(value)[:60]}")
    return value


def _added_tokens(parts: dict) -> list[dict]:
    tokens = _typed(list, parts.get("added_tokens") or [], "added_tokens")
    return [_typed(dict, token, "added token") for token in tokens]


def _check_model(model: dict) -> None:
    kind = model.get("type", "BPE" if "merges" in model else None)
    if kind not in ("BPE", "Unigram"):
        raise ExportError(f"tokenizer: model {kind} is not supported (supported: BPE, Unigram)")


def with_special(tokenizer_json: str, contents: Collection[str]) -> str:
    """The file in which the added tokens `contents` are special; the same text if they are already."""
    parts = _parse(tokenizer_json)
    changed = [token for token in _added_tokens(parts) if token["content"] in contents and not token.get("special")]
    for token in changed:
        token["special"] = True
    return json.dumps(parts, ensure_ascii=False) if changed else tokenizer_json


def added_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Content -> id of the added tokens, special or not."""
    return {token.content: index for index, token in tokenizer.get_added_tokens_decoder().items()}


def special_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Content -> id of the special tokens."""
    decoder = tokenizer.get_added_tokens_decoder()
    return {token.content: index for index, token in decoder.items() if token.special}


def in_front(content: str, token: int) -> dict:
    """The post_processor that puts the special token `content` in front of a text."""
    begin = {"SpecialToken": {"id": content, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {"type": "TemplateProcessing", "single": [begin, text], "pair": [begin, text, text],
            "special_tokens": {content: {"id": content, "ids": [token], "tokens": [content]}}}


def tokens_added_in_front(tokenizer: Tokenizer) -> list[int]:
    """What the tokenizer's own post-processor puts before a text: a beginning-of-text token, or nothing."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a", add_special_tokens=True).ids
    return framed[:framed.index(bare[0])] if bare and bare[0] in framed else []
