"""The chat formats that --chat-format names, for a source without a template or with one that cannot be compiled.

Each is a small Jinja template and goes the way of a model's own (chat_format.py). They say what the published models
of that name say; where a model family has no system turn, the system text opens the first user turn.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NamedFormat:
    template: str | None  # None: no roles
    tokens: tuple[str, ...] = ()  # special tokens that it needs, besides bos_token and eos_token where it says them


def _folded(begin: str, user: str, reply: str, asks: str = "", text: str = "message['content']") -> str:
    """A template in which the first user turn's `text` is the system text, an empty line and the user's own. `user`
    and `reply` are written around `text`."""
    return ("{% set told = messages[0]['role'] == 'system' %}" + begin
            + "{% for message in messages if message['role'] != 'system' %}{% set text = " + text + " %}"
            "{% if message['role'] == 'user' %}"
            "{% set text = messages[0]['content'] + '\n\n' + text if loop.first and told else text %}"
            + user + "{% else %}" + reply + "{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}" + asks + "{% endif %}")


def _same_for_all(turn: str, asks: str) -> str:
    """A template in which each turn is written in the same way, around `role` and `text`."""
    return ("{% for message in messages %}{% set role = message['role'] %}{% set text = message['content'] %}" + turn
            + "{% endfor %}{% if add_generation_prompt %}" + asks + "{% endif %}")


_LLAMA2 = (
    "{% set told = messages[0]['role'] == 'system' %}"
    "{% for message in messages if message['role'] != 'system' %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' }}{% if loop.first and told %}"
    "{{ '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' + message['content'].rstrip() }}"
    "{% else %}{{ message['content'].strip() }}{% endif %}{{ ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
_PHI2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'Instruct: ' + message['content'] + '\n' }}"
    "{% elif message['role'] == 'system' %}{{ message['content'].strip() + '\n' }}"
    "{% else %}{{ 'Output: ' + message['content'] + eos_token + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Output:' }}{% endif %}")

FORMATS = {
    # Qwen 2 and 3, SmolLM2, OpenHermes
    "chatml": NamedFormat(
        _same_for_all("{{ '<|im_start|>' + role + '\n' + text + '<|im_end|>\n' }}", "{{ '<|im_start|>assistant\n' }}"),
        ("<|im_start|>", "<|im_end|>")),
    # Llama 2 chat
    "llama2": NamedFormat(_LLAMA2),
    # Llama 3 instruct; 3.1 and later print dates besides
    "llama3": NamedFormat(
        "{{ '<|begin_of_text|>' }}" + _same_for_all(
            "{{ '<|start_header_id|>' + role + '<|end_header_id|>\n\n' + text | trim + '<|eot_id|>' }}",
            "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"),
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    # Mistral 7B Instruct v0.1 and v0.2, Mixtral: [INST] is text
    "mistral-v1": NamedFormat(_folded(
        "{{ bos_token }}", "{{ ' [INST] ' + text + ' [/INST]' }}", "{{ ' ' + text + eos_token }}")),
    # Mistral 7B Instruct v0.3, Mistral Large 2407
    "mistral-v3": NamedFormat(_folded(
        "{{ bos_token }}", "{{ '[INST] ' + text + '[/INST]' }}", "{{ ' ' + text + eos_token }}"),
        ("[INST]", "[/INST]")),
    # Mistral Nemo: no spaces around
    "mistral-tekken": NamedFormat(_folded(
        "{{ bos_token }}", "{{ '[INST]' + text + '[/INST]' }}", "{{ text + eos_token }}"), ("[INST]", "[/INST]")),
    # Zephyr, TinyLlama Chat, StableLM Zephyr: roles are text
    "zephyr": NamedFormat(_same_for_all(
        "{{ '<|' + role + '|>\n' + text + eos_token + '\n' }}", "{{ '<|assistant|>\n' }}")),
    # Gemma instruct; the system text stands where Gemma 3 has it
    "gemma": NamedFormat(
        _folded("{{ bos_token }}", "{{ '<start_of_turn>user\n' + text + '<end_of_turn>\n' }}",
                "{{ '<start_of_turn>model\n' + text + '<end_of_turn>\n' }}", "{{ '<start_of_turn>model\n' }}",
                "message['content'] | trim"),
        ("<start_of_turn>", "<end_of_turn>")),
    # Phi-2: all of it is text; the system text is a line of its own
    "phi2": NamedFormat(_PHI2),
    # Phi-3 and Phi-3.5 mini
    "phi3": NamedFormat(
        _same_for_all("{{ '<|' + role + '|>\n' + text + '<|end|>\n' }}", "{{ '<|assistant|>\n' }}"),
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")),
    # Base models: text as it is
    "plain": NamedFormat(None),
}

NAMES = tuple(FORMATS)
