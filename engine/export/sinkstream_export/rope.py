"""Rotary positions: what a config.json says of them, and the frequencies that follow."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .checkpoint import ExportError, Rope

_TYPES = ("default", "linear", "dynamic", "llama3", "yarn")


def read(
    config: dict, head_dim: int, partial: float | None = None, theta_key: str = "rope_theta",
    partial_key: str = "partial_rotary_factor",
) -> Rope:
    """`partial`: the part of a head that is rotated unless the configuration says otherwise; None where the
    architecture rotates whole heads. ExportError for what is malformed or not implemented."""
    key, rope = _parameters(config)
    share = rope.get("partial_rotary_factor", config.get(partial_key, partial))
    share = 1.0 if share is None else _number(partial_key, share)
    if partial is None and share != 1:
        raise ExportError(f"partial_rotary_factor {share} is not supported: this architecture rotates whole heads")
    dims = int(head_dim * share)
    if not 0 < dims <= head_dim or dims % 2 != 0:
        raise ExportError(f"rotary positions turn {dims} of head_dim {head_dim} dimensions, which are no pairs")
    theta = rope.get("rope_theta", config.get(theta_key))
    return Rope(10000.0 if theta is None else _number(theta_key, theta), dims, _scaling(config, key, rope))


def _number(name: str, value: object) -> float:
    if type(value) not in (int, float) or value <= 0:
        raise ExportError(f"config: {name} must be a positive number, not {value!r}")
    return float(value)


def _parameters(config: dict) -> tuple[str, dict]:
    """The key that holds the parameters, and these."""
    new, old = config.get("rope_parameters") or {}, config.get("rope_scaling") or {}
    if new and old and new != old:
        raise ExportError("config: rope_parameters and rope_scaling are both set, and differ")
    key, rope = ("rope_scaling", old) if old else ("rope_parameters", new)
    if not isinstance(rope, dict):
        raise ExportError(f"config: {key} must be an object, not {rope!r}")
    for name, value in rope.items():
        if isinstance(value, dict):
            raise ExportError(f"{key}: {name} has positions of its own; they must be the same in all layers")
    if "mrope_section" in rope:
        raise ExportError(f"{key}: mrope_section (positions in several dimensions) is not supported")
    original = "original_max_position_embeddings"
    return key, {**rope, original: config[original]} if config.get(original) else rope


def _scaling(config: dict, key: str, rope: dict) -> dict | None:
    kinds = {kind for kind in (rope.get("rope_type"), rope.get("type")) if kind is not None} or {"default"}
    for kind in sorted(kinds):
        if kind not in _TYPES:
            raise ExportError(f"{key}: rope scaling '{kind}' is not supported (supported: {', '.join(_TYPES)})")
    if len(kinds) > 1:
        raise ExportError(f"{key}: rope_type '{rope['rope_type']}' and type '{rope['type']}' contradict each other")
    kind = kinds.pop()
    if kind == "default":
        if rope.get("factor") not in (None, 1):
            raise ExportError(f"{key}: factor {rope['factor']} is not supported without a rope_type")
        return None

    def number(name: str, default: float | None = None) -> float:
        return _number(f"{key}: {name}", default if rope.get(name) is None else rope[name])

    scaling = {"type": kind, "factor": number("factor")}
    if kind in ("llama3", "yarn"):
        scaling["original_context"] = number("original_max_position_embeddings", config.get("max_position_embeddings"))
    if kind == "llama3":
        scaling |= {name: number(name) for name in ("low_freq_factor", "high_freq_factor")}
    if kind == "yarn":
        scaling |= {"beta_fast": number("beta_fast", 32), "beta_slow": number("beta_slow", 1),
                    "truncate": bool(rope.get("truncate", True)), "magnitude": _yarn_magnitude(rope, number)}
    return scaling


def _yarn_magnitude(rope: dict, number: Callable[[str], float]) -> float:
    """What cos and sin are multiplied by: the temperature of attention over a stretched context."""
    if rope.get("attention_factor") is not None:
        return number("attention_factor")

    def temperature(weight: float) -> float:
        return max(1.0, 0.1 * weight * math.log(number("factor")) + 1.0)

    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return temperature(number("mscale")) / temperature(number("mscale_all_dim"))
    return temperature(1.0)


def magnitude(rope: Rope) -> float:
    return (rope.scaling or {}).get("magnitude", 1.0)


def inverse_frequencies(rope: Rope) -> Tensor:
    """float64 [dims / 2]: transformers' float32 values, widened, so that the angles alone gain precision."""
    exponents = torch.arange(0, rope.dims, 2, dtype=torch.int64).to(torch.float32) / rope.dims
    plain = 1.0 / (rope.theta**exponents)
    kind = "default" if rope.scaling is None else rope.scaling["type"]
    if kind == "linear":
        plain = plain / rope.scaling["factor"]
    elif kind == "llama3":
        plain = _llama3(plain, rope.scaling)
    elif kind == "yarn":
        plain = _yarn(plain, rope)
    # dynamic scales once the cache is longer than the trained context, which a session's cache never is.
    return plain.to(torch.float64)


def _llama3(plain: Tensor, scaling: dict) -> Tensor:
    """Waves longer than the original context / low_freq_factor are slowed down by `factor`, those shorter than it /
    high_freq_factor stay, and what lies between goes over from one to the other."""
    turns = scaling["original_context"] * plain / (2 * math.pi)  # of each pair, over the original context
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    return (1.0 - kept) * plain / scaling["factor"] + kept * plain


def _yarn(plain: Tensor, rope: Rope) -> Tensor:
    """Pairs that turn more often than beta_fast over the original context stay, those that turn less than beta_slow are
    slowed down by `factor`, with a linear ramp over the pairs between."""
    scaling = rope.scaling

    def pair_that_turns(times: float) -> float:
        period = scaling["original_context"] / (times * 2 * math.pi)
        return rope.dims * math.log(period) / (2 * math.log(rope.theta))

    first, last = pair_that_turns(scaling["beta_fast"]), pair_that_turns(scaling["beta_slow"])
    if scaling["truncate"]:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rope.dims - 1)
    width = last - first if last != first else 0.001
    slowed = ((torch.arange(rope.dims // 2, dtype=torch.float32) - first) / width).clamp(0.0, 1.0)
    return plain / scaling["factor"] * slowed + plain * (1.0 - slowed)
