"""Text of a chat format in tokens, encoded piece by piece as the server encodes it (engine/text/chat_format.h)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from tokenizers import Tokenizer

from . import tokenizer as tokenizer_rules

Part = dict  # {"token": id} or {"text": str}


class SpecialTokenSplitter:
    """Cuts text at special tokens' names, as `tokenizers` does before anything else."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._continuing = _without_prefix_space(tokenizer)
        self._ids = tokenizer_rules.special_tokens(tokenizer)
        self._names = {index: name for name, index in self._ids.items()}
        names = sorted(self._ids, key=len, reverse=True)
        self._pattern = re.compile("(" + "|".join(map(re.escape, names)) + ")") if names else None

    def parts(self, text: str) -> list[Part]:
        pieces = self._pattern.split(text) if self._pattern else [text]
        return [{"token": self._ids[piece]} if piece in self._ids else {"text": piece} for piece in pieces if piece]

    def encode(self, parts: list[Part], after: Sequence[int] = ()) -> list[int]:
        """Special tokens by id, each run of text between them encoded alone. `after`: the tokens fed before."""
        ids, run = list(after), ""
        for part in parts:
            if "text" in part:
                run += part["text"]
                continue
            ids += self._encode_run(run, ids[-1:], [part["token"]])
            ids.append(part["token"])
            run = ""
        return [*ids, *self._encode_run(run, ids[-1:], [])][len(after):]

    def encode_rendered(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def _encode_run(self, run: str, before: list[int], after: list[int]) -> list[int]:
        """`run` between those special tokens, which may take the white space beside them; behind a token of text it
        goes on."""
        if not run:
            return []
        goes_on = bool(before) and before[0] not in self._names
        left, right = ([self._names[token] for token in side if token in self._names] for side in (before, after))
        encode = (self._continuing if goes_on else self._tokenizer).encode
        ids = encode("".join([*left, run, *right]), add_special_tokens=False).ids
        return ids[len(left):len(ids) - len(right)]


def _without_prefix_space(tokenizer: Tokenizer) -> Tokenizer:
    """`tokenizer` as it reads text that goes on: nothing is put in front."""
    file = json.loads(tokenizer.to_str())
    normalizer = file["normalizer"]
    if normalizer and normalizer["type"] == "Sequence":
        normalizer["normalizers"] = [step for step in normalizer["normalizers"] if step["type"] != "Prepend"]
    elif normalizer and normalizer["type"] == "Prepend":
        file["normalizer"] = None
    steps = file["pre_tokenizer"] or {}
    for step in steps.get("pretokenizers", [steps]):
        if step.get("type") == "Metaspace":
            step["prepend_scheme"] = "never"
    return Tokenizer.from_str(json.dumps(file))
