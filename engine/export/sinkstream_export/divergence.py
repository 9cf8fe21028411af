"""How far predictions are from those of a reference, and what rounding activations does to the reference's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from .precision import Precision


def mean_kl(expected: Tensor, got: Tensor) -> float:
    """Nats: the mean over tokens of the Kullback-Leibler divergence of what `got` predicts from what `expected` does.
    Both are logits [T, vocabulary]."""
    expected, got = (logits.double().log_softmax(-1) for logits in (expected, got))
    return kl_div(got, expected, reduction="batchmean", log_target=True).item()


def figures(expected: Tensor, got: Tensor, tokens: Tensor) -> dict[str, float]:
    """Of logits [T, vocabulary], after each of `tokens` [T]: mean_kl(), and by how much the mean negative
    log-likelihood of the next token is larger, in nats."""
    increase = cross_entropy(got[:-1], tokens[1:]) - cross_entropy(expected[:-1], tokens[1:])
    return {"mean_kl": float(f"{mean_kl(expected, got):.2g}"), "mean_nll_increase": float(f"{increase.item():.2g}")}


@contextmanager
def rounded_activations(model: nn.Module, precision: Precision) -> Iterator[None]:
    """Meanwhile the linear layers of transformers' `model` read what the operators make of their input. `precision` has
    made all their matrices."""
    # Each parameter once, by its first name: of a tied head the embedding's, as the file has it.
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    hooks = [layer.register_forward_pre_hook(
        lambda _, inputs, name=names[id(layer.weight)]: (precision.round_activations(inputs[0], name), *inputs[1:]))
        for layer in model.modules() if isinstance(layer, nn.Linear)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
