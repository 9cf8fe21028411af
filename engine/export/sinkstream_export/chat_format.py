"""Compiles a model's Jinja chat template to what stands before and after each role's text (docs/model_artifact.md).

The template is rendered by transformers with unique marker texts; what stands between the markers gives prefixes and
suffixes. Then the compiled format must say what the template says on conversations it was not derived from: character
for character, and fed piece by piece as the server does, token id for token id. Only prompts are compared, which ask
for a reply: a template may end what asks for none as it likes. What does more than that is refused with the reason.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field

import jinja2
import jinja2.meta
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from . import chat_formats, chat_markers
from . import tokenizer as tokenizer_rules
from .chat_parts import Part, SpecialTokenSplitter
from .checkpoint import Checkpoint, ExportError

FORMAT_VERSION = 2

_SYSTEM, _USER, _ASSISTANT = "Mxsystem", "Mxuser", "Mxassistant"
_MARKERS = re.compile("|".join((_SYSTEM, _USER, _ASSISTANT)))
_SPACE_BEFORE, _SPACE_AFTER = " \t", "\t "


@dataclass
class Role:
    prefix: str = ""
    suffix: str = ""
    trim_start: bool = False  # the template strips white space from the text's start
    trim_end: bool = False

    @property
    def trim(self) -> str:
        names = {(False, False): "none", (True, False): "start", (False, True): "end", (True, True): "both"}
        return names[self.trim_start, self.trim_end]

    def text(self, content: str) -> str:
        content = content.lstrip() if self.trim_start else content
        return content.rstrip() if self.trim_end else content


@dataclass
class Format:
    """A compiled template, in characters; special tokens by their names."""

    begin: str = ""
    system: Role | None = None  # None: the template has no system turn
    user: Role = field(default_factory=Role)
    # The first user turn behind a system turn, where the system text is folded into it; its suffix is the user's.
    user_after_system: Role | None = None
    assistant: Role = field(default_factory=Role)  # prefix: what asks for a reply
    reply_lead: str = ""  # white space that begins a reply: the model writes it itself
    default_system: str | None = None

    def render(self, messages: list[dict]) -> str:
        """A prompt: `messages` end with a user turn."""
        return "".join(self.pieces(messages))

    def pieces(self, messages: list[dict]) -> list[str]:
        """The prompt, cut where the server encodes one text after another: behind the opening (begin and system turn),
        and on either side of what ends a reply. A reply is the model's own tokens, read in one with its prompt."""
        pieces, user = [self.begin], self.user
        system, messages = self.split_system(messages)
        if system is not None:
            pieces[0] += self.system.prefix + self.system.text(system) + self.system.suffix
            user = self.user_after_system or self.user
        for message in messages:
            if message["role"] == "user":
                asks = self.user.suffix + self.assistant.prefix
                pieces.append(user.prefix + user.text(message["content"]) + asks)
                user = self.user
            else:
                pieces[-1] += self.reply_lead + self.assistant.text(message["content"])
                pieces.append(self.assistant.suffix)
        return pieces

    def texts(self) -> list[str]:
        """All that stands around the turns' texts."""
        roles = filter(None, (self.system, self.user, self.user_after_system, self.assistant))
        return [self.begin, *(text for role in roles for text in (role.prefix, role.suffix))]

    def split_system(self, messages: list[dict]) -> tuple[str | None, list[dict]]:
        """The system text that is said, and the other turns."""
        if messages[0]["role"] == "system":
            return messages[0]["content"], messages[1:]
        return self.default_system, messages


@dataclass(frozen=True)
class TextFiles:
    """What the server reads text by."""

    chat_format: dict  # the contents of chat_format.json
    tokenizer_json: str  # the checkpoint's, in which the tokens that the format uses are special


def compile_format(checkpoint: Checkpoint, tokenizer: Tokenizer, named: str | None = None) -> TextFiles:
    """By the checkpoint's own template or the format `named` (chat_formats.py). ExportError says why a template cannot
    be compiled, which token a named format lacks, or which of a format's tokens a user's text could become."""
    if named is not None:
        _check_named(named, checkpoint, tokenizer)
        template = chat_formats.FORMATS[named].template
        files = _compile(dataclasses.replace(checkpoint, chat_template=template), tokenizer)
        return dataclasses.replace(files, chat_format={**files.chat_format, "name": named})
    try:
        return _compile(checkpoint, tokenizer)
    except ExportError as error:
        raise ExportError(f"{error} (--chat-format chooses a format by name: {', '.join(chat_formats.NAMES)})"
                          ) from error


def _check_named(name: str, checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
    known = tokenizer_rules.added_tokens(tokenizer)
    for token in chat_formats.FORMATS[name].tokens:
        if token not in known:
            raise ExportError(f"--chat-format {name}: the tokenizer has no special token {token!r}")
    template = chat_formats.FORMATS[name].template or ""
    for variable, known in (("bos_token", checkpoint.bos_token is not None), ("eos_token", checkpoint.eos_tokens)):
        if variable in template and not known:
            raise ExportError(f"--chat-format {name}: the source names no {variable}")


def _compile(checkpoint: Checkpoint, tokenizer: Tokenizer) -> TextFiles:
    if not checkpoint.chat_template:
        return _plain(checkpoint, tokenizer)
    template = _Template(checkpoint, tokenizer)
    compiled = _derive(template)
    _check_text(compiled, template)
    markers = chat_markers.in_texts(tokenizer, compiled.texts())
    markers |= chat_markers.of_ids(tokenizer, checkpoint.eos_tokens, "end token")
    tokenizer_json = tokenizer_rules.with_special(checkpoint.tokenizer_json, markers)
    splitter = SpecialTokenSplitter(Tokenizer.from_str(tokenizer_json))
    compiled = _check_tokens(compiled, splitter)
    ends = [part["token"] for part in splitter.parts(compiled.assistant.suffix) if "token" in part][:1]
    stop_tokens = list(dict.fromkeys([*checkpoint.eos_tokens, *ends]))
    if not stop_tokens:
        raise ExportError("chat template: neither an eos token nor a special token ends the assistant's turn")
    file = _file(_name(compiled), compiled, splitter.parts(compiled.begin), splitter, stop_tokens)
    return TextFiles(file, tokenizer_json)


def _plain(checkpoint: Checkpoint, tokenizer: Tokenizer) -> TextFiles:
    begin = tokenizer_rules.tokens_added_in_front(tokenizer)
    file = _file("plain", Format(system=Role()), [{"token": token} for token in begin],
                 SpecialTokenSplitter(tokenizer), checkpoint.eos_tokens)
    markers = chat_markers.of_ids(tokenizer, begin, "beginning-of-text token")
    markers |= chat_markers.of_ids(tokenizer, checkpoint.eos_tokens, "end token")
    tokenizer_json = tokenizer_rules.with_special(checkpoint.tokenizer_json, markers)
    return TextFiles({**file, "begin_is_tokenizers": True}, tokenizer_json)


def _file(name: str, compiled: Format, begin: list[Part], splitter: SpecialTokenSplitter,
          stop_tokens: list[int]) -> dict:
    def role(said: Role | None, *keys: str) -> dict | None:
        return said and {key: said.trim if key == "trim" else splitter.parts(getattr(said, key)) for key in keys}

    folded = {"user_after_system": role(compiled.user_after_system, "prefix", "trim")}  # its suffix is the user's
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "begin": begin,
        "system": role(compiled.system, "prefix", "suffix", "trim"),
        "user": role(compiled.user, "prefix", "suffix", "trim"),
        **(folded if compiled.user_after_system else {}),
        "assistant": role(compiled.assistant, "prefix", "suffix"),  # a reply stays as it was sampled
        "default_system": compiled.default_system,
        "stop_tokens": stop_tokens,
    }


def _name(compiled: Format) -> str:
    user, reply = compiled.user.prefix, compiled.assistant.suffix
    if "[INST]" in user:
        return "llama2" if compiled.system is not None and "<<SYS>>" in compiled.system.prefix else "mistral"
    if "<|user|>" in user:
        return "phi3" if "<|end|>" in reply else "zephyr"
    for mark, name in (("<|im_start|>user", "chatml"), ("<|start_header_id|>user", "llama3"),
                       ("<start_of_turn>user", "gemma")):
        if mark in user:
            return name
    return "custom"


# ---- The model's own template


class _Template:
    """A Jinja template, as transformers renders it."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer):
        source = checkpoint.chat_template
        _refuse_clock(source)
        names = {"bos_token": checkpoint.bos_token, "eos_token": next(iter(checkpoint.eos_tokens), None)}
        special = {name: tokenizer.id_to_token(token) for name, token in names.items() if token is not None}
        self.eos = special.get("eos_token") or ""
        self._tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=source, **special)

    def prompt(self, messages: list[dict]) -> str:
        """What asks for a reply to `messages`. Raises jinja2.TemplateError where the template refuses them."""
        return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def finished(self, messages: list[dict]) -> str:
        """`messages` and no more."""
        return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)


def _refuse_clock(source: str) -> None:
    try:
        used = jinja2.meta.find_undeclared_variables(
            jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(source))
    except jinja2.TemplateError:
        return  # transformers knows more tags; its own error, if any, comes at the first rendering
    if "strftime_now" in used:
        raise ExportError("chat template: it prints the date of the day (strftime_now), which a model file cannot hold")


# ---- From renderings to prefixes and suffixes


def _turns(*turns: tuple[str, str]) -> list[dict]:
    return [{"role": role, "content": content} for role, content in turns]


_EXCHANGE = (("user", _USER), ("assistant", _ASSISTANT), ("user", _USER))
_WITH_SYSTEM = (("system", _SYSTEM), *_EXCHANGE)


def _padded(turns: tuple) -> list[dict]:
    return _turns(*((role, _SPACE_BEFORE + text + _SPACE_AFTER) for role, text in turns))


def _derive(template: _Template) -> Format:
    try:
        opening, before_reply, after_reply, asks = _around(template.prompt(_turns(*_EXCHANGE)), _EXCHANGE)
        user_end = _around(template.finished(_turns(*_EXCHANGE[:1])), _EXCHANGE[:1])[1]
        reply_end = _around(template.finished(_turns(*_EXCHANGE[:2])), _EXCHANGE[:2])[2]
        padded = _around(template.prompt(_padded(_EXCHANGE)), _EXCHANGE)
    except jinja2.TemplateError as error:
        raise ExportError(f"chat template: it refuses a user turn, a reply and a user turn: {error}") from error
    user_suffix = _shared_start(user_end, asks, template.eos)
    user_suffix = asks if user_suffix is None else user_suffix
    reply_suffix = _shared_start(reply_end, after_reply, template.eos)
    if reply_suffix is None:
        raise ExportError(f"chat template: a user turn that follows a reply does not begin with the end of that reply,"
                          f" {reply_end!r}, but with {after_reply!r}")
    lead = _without_prefix(before_reply, asks, "what stands before a reply")
    if lead.strip():
        raise ExportError(f"chat template: {lead!r} stands before earlier replies, but the prompt does not ask for it")
    first, reply, user = _trims([opening, before_reply, after_reply, asks], padded, "user turns and replies")
    compiled = _with_system(Format(
        user=Role(after_reply[len(reply_suffix):], user_suffix, *user),
        assistant=Role(asks[len(user_suffix):], reply_suffix, *reply), reply_lead=lead,
    ), template, opening, [before_reply, after_reply, asks])
    if first != user and compiled.default_system is None:
        raise ExportError("chat template: it strips white space from the first user turn otherwise than from others")
    return compiled


def _around(rendered: str, turns: tuple) -> list[str]:
    """The pieces of `rendered` around the texts of `turns`, which must each stand there once, in order."""
    if _MARKERS.findall(rendered) != [text for _, text in turns]:
        raise ExportError("chat template: it does not show each turn's text once, in order")
    return _MARKERS.split(rendered)


def _shared_start(end: str, whole: str, eos: str) -> str | None:
    """`end`, less an eos token that is there only because nothing follows, if `whole` begins with it."""
    for start in (end, end.removesuffix(eos)):
        if whole.startswith(start):
            return start
    return None


def _without_prefix(text: str, prefix: str, what: str) -> str:
    if not text.startswith(prefix):
        raise ExportError(f"chat template: {what} does not begin with {prefix!r} as elsewhere, but with {text!r}")
    return text[len(prefix):]


def _without_suffix(text: str, suffix: str, what: str) -> str:
    if not text.endswith(suffix):
        raise ExportError(f"chat template: {what} does not begin with {suffix!r} as others do: {text!r}")
    return text[:len(text) - len(suffix)]


def _trims(plain: list[str], padded: list[str], what: str) -> list[tuple[bool, bool]]:
    """For each text: whether white space at its start and at its end is stripped. `plain`, `padded`: what stands
    around the texts, without and with white space about each."""
    sides = []  # of each piece: is the space kept that touches it in front, and behind?
    for index, (piece, with_space) in enumerate(zip(plain, padded)):
        found = [(front, back) for front in ((True, False) if index > 0 else (False,))
                 for back in ((True, False) if index < len(plain) - 1 else (False,))
                 if with_space == _SPACE_AFTER * front + piece + _SPACE_BEFORE * back]
        if not found:
            raise ExportError(f"chat template: it strips part of the white space around {what}")
        sides.append(found[0])
    return [(not before[1], not after[0]) for before, after in zip(sides, sides[1:])]


def _with_system(compiled: Format, template: _Template, opening: str, rest: list[str]) -> Format:
    """Adds what a system turn is, and what begins a conversation without one."""
    try:
        rendered = template.prompt(_turns(*_WITH_SYSTEM))
    except jinja2.TemplateError:
        rendered = None  # it refuses system turns
    if rendered is None or rendered == template.prompt(_turns(*_EXCHANGE)):  # or leaves them out
        begin = _without_suffix(opening, compiled.user.prefix, "a user turn that opens the conversation")
        return dataclasses.replace(compiled, begin=begin)
    if _MARKERS.findall(rendered)[:1] == [_USER] and _SYSTEM in rendered:
        raise ExportError("chat template: it puts the system text before the last user turn, which moves on with every"
                          " turn; only what stands at the start can be kept there")
    before_system, after_system, *others = _around(rendered, _WITH_SYSTEM)
    if others != rest:
        raise ExportError("chat template: a system turn changes what stands around later turns")
    padded = _around(template.prompt(_padded(_WITH_SYSTEM)), _WITH_SYSTEM)
    system, first, *_ = _trims([before_system, after_system, *rest], padded, "system and user turns")
    begin, prefix, default = _split_opening(opening, before_system, after_system, compiled.user.prefix)
    folded = not after_system.endswith(compiled.user.prefix)
    suffix = after_system if folded else after_system[:len(after_system) - len(compiled.user.prefix)]
    after = Role("" if folded else compiled.user.prefix, "", *first)
    alone = (compiled.user.trim_start, compiled.user.trim_end)
    return dataclasses.replace(
        compiled, begin=begin, system=Role(prefix, suffix, *system), default_system=default,
        user_after_system=after if folded or first != alone else None)


def _split_opening(opening: str, before_system: str, after_system: str, user_prefix: str
                   ) -> tuple[str, str, str | None]:
    """(begin, system prefix, default system text) from what stands before a first user text without a system turn
    (`opening`), before a system text, and between that and the user text."""
    frame = len(before_system) + len(after_system)
    if 0 < frame <= len(opening) and opening.startswith(before_system) and opening.endswith(after_system):
        default = opening[len(before_system):len(opening) - len(after_system)]
        if default or after_system != user_prefix:
            return "", before_system, default
    begin = _without_suffix(opening, user_prefix, "a user turn that opens the conversation")
    return begin, _without_prefix(before_system, begin, "a system turn"), None


# ---- Holding the compiled format to the template


def _conversations(compiled: Format) -> list[list[dict]]:
    """Prompts that the format was not derived from."""
    question, reply = ("user", "What is 12 + 30?"), ("assistant", "It is 42.")
    spaced, lined = ("user", "  two spaces around  "), ("user", "\n\na line\n above and below\n")
    system, spaced_system = ("system", "Answer briefly."), ("system", " \tAnswer in\nverse. \n")
    spaced_reply = ("assistant", " Indeed,\n\nit is. \n")
    foreign = ("user", "Où est l'été? 你好 🎉 {{ x }} <b>&amp;")
    conversations = [_turns(*turns) for turns in (
        (question,), (system, question), (spaced,), (lined,), (foreign,), (spaced_system, lined), (system, foreign),
        (question, reply, spaced), (system, question, reply, foreign, spaced_reply, lined), (system, spaced),
        (spaced_system, question, reply, question), (question, spaced_reply, question, reply, question),
    )]
    return [messages for messages in conversations
            if compiled.system is not None or messages[0]["role"] != "system"]


def _check_text(compiled: Format, template: _Template) -> None:
    thinks = _turns(("user", "Why?"), ("assistant", "<think>\nHm.\n</think>\n\nSo."), ("user", "Well?"))
    for messages in [*_conversations(compiled), thinks]:
        try:
            expected = template.prompt(messages)
        except jinja2.TemplateError as error:
            raise ExportError(f"chat template: it refuses {messages}: {error}") from error
        got = compiled.render(messages)
        if got != expected and messages is thinks:
            raise ExportError("chat template: it takes the thinking (<think>) out of earlier replies, but a stream"
                              " keeps what it has read")
        if got != expected:
            raise ExportError("chat template: it is more than text before and after each turn: for"
                              f" {messages} it gives {expected!r}, its compiled form {got!r}")


def _check_tokens(compiled: Format, splitter: SpecialTokenSplitter) -> Format:
    """`compiled`, with a folded system turn that ends where it can be encoded alone."""
    mismatch = ""
    for candidate in _cuts(compiled):
        mismatch = next(filter(None, (_mismatch(candidate, messages, splitter)
                                      for messages in _conversations(candidate))), "")
        if not mismatch:
            return candidate
    raise ExportError("chat template: its turns cannot be encoded one by one; text or special tokens change the tokens"
                      f" beside them in {mismatch!r}")


def _cuts(compiled: Format) -> list[Format]:
    """The ways to divide what stands between a folded system text and the user's: the longest system turn first."""
    after = compiled.user_after_system
    if after is None or after.prefix:
        return [compiled]
    between = compiled.system.suffix
    return [dataclasses.replace(
        compiled, system=dataclasses.replace(compiled.system, suffix=between[:at]),
        user_after_system=dataclasses.replace(after, prefix=between[at:])) for at in range(len(between), -1, -1)]


def _mismatch(compiled: Format, messages: list[dict], splitter: SpecialTokenSplitter) -> str:
    """The rendered prompt if the server feeds other tokens than those of the whole; else empty."""
    expected = compiled.render(messages)
    system, turns = compiled.split_system(messages)
    # A folded system text is encoded before the user's is known: white space where they meet may be encoded otherwise.
    folded = system is not None and compiled.user_after_system is not None
    if folded and compiled.user_after_system.text(turns[0]["content"])[:1].isspace():
        return ""
    fed: list[int] = []
    for piece in compiled.pieces(messages):
        fed += splitter.encode(splitter.parts(piece), after=fed)
    return "" if fed == splitter.encode_rendered(expected) else expected
