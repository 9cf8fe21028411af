"""The tokens that divide a chat's turns: no user's text may become them (engine/text/tokenizer.h)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tokenizers import Tokenizer

from . import tokenizer as tokenizer_rules
from .checkpoint import ExportError

_LOOKS_LIKE_ONE = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")


def in_texts(tokenizer: Tokenizer, texts: Iterable[str]) -> set[str]:
    """The added tokens that stand in `texts`, but those of white space alone: they mark nothing, and users type them.
    ExportError names a marker that is an ordinary token which no text becomes, not even the template's."""
    # Gemma's runs of spaces are written with the second.
    names = [name for name in tokenizer_rules.added_tokens(tokenizer) if name.strip().strip("▁")]
    pattern = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or r"(?!)")
    found = set()
    for text in texts:
        found.update(pattern.findall(text))
        for marker in _LOOKS_LIKE_ONE.findall(pattern.sub("", text)):
            token = tokenizer.token_to_id(marker)
            # Behind a line end: a tokenizer may put a space before a text.
            spelled = tokenizer.encode("\n" + marker, add_special_tokens=False).ids
            if token is not None and token not in spelled:
                raise ExportError(f"chat template: marker {token} {marker!r} is an ordinary token, not an added (control)"
                                  " token: it would be spelled out")
    return found


def of_ids(tokenizer: Tokenizer, ids: Iterable[int], what: str) -> set[str]:
    """The added tokens of `ids`, which the tokenizer need not know. ExportError if one is an ordinary token."""
    names = {token: name for name, token in tokenizer_rules.added_tokens(tokenizer).items()}
    for token in ids:
        if token not in names and (name := tokenizer.id_to_token(token)) is not None:
            raise ExportError(f"tokenizer: {what} {token} {name!r} is an ordinary token, not an added (control) token: a"
                              " user's text could become it")
    return {names[token] for token in ids if token in names}
