"""Holds a serialised module to transformers before it is written under its name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from tokenizers import Tokenizer

from . import architectures, divergence, oracle
from .architectures import Architecture
from .checkpoint import Checkpoint, DecoderConfig, ExportError
from .lazy_weights import parameters_on_meta, read_at_use
from .precision import Precision
from .step import stream_logits

TOLERANCE = 1e-3  # largest difference of a logit, in float32
# Nats, largest mean KL divergence of predictions, where activations are rounded. Of the tests' families the largest is
# 1.2e-4 with portable kernels, 1.0e-4 with others.
DIVERGENCE = 1e-3
# Where the reference itself is not that near to its float64, or to itself with rounded activations: how often its own
# error the difference may be.
_ROUNDINGS = 4
SOURCE_DIVERGENCE = 0.3  # nats, likewise from the source's: what rounding a Q4_1 model anew to 4 bits costs is more
# Nats, mean KL divergence that a cache of bytes may cost; or twice what bfloat16 costs, up to the larger one: where
# activations are rounded, whatever moves a number moves some to the next integer.
KV_DIVERGENCE = 0.01
_LARGEST_KV_DIVERGENCE = 0.05
_TOKENS = 64
_TEXT = (
    "A river does not remember every drop that has passed its bridge, and yet it keeps its name. In 1834 the old mill"
    " stood where 3 roads met; whoever came from the north saw its roof first, then the water, then the miller's"
    " daughter, who counted the carts and wrote them down. Nobody knew why she did so, but on the last day of each"
    " year her father read the list aloud, from the first line to the last.")
_CHUNK = 24  # so that a chunk begins inside a block
_SINKS, _WINDOW = 4, 12  # of the streaming check: the cache fills and turns over several times
_FEWEST = _SINKS + _WINDOW + 1  # tokens

Logits = Callable[[torch.dtype], torch.Tensor]  # the reference's [T, vocab_size], computed in that type


def check(
    module: torch.nn.Module, architecture: Architecture, checkpoint: Checkpoint, config: DecoderConfig,
    precision: Precision,
) -> dict:
    """The manifest's `verification`. ExportError if the logits of a fixed text differ from transformers' on the same
    weights, rounded to `precision` and computed in float32; or, streamed, from the architecture's oracle: by TOLERANCE
    or more, and by more than float32 accounts for. Of quantised matrices, by more than the operators' rounding of
    activations accounts for, or too far from the source's; what rounding keys and values costs is `kv`. Beside
    `module`, memory holds one tensor of the checkpoint at a time."""
    tokens = _text(checkpoint, config)
    with torch.inference_mode():
        reference = reference_model(checkpoint, precision)
        dense = _run(module, config, tokens, sinks=0, window=len(tokens))
        streamed = _run(module, config, tokens, _SINKS, _WINDOW)
        dense_logits = partial(_dense_logits, reference, tokens)
        streaming_oracle = architecture.streaming_oracle or oracle.band_sink_logits
        streamed_logits = partial(streaming_oracle, reference, tokens, _SINKS, _WINDOW)
        if not precision.quantized:
            difference = max(_difference("", dense, dense_logits), _difference("streamed ", streamed, streamed_logits))
            return {"max_abs_logit_difference": float(f"{difference:.2g}"), "tokens": len(tokens)}
        _refuse_divergence("", dense, dense_logits, reference, precision)
        _refuse_divergence("streamed ", streamed, streamed_logits, reference, precision)
        source = reference_model(checkpoint, Precision("float32"))
        return {"same_weights": divergence.figures(dense_logits(torch.float32), dense, tokens),
                "source": _figures_from_source(_dense_logits(source, tokens, torch.float32), dense, tokens),
                "kv": _kv_figures(module, config, tokens, dense),
                "tokens": len(tokens)}


def kv_dtype(dtype: str, verification: dict) -> str:
    """The manifest's, of `verification` as check() gives it: that of the weights, or of quantised ones int8, where what
    that costs is small. It is not where biases make some dimensions of keys outlying, as in Qwen 2
    (https://github.com/ggml-org/llama.cpp/issues/21385)."""
    if "kv" not in verification:
        return dtype
    costs = {name: figures["mean_kl"] for name, figures in verification["kv"].items()}
    limit = max(KV_DIVERGENCE, min(2 * costs["bfloat16"], _LARGEST_KV_DIVERGENCE))
    return "int8" if costs["int8"] <= limit else "bfloat16"


def _text(checkpoint: Checkpoint, config: DecoderConfig) -> torch.Tensor:
    """The fixed text [T], as far as the trained context reaches."""
    ids = Tokenizer.from_str(checkpoint.tokenizer_json).encode(_TEXT, add_special_tokens=False).ids
    count = min(_TOKENS, config.trained_context, len(ids))
    if count < _FEWEST:
        raise ExportError(f"verification needs a text of {_FEWEST} tokens or more, so that one is evicted: its own is"
                          f" {len(ids)} in this tokenizer, and the trained context {config.trained_context}")
    return torch.tensor(ids[:count])


def _kv_figures(module: torch.nn.Module, config: DecoderConfig, tokens: torch.Tensor, exact: torch.Tensor) -> dict:
    """`exact`: the logits with keys and values in float32."""
    return {name: divergence.figures(
        exact, _run(module, config, tokens, sinks=0, window=len(tokens), kv=kv), tokens)
        for name, kv in (("bfloat16", torch.bfloat16), ("int8", torch.int8))}


def _run(
    module: torch.nn.Module, config: DecoderConfig, tokens: torch.Tensor, sinks: int, window: int,
    kv: torch.dtype = torch.float32,
) -> torch.Tensor:
    try:
        return stream_logits(module, config, tokens, sinks, window, _CHUNK, kv_dtype=kv)
    except RuntimeError as error:  # TorchScript tells the cause last, after its own trace
        raise ExportError(f"verification failed: {str(error).strip().splitlines()[-1]}; nothing was written") from error


def _dense_logits(reference: torch.nn.Module, tokens: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """transformers' logits [T, vocab_size] of `tokens` [T]. `reference` is left in float32, whose values float64 holds
    exactly."""
    try:
        return reference.to(dtype)(tokens[None]).logits[0]
    finally:
        reference.float()


def _difference(what: str, got: torch.Tensor, expected: Logits) -> float:
    """The largest of `got` [T, vocab_size] from `expected(float32)`. ExportError if it is beyond the limit; only then
    is `expected(float64)` computed, which takes longer."""
    reference = expected(torch.float32)
    difference = (got - reference).abs().max().item()
    if difference < TOLERANCE:
        return difference
    rounding = (reference - expected(torch.float64)).abs().max().item()
    limit = max(TOLERANCE, _ROUNDINGS * rounding)
    if not difference < limit:  # also NaN
        raise ExportError(f"verification failed: {what}logits differ from the reference by {difference:.3g}"
                          f" (limit {limit:.3g}); nothing was written")
    return difference


def _refuse_divergence(
    what: str, got: torch.Tensor, expected: Logits, reference: torch.nn.Module, precision: Precision,
) -> None:
    """Rounded activations make a deep model's logits differ from those that another order of sums gives: here by what
    rounding them in the reference changes."""
    exact = expected(torch.float32)
    with divergence.rounded_activations(reference, precision):
        rounded = expected(torch.float32)
    limit = max(DIVERGENCE, _ROUNDINGS * divergence.mean_kl(exact, rounded))
    found = divergence.mean_kl(rounded, got)
    if not found < limit:  # also NaN
        raise ExportError(f"verification failed: {what}predictions are {found:.3g} nats (mean KL divergence) from the"
                          f" reference's (limit {limit:.3g}); nothing was written")


def _figures_from_source(source: torch.Tensor, got: torch.Tensor, tokens: torch.Tensor) -> dict:
    figures = divergence.figures(source, got, tokens)
    if not figures["mean_kl"] < SOURCE_DIVERGENCE:
        raise ExportError(f"verification failed: quantised, predictions are {figures['mean_kl']:g} nats (mean KL"
                          f" divergence) from the source's (limit {SOURCE_DIVERGENCE}); nothing was written")
    return figures


def check_tensors(checkpoint: Checkpoint) -> None:
    """ExportError naming a tensor whose shape is not that of transformers' model, or that differs from the one to which
    the config ties it. Reads no tensor, but two at a time where both of a tied pair are stored.

    To be called before a module is built: one of another shape would fail there without its name, and a smaller one
    would be broadcast into the reference. A module takes a tied head from the embedding, unlike transformers where the
    two differ."""
    with torch.device("meta"):
        wanted = _transformers_model(checkpoint).state_dict(keep_vars=True)
    for name in (name for name in checkpoint.tensors if name in wanted):
        got, expected = list(checkpoint.tensors.shape(name)), list(wanted[name].shape)
        if got != expected:
            raise ExportError(f"tensor {name} has the shape {got}, {checkpoint.architecture} wants {expected}")
    _refuse_differing_ties(checkpoint, wanted)


def _refuse_differing_ties(checkpoint: Checkpoint, wanted: dict) -> None:
    stored, first = checkpoint.tensors, {}
    for name in (name for name in wanted if name in stored):
        tied_to = first.setdefault(id(wanted[name]), name)
        if tied_to != name and not (stored[tied_to] == stored[name]).all():  # their float types may differ
            raise ExportError(f"tensor {name} differs from {tied_to}, to which the config ties it")


def _transformers_model(checkpoint: Checkpoint) -> torch.nn.Module:
    """With weights as transformers initialises them."""
    return transformers.AutoModelForCausalLM.from_config(
        _transformers_config(checkpoint), dtype=torch.float32, attn_implementation="eager").eval()


def _transformers_config(checkpoint: Checkpoint) -> transformers.PreTrainedConfig:
    config = architectures.find(checkpoint.architecture).reference_config(checkpoint.source_config)
    options = {key: value for key, value in config.items() if key not in ("dtype", "torch_dtype")}
    try:
        return transformers.AutoConfig.for_model(**copy.deepcopy(options))  # it writes into nested ones
    except StrictDataclassError as error:
        raise ExportError(f"config: {' '.join(str(error).split())}") from error


def reference_model(checkpoint: Checkpoint, precision: Precision) -> torch.nn.Module:
    """transformers' model as its architecture prepares it, with the checkpoint's matrices as `precision` has rounded
    them, computing in float32. A forward reads each weight where it is used and does not keep it. Shapes and ties
    as check_tensors() has found them."""
    with parameters_on_meta():
        model = _transformers_model(checkpoint)
    wanted = model.state_dict(keep_vars=True)
    _refuse_unused(checkpoint, wanted)
    readers = {}
    for name, tensor in wanted.items():
        if name not in checkpoint.tensors:
            continue
        if tensor.is_meta:
            # A tied head that is stored too is the embedding, which comes first and which alone `precision` knows.
            readers.setdefault(id(tensor), partial(precision.restored, checkpoint.tensors, name))
        else:
            tensor.copy_(checkpoint.tensors[name])
    for name, tensor in wanted.items():
        if name not in checkpoint.tensors and id(tensor) not in readers:  # a tied head is the embedding
            raise ExportError(f"the checkpoint has no tensor {name}")
    read_at_use(model, readers)
    architectures.find(checkpoint.architecture).prepare_reference(model)
    return model


def _refuse_unused(checkpoint: Checkpoint, wanted: dict) -> None:
    unused = [name for name in checkpoint.tensors if name not in wanted]
    if unused:
        raise ExportError(f"tensor {unused[0]} is not part of the {checkpoint.architecture} architecture")
