"""Compiles a model's Jinja chat template to what stands before and after each role's text (docs/model_artifact.md).

The template is rendered by transformers with unique marker texts; what stands between the markers gives prefixes and
suffixes. Then the compiled format is held to the template on conversations it was not derived from, character for
character and token id for token id. A template that does more than that is refused with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import jinja2
import jinja2.meta
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from . import tokenizer as tokenizer_rules
from .checkpoint import Checkpoint, ExportError

FORMAT_VERSION = 1
ROLES = ("system", "user", "assistant")

Part = dict  # {"token": id} or {"text": str}

_SYSTEM, _USER, _ASSISTANT = "Mxsystem", "Mxuser", "Mxassistant"


@dataclass
class Role:
    prefix: str = ""
    suffix: str = ""


@dataclass
class Format:
    """A compiled template, in characters; special tokens by their names."""

    begin: str = ""
    roles: dict[str, Role] = field(default_factory=lambda: {name: Role() for name in ROLES})
    default_system: str | None = None
    trim: bool = False

    def pieces(self, messages: list[dict], add_generation_prompt: bool) -> list[str]:
        """The conversation, cut where the server encodes one text after another: after the opening (begin and system
        turn), and on either side of what ends a reply."""
        if messages[0]["role"] != "system" and self.default_system is not None:
            messages = [{"role": "system", "content": self.default_system}, *messages]
        pieces = [self.begin]
        for message in messages:
            role = self.roles[message["role"]]
            content = message["content"].strip() if self.trim else message["content"]
            pieces[-1] += role.prefix + content
            if message["role"] == "assistant":
                pieces.append("")
            pieces[-1] += role.suffix
            if message["role"] != "user":
                pieces.append("")
        pieces[-1] += self.roles["assistant"].prefix if add_generation_prompt else ""
        return pieces

    def render(self, messages: list[dict], add_generation_prompt: bool) -> str:
        return "".join(self.pieces(messages, add_generation_prompt))


def compile_format(checkpoint: Checkpoint, tokenizer: Tokenizer) -> dict:
    """The contents of chat_format.json. ExportError says why a template cannot be compiled."""
    if not checkpoint.chat_template:
        return _plain(checkpoint, tokenizer)
    template = _Template(checkpoint, tokenizer)
    compiled = _derive(template)
    splitter = _SpecialTokenSplitter(tokenizer)
    _verify(compiled, template, splitter)
    roles = {name: {"prefix": splitter.parts(role.prefix), "suffix": splitter.parts(role.suffix)}
             for name, role in compiled.roles.items()}
    ends = [part["token"] for part in roles["assistant"]["suffix"] if "token" in part][:1]
    stop_tokens = list(dict.fromkeys([*checkpoint.eos_tokens, *ends]))
    if not stop_tokens:
        raise ExportError("chat template: neither an eos token nor a special token ends the assistant's turn")
    return {
        "format_version": FORMAT_VERSION,
        "name": _name(compiled),
        "trim": compiled.trim,
        "begin": splitter.parts(compiled.begin),
        **roles,
        "default_system": compiled.default_system,
        "stop_tokens": stop_tokens,
    }


def _plain(checkpoint: Checkpoint, tokenizer: Tokenizer) -> dict:
    nothing = {"prefix": [], "suffix": []}
    begin = [{"token": token} for token in tokenizer_rules.tokens_added_in_front(tokenizer)]
    return {"format_version": FORMAT_VERSION, "name": "plain", "trim": False, "begin": begin,
            **{role: nothing for role in ROLES}, "default_system": None, "stop_tokens": checkpoint.eos_tokens}


def _name(compiled: Format) -> str:
    prefix = compiled.roles["user"].prefix
    for mark, name in (("<|im_start|>user", "chatml"), ("<|start_header_id|>user", "llama3")):
        if prefix.startswith(mark):
            return name
    return "custom"


class _Template:
    """The model's own template, as transformers renders it."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer):
        source = checkpoint.chat_template
        _refuse_clock(source)
        names = {"bos_token": checkpoint.bos_token, "eos_token": next(iter(checkpoint.eos_tokens), None)}
        special = {name: tokenizer.id_to_token(token) for name, token in names.items() if token is not None}
        self._tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=source, **special)

    def render(self, messages: list[dict], add_generation_prompt: bool = False) -> str:
        """Raises jinja2.TemplateError where the template itself refuses the conversation."""
        return self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt)


def _refuse_clock(source: str) -> None:
    try:
        used = jinja2.meta.find_undeclared_variables(
            jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(source))
    except jinja2.TemplateError:
        return  # transformers knows more tags; its own error, if any, comes at the first rendering
    if "strftime_now" in used:
        raise ExportError("chat template: it prints the date of the day (strftime_now), which a model file cannot hold")


def _turns(*turns: tuple[str, str]) -> list[dict]:
    return [{"role": role, "content": content} for role, content in turns]


def _derive(template: _Template) -> Format:
    try:
        with_system = template.render(_turns(("system", _SYSTEM), ("user", _USER)))
        user_only = template.render(_turns(("user", _USER)))
        exchange = template.render(_turns(("user", _USER), ("assistant", _ASSISTANT)))
        again = template.render(_turns(("user", _USER), ("assistant", _ASSISTANT), ("user", _USER)))
        trimmed = template.render(_turns(("user", f" {_USER} ")))
    except jinja2.TemplateError as error:
        raise ExportError(f"chat template: it refuses a system, user and assistant turn: {error}") from error
    before_system, between, user_suffix = _around(with_system, _SYSTEM, _USER)
    before_user, _ = _around(user_only, _USER)
    _, before_reply, assistant_suffix = _around(exchange, _USER, _ASSISTANT)
    _, _, next_user, _ = _around(again, _USER, _ASSISTANT, _USER)

    user_prefix = _without_prefix(next_user, assistant_suffix, "a user turn that follows a reply")
    assistant_prefix = _without_prefix(before_reply, user_suffix, "a reply")
    system_suffix = _without_suffix(between, user_prefix, "a user turn that follows a system turn")
    opening = _without_suffix(before_user, user_prefix, "a user turn that opens the conversation")
    begin, system_prefix, default_system = _split_opening(opening, before_system, system_suffix)
    return Format(
        begin=begin,
        roles={"system": Role(system_prefix, system_suffix), "user": Role(user_prefix, user_suffix),
               "assistant": Role(assistant_prefix, assistant_suffix)},
        default_system=default_system,
        trim=f" {_USER}" not in trimmed,
    )


def _around(rendered: str, *markers: str) -> list[str]:
    """The pieces of `rendered` around the markers, which must each stand there once, in order."""
    pieces = re.split("|".join(map(re.escape, (_SYSTEM, _USER, _ASSISTANT))), rendered)
    found = re.findall("|".join(map(re.escape, (_SYSTEM, _USER, _ASSISTANT))), rendered)
    if found != list(markers):
        raise ExportError("chat template: it does not show each turn's text once, in order")
    return pieces


def _without_prefix(text: str, prefix: str, what: str) -> str:
    if not text.startswith(prefix):
        raise ExportError(f"chat template: {what} does not begin with the end of the turn before it, {prefix!r},"
                          f" but with {text!r}")
    return text[len(prefix):]


def _without_suffix(text: str, suffix: str, what: str) -> str:
    if not text.endswith(suffix):
        raise ExportError(f"chat template: {what} does not begin with {suffix!r} as others do: {text!r}")
    return text[:len(text) - len(suffix)]


def _split_opening(opening: str, before_system: str, system_suffix: str) -> tuple[str, str, str | None]:
    """(begin, system prefix, default system text) from what stands before a first user turn without a system turn
    (`opening`) and what stands before a system turn's text."""
    frame = len(before_system) + len(system_suffix)
    if 0 < frame <= len(opening) and opening.startswith(before_system) and opening.endswith(system_suffix):
        return "", before_system, opening[len(before_system):len(opening) - len(system_suffix)]
    system_prefix = _without_prefix(before_system, opening, "a system turn")
    return opening, system_prefix, None


class _SpecialTokenSplitter:
    """Cuts text at special tokens' names, as `tokenizers` does before anything else."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._ids = tokenizer_rules.special_tokens(tokenizer)
        names = sorted(self._ids, key=len, reverse=True)
        self._pattern = re.compile("(" + "|".join(map(re.escape, names)) + ")") if names else None

    def parts(self, text: str) -> list[Part]:
        pieces = self._pattern.split(text) if self._pattern else [text]
        return [{"token": self._ids[piece]} if piece in self._ids else {"text": piece} for piece in pieces if piece]

    def encode(self, text: str) -> list[int]:
        """Special tokens by id, each run of text between them encoded alone."""
        ids = []
        for part in self.parts(text):
            if "token" in part:
                ids.append(part["token"])
            else:
                ids += self._tokenizer.encode(part["text"], add_special_tokens=False).ids
        return ids

    def encode_rendered(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids


def _conversations() -> list[list[dict]]:
    """Conversations that the format was not derived from."""
    question, reply = ("user", "What is 12 + 30?"), ("assistant", "It is 42.")
    spaced, lined = ("user", "  two spaces around  "), ("user", "\n\na line\n above and below\n")
    system, spaced_system = ("system", "Answer briefly."), ("system", " \tAnswer in\nverse. \n")
    spaced_reply = ("assistant", " Indeed,\n\nit is. \n")
    foreign = ("user", "Où est l'été? 你好 🎉 {{ x }} <b>&amp;")
    return [_turns(*turns) for turns in (
        (question,), (system, question), (spaced,), (lined,), (foreign,), (spaced_system, lined),
        (question, reply, spaced), (system, question, reply, foreign, spaced_reply, lined),
        (question, spaced_reply, question, reply, question), (question, reply), (system, question, spaced_reply),
    )]


def _verify(compiled: Format, template: _Template, splitter: _SpecialTokenSplitter) -> None:
    for messages in _conversations():
        for add_generation_prompt in ([True, False] if messages[-1]["role"] == "user" else [False]):
            try:
                expected = template.render(messages, add_generation_prompt)
            except jinja2.TemplateError as error:
                raise ExportError(f"chat template: it refuses {messages}: {error}") from error
            got = compiled.render(messages, add_generation_prompt)
            if got != expected:
                raise ExportError("chat template: it is more than text before and after each turn: for"
                                  f" {messages} it gives {expected!r}, its compiled form {got!r}")
            pieces = compiled.pieces(messages, add_generation_prompt)
            if [token for piece in pieces for token in splitter.encode(piece)] != splitter.encode_rendered(expected):
                raise ExportError("chat template: its turns cannot be encoded one by one; text or special tokens change"
                                  f" the tokens beside them in {expected!r}")
