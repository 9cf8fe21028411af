"""Checks that a tokenizer.json is one that the server's tokenizer (engine/text/tokenizer.h) reads."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer

from .checkpoint import ExportError


def check(tokenizer_json: str, vocab_size: int) -> Tokenizer:
    """The tokenizer; ExportError names the component that is not supported. Ids must lie in [0, vocab_size)."""
    parts = _parse(tokenizer_json)
    _check_model(_typed(dict, parts.get("model"), "model"))
    if parts.get("normalizer") is not None:
        kind = _typed(dict, parts["normalizer"], "normalizer").get("type")
        raise ExportError(f"tokenizer: normalizer {kind} is not supported (supported: none)")
    _check_pre_tokenizer(parts.get("pre_tokenizer"))
    decoder = _typed(dict, parts.get("decoder") or {}, "decoder").get("type")
    if decoder != "ByteLevel":
        raise ExportError(f"tokenizer: decoder {decoder} is not supported (supported: ByteLevel)")
    _check_added_tokens(_added_tokens(parts))
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
    if kind != "BPE":
        raise ExportError(f"tokenizer: model {kind} is not supported (supported: BPE)")
    for option in ("byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(option):
            raise ExportError(f"tokenizer: BPE option {option} = {model[option]!r} is not supported")


def _check_pre_tokenizer(pre_tokenizer: Any) -> None:
    steps = [_typed(dict, pre_tokenizer or {}, "pre_tokenizer")]
    if steps[0].get("type") == "Sequence":
        steps = _typed(list, steps[0].get("pretokenizers"), "pretokenizers")
    for step in steps:
        _check_step(_typed(dict, step, "pre_tokenizer"))
    if [index for index, step in enumerate(steps) if step["type"] == "ByteLevel"] != [len(steps) - 1]:
        raise ExportError("tokenizer: pre_tokenizer must end in ByteLevel, once")


def _check_step(step: dict) -> None:
    kind = step.get("type")
    if kind == "ByteLevel":
        if step.get("add_prefix_space", True):
            raise ExportError("tokenizer: pre_tokenizer ByteLevel with add_prefix_space is not supported")
    elif kind == "Split":
        pattern = _typed(dict, step.get("pattern") or {}, "pattern")
        if "Regex" not in pattern or step.get("behavior") != "Isolated" or step.get("invert", False):
            raise ExportError("tokenizer: pre_tokenizer Split is supported with a Regex, behavior Isolated and not"
                              f" inverted, not with {pattern}, {step.get('behavior')}, invert {step.get('invert')}")
    elif kind != "Digits":
        raise ExportError(f"tokenizer: pre_tokenizer {kind} is not supported (supported: ByteLevel, Digits, Split)")


def _check_added_tokens(added_tokens: list[dict]) -> None:
    for token in added_tokens:
        if not token.get("special", False):
            raise ExportError(f"tokenizer: added token {token.get('content')!r} is not special; the server's tokenizer"
                              " knows special added tokens alone")


def special_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Content -> id of the special tokens."""
    decoder = tokenizer.get_added_tokens_decoder()
    return {token.content: index for index, token in decoder.items() if token.special}


def tokens_added_in_front(tokenizer: Tokenizer) -> list[int]:
    """What the tokenizer's own post-processor puts before a text: a beginning-of-text token, or nothing."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a", add_special_tokens=True).ids
    return framed[:framed.index(bare[0])] if bare and bare[0] in framed else []
