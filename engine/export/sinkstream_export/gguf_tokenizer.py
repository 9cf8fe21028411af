"""Rebuilds tokenizer.json from a GGUF file's tokenizer.ggml.* keys."""

from __future__ import annotations

import json
from dataclasses import dataclass

from . import sentencepiece_model, tokenizer
from .checkpoint import ExportError
from .gguf_metadata import Metadata

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_TYPE_NAMES = {_UNKNOWN: "unknown", _BYTE: "byte"}

_GPT4_PATTERN = (  # but for the length of a number
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{number}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+")
_BLOOM_PATTERN = r" ?[^(\s|[.,!?…。，、।۔،])]+"
_TEKKEN_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def _byte_level(use_regex: bool) -> dict:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _split(pattern: str) -> dict:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _digits(individual: bool) -> dict:
    return {"type": "Digits", "individual_digits": individual}


@dataclass(frozen=True)
class _Rules:
    """What tokenizer.ggml.pre stands for, as the original models' tokenizer.json have it."""

    pre_tokenizers: tuple[dict, ...]
    nfc: bool = False
    ignore_merges: bool = False
    add_bos: bool = False  # where tokenizer.ggml.add_bos_token is absent, as in llama.cpp


_GPT2 = _Rules((_byte_level(True),))
_GPT_NEOX = _Rules((_byte_level(True),), nfc=True)
_QWEN2 = _Rules((_split(_GPT4_PATTERN.format(number=r"\p{N}")), _byte_level(False)), nfc=True)
_LLAMA3 = _Rules((_split(_GPT4_PATTERN.format(number=r"\p{N}{1,3}")), _byte_level(False)),
                 ignore_merges=True, add_bos=True)
_TEKKEN = _Rules((_split(_TEKKEN_PATTERN), _byte_level(False)), ignore_merges=True, add_bos=True)
_FALCON = _Rules(({"type": "Punctuation", "behavior": "Contiguous"}, _byte_level(True), _digits(False),
                  _split("[0-9][0-9][0-9]")))

_RULES = {
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "smollm": _Rules((_digits(True), _byte_level(True))),
    "llama-bpe": _LLAMA3,
    "qwen2": _QWEN2,
    "stablelm2": _QWEN2,
    "olmo": _GPT_NEOX,  # GPT-NeoX's own tokenizer goes by this name, or by "mpt", which has it too
    "mpt": _GPT_NEOX,
    "falcon": _FALCON,
    "bloom": _Rules((_split(_BLOOM_PATTERN), _byte_level(False))),
    "tekken": _TEKKEN,  # Mistral Nemo
}


def build(metadata: Metadata) -> str:
    """The text of a tokenizer.json. ExportError names what is not supported."""
    model = metadata.text("tokenizer.ggml.model")
    if model == "llama":
        return _sentencepiece(metadata)
    if model != "gpt2":
        raise ExportError(f"tokenizer model '{model}' is not supported (supported: gpt2, that is byte-level BPE, and"
                          " llama, that is SentencePiece's)")
    rules = _rules(metadata)
    if metadata.get("tokenizer.ggml.add_space_prefix", False):
        raise ExportError("tokenizer.ggml.add_space_prefix is not supported for byte-level BPE")
    tokens = _array(metadata, "tokenizer.ggml.tokens", str, "strings")
    if len(set(tokens)) != len(tokens):
        raise ExportError("tokenizer.ggml.tokens: a token occurs twice")
    merges = [merge.split(" ") for merge in _array(metadata, "tokenizer.ggml.merges", str, "strings")]
    return json.dumps({
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(tokens, _token_types(metadata, len(tokens))),
        "normalizer": {"type": "NFC"} if rules.nfc else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": rules.pre_tokenizers},
        "post_processor": _post_processor(metadata, tokens, rules.add_bos),
        "decoder": _byte_level(True),
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": rules.ignore_merges,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": merges,
        },
    }, ensure_ascii=False)


def _sentencepiece(metadata: Metadata) -> str:
    tokens = _array(metadata, "tokenizer.ggml.tokens", str, "strings")
    scores = _array(metadata, "tokenizer.ggml.scores", float, "numbers")
    if len(scores) != len(tokens):
        raise ExportError(f"tokenizer.ggml.scores has {len(scores)} entries for {len(tokens)} tokens")
    pieces = [sentencepiece_model.Piece(*piece) for piece in
              zip(tokens, scores, _token_types(metadata, len(tokens)), strict=True)]
    # The defaults are llama.cpp's.
    return sentencepiece_model.build(pieces, "tokenizer.ggml.tokens",
                                   metadata.get("tokenizer.ggml.add_space_prefix", True),
                                   _post_processor(metadata, tokens, add_bos=True))


def _rules(metadata: Metadata) -> _Rules:
    if metadata.get("tokenizer.ggml.pre", "default") == "default":
        raise ExportError("tokenizer.ggml.pre is missing or 'default': the file does not tell how its tokenizer splits"
                          " text (converters since May 2024 do)")
    pre = metadata.text("tokenizer.ggml.pre")
    if pre not in _RULES:
        raise ExportError(f"pre-tokenizer '{pre}' is not supported (supported: {', '.join(_RULES)})")
    return _RULES[pre]


def _array(metadata: Metadata, key: str, kind: type, kind_name: str) -> list:
    values = metadata.require(key)
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise ExportError(f"{key} must be an array of {kind_name}")
    return values


def _token_types(metadata: Metadata, count: int) -> list[int]:
    key = "tokenizer.ggml.token_type"  # without it nothing tells a turn's markers from text
    types = _array(metadata, key, int, "numbers")
    if len(types) != count:
        raise ExportError(f"{key} has {len(types)} entries for {count} tokens")
    return types


def _added_tokens(tokens: list[str], types: list[int]) -> list[dict]:
    """Control tokens are special; user-defined ones (runs of spaces, <think>) are found in any text."""
    added = []
    for index, (token, kind) in enumerate(zip(tokens, types, strict=True)):
        # The converter fills up the embedding's rows with [PAD<id>], which older versions called user-defined.
        if kind in (_NORMAL, _UNUSED) or token == f"[PAD{index}]":
            continue
        if kind not in (_CONTROL, _USER_DEFINED):
            raise ExportError(f"token {index} {token!r}: {_TYPE_NAMES.get(kind, kind)} tokens are not supported")
        added.append({"id": index, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": kind == _CONTROL})
    return added


def _post_processor(metadata: Metadata, tokens: list[str], add_bos: bool) -> dict | None:
    """What puts the bos token in front; `add_bos` where the file does not say whether to."""
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    if not metadata.get("tokenizer.ggml.add_bos_token", add_bos) or bos is None:
        return None
    if bos not in range(len(tokens)):
        raise ExportError(f"tokenizer.ggml.bos_token_id {bos!r} is not one of the {len(tokens)} tokens")
    return tokenizer.in_front(tokens[bos], bos)
