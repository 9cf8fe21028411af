"""How a model file holds matrices: the exporter's --dtype."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from . import quantize
from .checkpoint import ExportError, LazyTensors

_FLOATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# dtype -> the kinds of blocks that are taken from the source as they are
_CARRIED = {"int8": ("Q8_0",), "int4": ("Q4_0", "Q4_1", "Q8_0")}
NAMES = (*_FLOATS, *_CARRIED)
_QUANTIZE: dict[str, Callable[[Tensor], Tensor]] = {
    quantize.INT8_ROWS: quantize.int8_rows, "Q4_1": quantize.q4_1, "Q8_0": quantize.q8_0}


class Precision:
    """One of NAMES, and for int8 and int4 what the matrices of one model have become.

    int8: rows of bytes; Q8_0 where the source has it, or a row's length wants smaller blocks. int4: Q4_1, but Q8_0 for
    the vocabulary's matrices and for what the source has quantised in a way that the file cannot hold: rounding to 4
    bits what is rounded already would cost far more than either.
    """

    def __init__(self, name: str):
        self.name = name
        self.quantized = name in _CARRIED
        self._kinds: dict[str, str] = {}

    @property
    def kinds(self) -> Counter[str]:
        """Of the matrices quantised so far: how many are of which kind."""
        return Counter(self._kinds.values())

    @property
    def weight_bytes(self) -> float:
        """At most, of one weight of a matrix in the file."""
        return quantize.BYTES["Q8_0"] / quantize.BLOCK if self.quantized else _FLOATS[self.name].itemsize

    def round_activations(self, x: Tensor, name: str) -> Tensor:
        """What the operators make of [..., in] that meets the matrix of this name, which matrix() has been asked for;
        of int8 and int4."""
        return quantize.round_activations(x, quantize.activation_group(self._kinds[name]))

    def matrix(self, tensors: LazyTensors, *names: str, vocabulary: bool = False) -> Tensor:
        """The rows of these tensors, one after another, as LinearWeight takes them. `vocabulary`: of an embedding or a
        head. Each tensor is read once."""
        if self.quantized:
            kind = self._kind_of_all(tensors, names, vocabulary)
            self._kinds.update(dict.fromkeys(names, kind))
            parts = [self._bytes(tensors, name, kind) for name in names]
        else:
            parts = [tensors[name].to(_FLOATS[self.name]) for name in names]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def restored(self, tensors: LazyTensors, name: str) -> Tensor:
        """float32: what the file says of this tensor. Norms and biases are float32 in it; of int8 and int4, so is all
        that matrix() has not been asked for."""
        if name in self._kinds:
            return quantize.dequantize(self._bytes(tensors, name, self._kinds[name]))
        tensor = tensors[name]
        return tensor.float() if self.quantized or tensor.dim() < 2 else tensor.to(_FLOATS[self.name]).float()

    def _kind_of_all(self, tensors: LazyTensors, names: tuple[str, ...], vocabulary: bool) -> str:
        """One matrix is of one kind."""
        kinds = {self._kind(tensors, name, vocabulary) for name in names}
        return kinds.pop() if len(kinds) == 1 else "Q8_0"

    def _kind(self, tensors: LazyTensors, name: str, vocabulary: bool) -> str:
        source = tensors.quantized(name)
        if source is not None and source.kind in _CARRIED[self.name]:
            return source.kind
        if self.name == "int4":
            return "Q4_1" if source is None and not vocabulary else "Q8_0"
        return self._kind_of_floats(tensors.shape(name)[-1])

    def _kind_of_floats(self, inputs: int) -> str:
        """Of int8, what is not carried becomes."""
        return quantize.INT8_ROWS if self.name == "int8" and inputs % quantize.ROW_GROUP == 0 else "Q8_0"

    def _bytes(self, tensors: LazyTensors, name: str, kind: str) -> Tensor:
        """uint8, as quantize.py has it."""
        inputs = tensors.shape(name)[-1]
        if inputs % quantize.BLOCK != 0:
            raise ExportError(f"--dtype {self.name}: {name}: in {inputs} is not a multiple of {quantize.BLOCK}, the"
                              " weights of a block; float32 and bfloat16 take any")
        source = tensors.quantized(name)
        carried = source is not None and source.kind == kind
        matrix = source.read() if carried else _QUANTIZE[kind](tensors[name])
        if (row := quantize.first_unbounded_row(matrix)) is not None:
            scale = "float32" if kind == quantize.INT8_ROWS else "float16"
            raise ExportError(f"--dtype {self.name}: {name}: row {row} has a scale that is no finite {scale}")
        return matrix
