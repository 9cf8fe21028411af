"""Rebuilds tokenizer.json from a GGUF file's tokenizer.ggml.* keys."""

from __future__ import annotations

import json
from typing import Any

from .checkpoint import ExportError

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 1, 2, 3, 4, 5
_TYPE_NAMES = {_UNKNOWN: "unknown", _USER_DEFINED: "user-defined", 6: "byte"}

_LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+")


def _byte_level(use_regex: bool) -> dict:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


# tokenizer.ggml.pre -> (pre_tokenizer, ignore_merges, add_bos), as the original models' tokenizer.json have them;
# add_bos counts where tokenizer.ggml.add_bos_token is absent, as in llama.cpp.
_PRE_TOKENIZERS = {
    "gpt-2": (_byte_level(True), False, False),
    "smollm": ({"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, _byte_level(True)]}, False, False),
    "llama-bpe": ({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": _LLAMA3_PATTERN}, "behavior": "Isolated", "invert": False},
        _byte_level(False)]}, True, True),
}


def build(metadata: Any) -> str:
    """The text of a tokenizer.json. `metadata` is gguf.Metadata. ExportError names what is not supported."""
    model = metadata.require("tokenizer.ggml.model")
    if model != "gpt2":
        raise ExportError(f"tokenizer model '{model}' is not supported (supported: gpt2, that is byte-level BPE)")
    pre = metadata.get("tokenizer.ggml.pre", "default")
    if pre not in _PRE_TOKENIZERS:
        raise ExportError(f"pre-tokenizer '{pre}' is not supported (supported: {', '.join(_PRE_TOKENIZERS)})")
    if metadata.get("tokenizer.ggml.add_space_prefix", False):
        raise ExportError("tokenizer.ggml.add_space_prefix is not supported for byte-level BPE")
    pre_tokenizer, ignore_merges, add_bos = _PRE_TOKENIZERS[pre]
    tokens = _array(metadata, "tokenizer.ggml.tokens", str, "strings")
    if len(set(tokens)) != len(tokens):
        raise ExportError("tokenizer.ggml.tokens: a token occurs twice")
    merges = [merge.split(" ") for merge in _array(metadata, "tokenizer.ggml.merges", str, "strings")]
    return json.dumps({
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _special_tokens(tokens, _token_types(metadata, len(tokens))),
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": _post_processor(metadata, tokens, add_bos),
        "decoder": _byte_level(True),
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": ignore_merges,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": merges,
        },
    }, ensure_ascii=False)


def _array(metadata: Any, key: str, kind: type, kind_name: str) -> list:
    values = metadata.require(key)
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise ExportError(f"{key} must be an array of {kind_name}")
    return values


def _token_types(metadata: Any, count: int) -> list[int]:
    key = "tokenizer.ggml.token_type"
    if metadata.get(key) is None:
        return [_NORMAL] * count
    types = _array(metadata, key, int, "numbers")
    if len(types) != count:
        raise ExportError(f"{key} has {len(types)} entries for {count} tokens")
    return types


def _special_tokens(tokens: list[str], types: list[int]) -> list[dict]:
    special = []
    for index, (token, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind in (_NORMAL, _UNUSED):
            continue
        if kind != _CONTROL:
            raise ExportError(f"token {index} {token!r}: {_TYPE_NAMES.get(kind, kind)} tokens are not supported")
        special.append({"id": index, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                        "normalized": False, "special": True})
    return special


def _post_processor(metadata: Any, tokens: list[str], add_bos: bool) -> dict | None:
    """What puts the bos token in front; `add_bos` where the file does not say whether to."""
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    if not metadata.get("tokenizer.ggml.add_bos_token", add_bos) or bos is None:
        return None
    if bos not in range(len(tokens)):
        raise ExportError(f"tokenizer.ggml.bos_token_id {bos!r} is not one of the {len(tokens)} tokens")
    begin = {"SpecialToken": {"id": tokens[bos], "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {"type": "TemplateProcessing", "single": [begin, text], "pair": [begin, text, text],
            "special_tokens": {tokens[bos]: {"id": tokens[bos], "ids": [bos], "tokens": [tokens[bos]]}}}
