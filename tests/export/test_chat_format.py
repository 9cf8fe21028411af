"""Chat templates come out as prefixes and suffixes that say the same, or are refused."""

import json

import pytest
from sinkstream_export import chat_format
from sinkstream_export.checkpoint import Checkpoint, ExportError, LazyTensors, Provenance
from tokenizers import AddedToken, processors

import tiny_models

LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
NO_DEFAULT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
# The system text goes into the first user turn, as Llama 2 and Mistral have it.
FOLDED = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}{% for message in messages %}"
    "{% if message['role'] == 'user' %}"
    "{{ '<|im_start|>' }}{% if loop.first and system %}{{ '<<SYS>>' + system + '<</SYS>>' }}{% endif %}"
    "{{ message['content'] + '<|endoftext|>' }}{% else %}"
    "{{ message['content'] + '<|im_end|>' }}{% endif %}{% endfor %}")


def checkpoint(template, tokenizer, bos=1, eos=(2,)):
    return Checkpoint("tiny", "llama", {}, LazyTensors({}, {}), tokenizer.to_str(), template, bos, list(eos),
                      Provenance("tiny", "", "unknown"))


def compiled(template, tokenizer=None, **tokens):
    tokenizer = tokenizer or tiny_models.make_tokenizer()
    return chat_format.compile_format(checkpoint(template, tokenizer, **tokens), tokenizer)


def chatml_role(name):
    return {"prefix": [{"token": 1}, {"text": f"{name}\n"}], "suffix": [{"token": 2}, {"text": "\n"}]}


def test_chatml_with_a_default_system_turn():
    assert compiled(tiny_models.CHATML) == {
        "format_version": 1, "name": "chatml", "trim": False, "begin": [],
        "system": chatml_role("system"), "user": chatml_role("user"), "assistant": chatml_role("assistant"),
        "default_system": "You are tiny.", "stop_tokens": [2],
    }


def test_chatml_without_a_default_system_turn():
    made = compiled(NO_DEFAULT)
    assert made["default_system"] is None
    assert made["begin"] == []
    assert made["system"] == chatml_role("system")


def test_end_of_text_and_end_of_turn_both_stop_a_reply():
    assert compiled(NO_DEFAULT, eos=(0,))["stop_tokens"] == [0, 2]


def test_beginning_of_text_and_trimming():
    tokenizer = tiny_models.make_tokenizer()
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True) for name in ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")])
    start, end, end_of_turn = 299, 300, 301
    made = compiled(LLAMA3, tokenizer, bos=0, eos=(2,))
    assert made["name"] == "llama3"
    assert made["trim"] is True
    assert made["begin"] == [{"token": 0}]
    assert made["user"] == {"prefix": [{"token": start}, {"text": "user"}, {"token": end}, {"text": "\n\n"}],
                            "suffix": [{"token": end_of_turn}]}
    assert made["default_system"] is None
    assert made["stop_tokens"] == [2, end_of_turn]


def test_without_a_template_the_format_is_plain():
    nothing = {"prefix": [], "suffix": []}
    assert compiled(None, bos=1, eos=(2,)) == {
        "format_version": 1, "name": "plain", "trim": False, "begin": [], "system": nothing, "user": nothing,
        "assistant": nothing, "default_system": None, "stop_tokens": [2]}


def test_plain_begins_with_what_the_tokenizer_itself_puts_in_front():
    tokenizer = tiny_models.make_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)])
    assert compiled(None, tokenizer)["begin"] == [{"token": 1}]


@pytest.mark.parametrize("template, reason", [
    (FOLDED, "chat template: "),
    ("{{ raise_exception('no roles here') }}", "no roles here"),
    ("{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
     + NO_DEFAULT, "System role not supported"),
    ("{{ strftime_now('%d %b %Y') }}" + NO_DEFAULT, "date of the day"),
    (NO_DEFAULT.replace("message['content']", "message['content'] | upper"), "does not show each turn's text"),
    (NO_DEFAULT.replace("message['content']", "message['content'] | replace('above', 'over')"),
     "more than text before and after each turn"),
    (NO_DEFAULT.replace("'\n' +", "loop.index | string + '\n' +"), "chat template: "),
    # Only replies are trimmed.
    (NO_DEFAULT.replace(
        "message['content']", "(message['content'] | trim if message['role'] == 'assistant' else message['content'])"),
     "more than text before and after each turn"),
    ("{% for message in messages %}", "chat template: "),
])
def test_template_that_cannot_be_compiled_is_refused_with_the_reason(template, reason):
    with pytest.raises(ExportError, match=reason):
        compiled(template)


def test_turns_that_only_text_divides_are_refused():
    template = ("{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
                "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}")
    with pytest.raises(ExportError, match="cannot be encoded one by one"):
        compiled(template)


def test_special_token_that_swallows_the_space_beside_it_is_refused():
    parts = json.loads(tiny_models.make_tokenizer().to_str())
    for token in parts["added_tokens"]:
        token["rstrip"] = True
    tokenizer = tiny_models.Tokenizer.from_str(json.dumps(parts))
    with pytest.raises(ExportError, match="cannot be encoded one by one"):
        compiled(NO_DEFAULT, tokenizer)


def test_template_without_any_end_of_turn_token_is_refused():
    # Each turn begins with a special token and ends with nothing.
    with pytest.raises(ExportError, match="neither an eos token nor a special token ends"):
        compiled(NO_DEFAULT.replace("<|im_end|>\n", ""), eos=())


def test_default_model_has_the_format_that_the_documentation_shows(default_gguf):
    from sinkstream_export import gguf, tokenizer
    source = gguf.read(default_gguf)
    documented = (tiny_models.ROOT / "docs" / "model_artifact.md").read_text(encoding="utf-8")
    section = documented.split("### chat_format.json")[1].split("```json")[1].split("```")[0]
    made = chat_format.compile_format(source, tokenizer.check(source.tokenizer_json, 49152))
    assert made == json.loads(section)
