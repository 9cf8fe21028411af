"""Reads the options of a config.json and refuses, by name, what an architecture does not implement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checkpoint import DecoderConfig, ExportError

# Names of activation functions in transformers -> the operator's word.
_ACTIVATIONS = {
    "silu": "silu", "swish": "silu",
    "gelu": "none", "gelu_python": "none",
    "gelu_new": "tanh", "gelu_fast": "tanh", "gelu_pytorch_tanh": "tanh",
}
_SLIDING_WINDOW = 4096  # where a config.json of Mistral or Qwen leaves it out
SILU = ("silu",)
GELU = ("none", "tanh")  # erf, and its approximation


def positive(config: dict, *keys: str, default: int | None = None) -> int:
    """The whole number that the first of `keys` in `config` is set to, if none is, `default`."""
    key = next((key for key in keys if config.get(key) is not None), None)
    if key is None and default is None:
        raise ExportError(f"config: {' or '.join(dict.fromkeys(keys))} is missing")
    value = default if key is None else config[key]
    if type(value) is not int or value < 1:
        raise ExportError(f"config: {key} must be a positive number, not {value!r}")
    return value


def number(config: dict, key: str, default: float) -> float:
    value = default if config.get(key) is None else config[key]
    if type(value) not in (int, float):
        raise ExportError(f"config: {key} must be a number, not {value!r}")
    return float(value)


def sizes(config: dict, words: dict[str, str] | None = None, **defaults: Any) -> dict:
    """DecoderConfig's sizes. `words`: what an architecture calls a key of Llama's config.json; `defaults` of keys that
    may be left out, under Llama's names."""
    words = words or {}

    def size(key: str) -> int:
        return positive(config, words.get(key, key), key, default=defaults.get(key))

    heads, hidden = size("num_attention_heads"), size("hidden_size")
    kv_heads = positive(config, "num_key_value_heads", default=heads)
    if heads % kv_heads != 0:
        raise ExportError(f"num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}")
    head_dim = config.get("head_dim") or defaults.get("head_dim")
    if head_dim is None and hidden % heads != 0:
        raise ExportError(f"{words.get('hidden_size', 'hidden_size')} {hidden} is not a multiple of the {heads} heads")
    return {
        "vocab_size": size("vocab_size"),
        "layers": size("num_hidden_layers"),
        "hidden": hidden,
        "intermediate": size("intermediate_size"),
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": positive({"head_dim": head_dim}, "head_dim", default=hidden // heads),
        "trained_context": size("max_position_embeddings"),
        "tied_head": bool(config.get("tie_word_embeddings", defaults.get("tie_word_embeddings", False))),
    }


def supported(config: dict, key: str, values: Iterable[Any], default: Any = None) -> Any:
    """The value of `key`, which must be one of `values`. Left out or null counts as `default`."""
    value = config.get(key)
    value = default if value is None else value
    if value not in values:
        raise ExportError(f"{key} {value!r} is not supported (supported: {', '.join(map(str, values))})")
    return value


def refuse(config: dict, *keys: str, reason: str = "") -> None:
    """ExportError naming the first of `keys` that is set to anything but null, false or 0."""
    for key in keys:
        if config.get(key):
            raise ExportError(f"{key} {config[key]!r} is not supported{reason and f': {reason}'}")


def activation(config: dict, key: str, kinds: tuple[str, ...], default: str) -> str:
    """"silu", or gelu's word for the operators, "none" or "tanh"; one of `kinds`."""
    names = [name for name, kind in _ACTIVATIONS.items() if kind in kinds]
    return _ACTIVATIONS[supported(config, key, names, default)]


def attention_span(config: dict, decoder: DecoderConfig, slides: bool = True, first: int = 0) -> int:
    """The trained context where layers from `first` on may see no more than `sliding_window`, if it is not null.

    A session's window may not exceed what the model was trained to see. Layers that see differently far are refused.
    """
    slides = slides and config.get("sliding_window", _SLIDING_WINDOW) is not None
    window = positive(config, "sliding_window", default=_SLIDING_WINDOW) if slides else decoder.trained_context
    kinds = set(config.get("layer_types") or [
        "sliding_attention" if slides and index >= first else "full_attention" for index in range(decoder.layers)])
    if kinds == {"full_attention"}:
        return decoder.trained_context
    if kinds != {"sliding_attention"} or not slides:
        raise ExportError(f"layer_types {', '.join(sorted(kinds))} are not supported with sliding_window"
                          f" {window if slides else None}: all layers must see equally far")
    return min(decoder.trained_context, window)
