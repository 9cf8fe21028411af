"""Checks that a tokenizer.json is one that the server's tokenizer (engine/text/tokenizer.h) reads."""

from __future__ import annotations

import json

from tokenizers import Tokenizer

from .checkpoint import ExportError


def check(tokenizer_json: str, vocab_size: int) -> Tokenizer:
    """The tokenizer; ExportError names the component that is not supported. Ids must lie in [0, vocab_size)."""
    try:
        parts = json.loads(tokenizer_json)
    except json.JSONDecodeError as error:
        raise ExportError(f"tokenizer.json: {error}") from error
    if not isinstance(parts, dict) or not isinstance(parts.get("model"), dict):
        raise ExportError("tokenizer.json: the key model is missing")
    _check_model(parts["model"])
    if parts.get("normalizer") is not None:
        raise ExportError(f"tokenizer: normalizer {parts['normalizer'].get('type')} is not supported (supported: none)")
    _check_pre_tokenizer(parts.get("pre_tokenizer"))
    decoder = (parts.get("decoder") or {}).get("type")
    if decoder != "ByteLevel":
        raise ExportError(f"tokenizer: decoder {decoder} is not supported (supported: ByteLevel)")
    _check_added_tokens(parts.get("added_tokens") or [])
    try:
        tokenizer = Tokenizer.from_str(tokenizer_json)
    except Exception as error:  # tokenizers raises plain Exception
        raise ExportError(f"tokenizer.json: {error}") from error
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest >= vocab_size:
        raise ExportError(f"tokenizer: token id {largest} is outside the model's vocabulary of {vocab_size}")
    return tokenizer


def _check_model(model: dict) -> None:
    kind = model.get("type", "BPE" if "merges" in model else None)
    if kind != "BPE":
        raise ExportError(f"tokenizer: model {kind} is not supported (supported: BPE)")
    for option in ("byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(option):
            raise ExportError(f"tokenizer: BPE option {option} = {model[option]!r} is not supported")


def _check_pre_tokenizer(pre_tokenizer: dict | None) -> None:
    steps = [pre_tokenizer or {"type": None}]
    if steps[0]["type"] == "Sequence":
        steps = steps[0]["pretokenizers"]
    for step in steps:
        _check_step(step)
    if not steps or steps[-1]["type"] != "ByteLevel" or any(step["type"] == "ByteLevel" for step in steps[:-1]):
        raise ExportError("tokenizer: pre_tokenizer must end in ByteLevel, once")


def _check_step(step: dict) -> None:
    kind = step["type"]
    if kind == "ByteLevel":
        if step.get("add_prefix_space", True):
            raise ExportError("tokenizer: pre_tokenizer ByteLevel with add_prefix_space is not supported")
    elif kind == "Split":
        if "Regex" not in step["pattern"] or step["behavior"] != "Isolated" or step.get("invert", False):
            raise ExportError("tokenizer: pre_tokenizer Split is supported with a Regex, behavior Isolated and not"
                              f" inverted, not with {step['pattern']}, {step['behavior']}, invert {step.get('invert')}")
    elif kind != "Digits":
        raise ExportError(f"tokenizer: pre_tokenizer {kind} is not supported (supported: ByteLevel, Digits, Split)")


def _check_added_tokens(added_tokens: list[dict]) -> None:
    for token in added_tokens:
        if not token.get("special", False):
            raise ExportError(f"tokenizer: added token {token['content']!r} is not special; the server's tokenizer"
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
