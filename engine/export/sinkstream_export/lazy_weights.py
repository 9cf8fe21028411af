"""Modules whose parameters are read where they are used and not kept, so that a whole model takes no more memory than
its largest parameter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules made meanwhile have parameters without data; their buffers are real."""

    def on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.is_meta:  # a tied one stays the same object
            return None
        return nn.Parameter(parameter.to("meta"), requires_grad=False)

    hook = register_module_parameter_registration_hook(on_meta)
    try:
        yield
    finally:
        hook.remove()


def read_at_use(module: nn.Module, readers: dict[int, Callable[[], Tensor]]) -> None:
    """From now on `module`'s forward reads a parameter without data by the reader under its id(), whenever a function
    of torch takes it; in the parameter's type, which may change meanwhile."""
    forward = module.forward

    @functools.wraps(forward)
    def reading(*args, **kwargs):
        with _ReadAtUse(readers):
            return forward(*args, **kwargs)

    module.forward = reading


class _ReadAtUse(TorchFunctionMode):
    def __init__(self, readers: dict[int, Callable[[], Tensor]]):
        super().__init__()
        self._readers = readers

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*map(self._real, args), **{key: self._real(value) for key, value in (kwargs or {}).items()})

    def _real(self, value: Any) -> Any:
        if type(value) in (tuple, list):
            return type(value)(map(self._real, value))
        if isinstance(value, nn.Parameter) and value.is_meta:
            return self._readers[id(value)]().to(value.dtype)
        return value
