"""The oracle of streaming: transformers' own model, teacher-forced, with the attention's rule alone replaced.

Token n sees {0 .. S-1} and {max(S, n-W+1) .. n}: recent tokens at their true distance n - m, pinned token i at the
distance inside the cache, (n - e(n)) - i with e(n) = max(0, n - W + 1 - S).

A rotary model runs with every token at position 0, where nothing is rotated; queries and keys are rotated here, angles
in double. An ALiBi model keeps transformers' attention, and its bias and mask are replaced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .checkpoint import ExportError

# Queries scored at once: bounds the memory of a long text.
_QUERY_ROWS = 256
# Tokens by which a model shows how it rotates.
_SHOWN = 8

# (q [B, heads, T, D], k and v [B, kv_heads, T, D], scale) -> [B, heads, T, D]
Attention = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def band_sink_logits(
    model: nn.Module, tokens: Tensor, sinks: int, window: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Logits [T, vocab_size] of `tokens` (int64 [T]), computed in `dtype`: float32 or float64.

    `model`: a causal model of transformers with rotary or ALiBi positions, in a type whose values `dtype` holds. It is
    left as it was. ExportError if its attention is not one that can be replaced.
    """
    before = next(model.parameters()).dtype
    precision = _AllInDouble() if dtype == torch.float64 else nullcontext()
    try:
        with torch.no_grad(), precision:
            model.to(dtype)
            if model.config.model_type in _ALIBI and _has_alibi(model.config):
                return _alibi_logits(model, tokens, sinks, window)
            return _rotary_logits(model, tokens, sinks, window)
    finally:
        model.to(before)


class _AllInDouble(TorchFunctionMode):
    """transformers computes norms and softmax in float32, whatever the model's type; here not of float64 tensors."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if args and isinstance(args[0], Tensor) and args[0].dtype == torch.float64:
            if function is Tensor.float:
                return args[0]
            args = tuple(torch.float64 if arg is torch.float32 else arg for arg in args)
            kwargs = {key: torch.float64 if arg is torch.float32 else arg for key, arg in kwargs.items()}
        return function(*args, **kwargs)


def _seen(queries: Tensor, count: int, sinks: int, window: int) -> Tensor:
    """bool [queries, count]: which tokens those at positions `queries` attend to."""
    n, m = queries[:, None], torch.arange(count)
    return (m <= n) & ((m < sinks) | (m > n - window))


def _evicted(queries: Tensor, sinks: int, window: int) -> Tensor:
    return (queries - window + 1 - sinks).clamp(min=0)


@dataclass(frozen=True)
class _Rotation:
    inv_freq: Tensor  # float64 [R / 2]; the first R dimensions of a head are rotated
    neighbours: bool  # pairs are (2 i, 2 i + 1), else (i, R / 2 + i)

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        """x [..., T, D]; the result's pairs are (i, R / 2 + i): the order of dimensions does not change a score."""
        angles = positions.double()[:, None] * self.inv_freq
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        rotated, rest = x[..., :2 * len(self.inv_freq)], x[..., 2 * len(self.inv_freq):]
        if self.neighbours:
            a, b = rotated[..., 0::2], rotated[..., 1::2]
        else:
            a, b = rotated.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)


def _rotary_logits(model: nn.Module, tokens: Tensor, sinks: int, window: int) -> Tensor:
    rotation = _rotation(model, tokens)
    layers = 0

    def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        nonlocal layers
        layers += 1
        return _band_sink_attention(rotation, q, k, v, scale, sinks, window)

    with _attention(model, attend):
        logits = model(tokens[None], position_ids=torch.zeros_like(tokens)[None], use_cache=False).logits[0]
    if layers != model.config.num_hidden_layers:
        raise ExportError(f"the oracle replaced the attention of {layers} of {model.config.num_hidden_layers} layers of"
                          f" {model.config.model_type}")
    return logits


def _band_sink_attention(
    rotation: _Rotation, q: Tensor, k: Tensor, v: Tensor, scale: float, sinks: int, window: int
) -> Tensor:
    """Attention; q and k are not rotated yet."""
    count = q.shape[-2]
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], dim=1) for t in (k, v))
    keys = rotation.rotate(k, torch.arange(count)).transpose(-1, -2)
    out = []
    for n in torch.arange(count).split(_QUERY_ROWS):
        recent = rotation.rotate(q[..., n, :], n) @ keys[..., sinks:]
        pinned = rotation.rotate(q[..., n, :], n - _evicted(n, sinks, window)) @ keys[..., :sinks]
        scores = torch.cat([pinned, recent], dim=-1) * scale
        out.append(scores.masked_fill(~_seen(n, count, sinks, window), -math.inf).softmax(-1) @ v)
    return torch.cat(out, dim=-2)


class _Shown(Exception):
    """Carries the first layer's queries out of a forward."""


def _rotation(model: nn.Module, tokens: Tensor) -> _Rotation:
    """How `model` rotates: found by its own queries of the same tokens, at position 0 and at 0, 1, 2, ..."""
    inv_freq = _inverse_frequencies(model)
    positions = torch.arange(min(len(tokens), _SHOWN))

    def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        raise _Shown(q)

    try:
        with _attention(model, attend):
            model(tokens[None, :len(positions)].expand(2, -1), use_cache=False,
                  position_ids=torch.stack([torch.zeros_like(positions), positions]))
    except _Shown as shown:
        plain, rotated = shown.args[0]
    else:
        raise ExportError(f"the oracle cannot replace the attention of {model.config.model_type}")
    rounding = 1e-4 * plain.abs().max().item()
    for rotation in (_Rotation(inv_freq, False), _Rotation(inv_freq, True)):
        expected = rotation.rotate(plain, positions)
        if torch.allclose(rotation.rotate(rotated, 0 * positions), expected, rtol=0, atol=rounding):
            return rotation
    raise ExportError(f"the oracle does not know how {model.config.model_type} rotates queries and keys")


def _inverse_frequencies(model: nn.Module) -> Tensor:
    """float64: transformers' float32 values, widened."""
    config = model.config
    if config.model_type == "gptj":  # has a table of angles instead
        dims = config.rotary_dim or config.hidden_size
        return (1.0 / (10000 ** (torch.arange(0, dims, 2) / dims))).double()
    found = [module for module in model.modules() if isinstance(getattr(module, "inv_freq", None), Tensor)]
    if len(found) != 1:
        raise ExportError(f"the oracle needs one rotary or ALiBi position for all layers; {config.model_type} has"
                          f" {len(found) or 'none'}")
    return found[0].inv_freq.double()


def _attention(model: nn.Module, attend: Attention) -> AbstractContextManager[None]:
    """While it is entered, `model` computes attention by `attend`."""
    return _ROTARY.get(model.config.model_type, _through_interface)(model, attend)


@contextmanager
def _implementation(model: nn.Module, name: str) -> Iterator[None]:
    before = model.config._attn_implementation
    model.config._attn_implementation = name
    try:
        yield
    finally:
        model.config._attn_implementation = before


@contextmanager
def _through_interface(model: nn.Module, attend: Attention) -> Iterator[None]:
    name = "sinkstream_band_and_sink"

    def attention(module, query, key, value, attention_mask, scaling=None, softcap=None, s_aux=None, **options):
        if softcap is not None or s_aux is not None:
            raise ExportError(f"the oracle does not know the soft caps and learned sinks of {model.config.model_type}")
        scale = query.shape[-1]**-0.5 if scaling is None else scaling
        return attend(query, key, value, scale).transpose(1, 2).contiguous(), None

    ALL_ATTENTION_FUNCTIONS[name] = attention
    try:
        with _implementation(model, name):
            yield
    finally:
        del ALL_ATTENTION_FUNCTIONS[name]


@contextmanager
def _of_gptj(model: nn.Module, attend: Attention) -> Iterator[None]:
    layers = [layer.attn for layer in model.transformer.h]

    def attention(layer, query, key, value, attention_mask=None):
        return attend(query, key, value, 1 / layer.scale_attn), None

    for layer in layers:
        layer._attn = partial(attention, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer._attn


@contextmanager
def _of_falcon(model: nn.Module, attend: Attention) -> Iterator[None]:
    class Attend(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is nn.functional.scaled_dot_product_attention:
                return attend(*args[:3], args[0].shape[-1]**-0.5)
            return function(*args, **(kwargs or {}))

    with _implementation(model, "sdpa"), Attend():
        yield


_ROTARY = {"gptj": _of_gptj, "falcon": _of_falcon}


def alibi_slopes(heads: int, bias_max: float = 8.0) -> Tensor:
    """float64 [heads]: 2^(-bias_max k / P), P the next power of two; of fewer heads than P the even k come first."""
    power = 2**math.ceil(math.log2(heads))
    slopes = [2.0**(-bias_max * k / power) for k in range(1, power + 1)]
    return torch.tensor((slopes if power == heads else slopes[1::2] + slopes[::2])[:heads], dtype=torch.float64)


def _has_alibi(config) -> bool:
    return config.model_type != "falcon" or config.alibi


def _alibi_logits(model: nn.Module, tokens: Tensor, sinks: int, window: int) -> Tensor:
    n = torch.arange(len(tokens))
    distance = n[:, None] - n - _evicted(n, sinks, window)[:, None] * (n < sinks)
    bias_max = model.config.attn_config.alibi_bias_max if model.config.model_type == "mpt" else 8.0
    slopes = alibi_slopes(model.config.num_attention_heads, bias_max)
    bias = (-slopes[:, None, None] * distance).to(next(model.parameters()).dtype)  # [heads, T, T]
    replaced = _ALIBI[model.config.model_type](bias, _seen(n, len(tokens), sinks, window), model.config)

    def replace(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return args, {**kwargs, **replaced}

    hooks = [module.register_forward_pre_hook(replace, with_kwargs=True) for module in model.modules()
             if type(module).__name__ in ("BloomAttention", "FalconAttention", "MptAttention")]
    try:
        return model(tokens[None], use_cache=False).logits[0]
    finally:
        for hook in hooks:
            hook.remove()


def _bloom_arguments(bias: Tensor, seen: Tensor, config) -> dict[str, Tensor]:
    return {"alibi": bias, "attention_mask": torch.zeros_like(bias[:1]).masked_fill(~seen, -math.inf)}


def _mpt_arguments(bias: Tensor, seen: Tensor, config) -> dict[str, Tensor]:
    return {"position_bias": bias, "attention_mask": ~seen}


def _falcon_arguments(bias: Tensor, seen: Tensor, config) -> dict[str, Tensor]:
    # Falcon scales its bias as it does the scores. As alibi it takes one row for all queries, as mask one for each.
    scaled = bias * config.head_dim**-0.5
    return {"alibi": torch.zeros_like(bias[:, :1]), "attention_mask": scaled.masked_fill(~seen, -math.inf)[None]}


_ALIBI = {"bloom": _bloom_arguments, "falcon": _falcon_arguments, "mpt": _mpt_arguments}
