"""What the architectures are made of: weights, norms, attention, MLPs, and the decoder around the layers.

An architecture's file puts them together; its layers are forward(x, rotary, step, wanted) -> x, x being float32
[N, hidden]. `wanted`, int64 [M], are the rows that anybody asks for behind the layer, of which alone it returns x, as
[M, hidden]; None: all. Behind the last layer these are the rows whose logits are wanted; it still writes the keys and
values of every row. Attention and MLPs end in a projection and take what its result is added to, since one operator does
both; they may begin with the norm of their input, for the same reason.

Import after operators.load(): the annotations below name classes of the operator library.
"""

from typing import Final, Optional

import torch
from torch import Tensor, nn

from . import alibi, rope
from .checkpoint import Alibi, DecoderConfig, ExportError, LazyTensors, Rope
from .precision import Precision

LinearWeight = torch.classes.sinkstream.LinearWeight
StepContext = torch.classes.sinkstream.StepContext


class Weights:
    """A checkpoint's tensors as the operators take them: matrices in `precision`, norms and biases in float32. A tensor
    is read at the call that names it, and not kept."""

    def __init__(self, tensors: LazyTensors, precision: Precision):
        self._tensors = tensors
        self._precision = precision

    def vector(self, name: str) -> Tensor:
        return self._tensors[name].to(torch.float32)

    def linear(self, *names: str, order: Tensor | None = None) -> LinearWeight:
        """Projections of the same input as one: their rows stacked, and their biases, if they have any. `order`: which
        row of the stack comes first, second, ..."""
        weight, bias = self._matrix(*names), self._bias(*names)
        if order is not None:
            weight, bias = weight[order], None if bias is None else bias[order]
        return LinearWeight(weight, bias)

    def embedding_and_head(self, embedding: str, head: str, tied: bool) -> tuple[LinearWeight, LinearWeight]:
        """Tied ones are the same object, which the file then holds once; an embedding reads no bias."""
        if not tied:
            return tuple(LinearWeight(self._matrix(name, vocabulary=True), self._bias(name))
                         for name in (embedding, head))
        both = LinearWeight(self._matrix(embedding, vocabulary=True), self._bias(head))
        return both, both

    def has(self, name: str) -> bool:
        return name in self._tensors

    def _matrix(self, *names: str, vocabulary: bool = False) -> Tensor:
        return self._precision.matrix(self._tensors, *(f"{name}.weight" for name in names), vocabulary=vocabulary)

    def _bias(self, *names: str) -> Tensor | None:
        biased = [f"{name}.bias" in self._tensors for name in names]
        if not any(biased):
            return None
        if not all(biased):
            raise ExportError(f"only some of {', '.join(names)} have a bias")
        return torch.cat([self.vector(f"{name}.bias") for name in names])


def order_of_groups(config: DecoderConfig) -> Tensor:
    """For Weights.linear: a fused projection whose rows are [kv_heads, queries of the group + key + value, head_dim],
    put into the order queries, keys, values."""
    rows = torch.arange((config.heads + 2 * config.kv_heads) * config.head_dim)
    groups = rows.view(config.kv_heads, config.heads // config.kv_heads + 2, config.head_dim)
    return torch.cat([groups[:, :-2].flatten(), groups[:, -2].flatten(), groups[:, -1].flatten()])


class RmsNorm(nn.Module):
    """`offset` is added to the weight."""

    def __init__(self, weights: Weights, name: str, epsilon: float, offset: float = 0.0):
        super().__init__()
        self.epsilon = epsilon
        self.register_buffer("weight", weights.vector(f"{name}.weight") + offset)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.sinkstream.rms_norm(x, self.weight, self.epsilon)

    def linear(self, x: Tensor, weight: LinearWeight) -> Tensor:
        """Of the normed x."""
        return torch.ops.sinkstream.rms_norm_linear(x, self.weight, self.epsilon, weight)


class LayerNorm(nn.Module):
    """With a bias where the checkpoint has one."""

    def __init__(self, weights: Weights, name: str, epsilon: float):
        super().__init__()
        self.epsilon = epsilon
        self.register_buffer("weight", weights.vector(f"{name}.weight"))
        self.register_buffer("bias", weights.vector(f"{name}.bias") if weights.has(f"{name}.bias") else None)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.sinkstream.layer_norm(x, self.weight, self.bias, self.epsilon)


class NoNorm(nn.Module):
    """For what is given normed rows."""

    def linear(self, x: Tensor, weight: LinearWeight) -> Tensor:
        return torch.ops.sinkstream.linear(x, weight)


def rows_of(x: Tensor, wanted: Optional[Tensor]) -> Tensor:
    """The rows of x whose numbers are in `wanted`; None: all."""
    if wanted is None:
        return x
    return x.index_select(0, wanted)


class Attention(nn.Module):
    """`qkv` projects to [(heads + 2 kv_heads) * head_dim]: the heads' queries, keys, values. `prepare` is applied to
    these before anything else; `scale`, of the scores, is 1 / sqrt(head_dim) unless given; `norm`, an RmsNorm, is
    x's: without one x is normed already. forward() takes all rows of x and of `residual` and returns those `wanted`."""

    def __init__(self, index: int, config: DecoderConfig, qkv: LinearWeight, out: LinearWeight,
                 prepare: nn.Module | None = None, scale: float | None = None, norm: RmsNorm | None = None):
        super().__init__()
        self.index = index  # of the layer, for its part of the KV cache
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.scale = config.head_dim**-0.5 if scale is None else scale
        self.norm = norm or NoNorm()
        self.qkv = qkv
        self.prepare = prepare or nn.Identity()
        self.out = out
        biased = isinstance(config.positions, Alibi)
        self.register_buffer("slopes", alibi.slopes(config.positions, config.heads) if biased else None)

    def forward(self, x: Tensor, residual: Tensor, rotary: Optional[Tensor], step: StepContext,
                wanted: Optional[Tensor]) -> Tensor:
        qkv = self.prepare(self.norm.linear(x, self.qkv))
        attended = torch.ops.sinkstream.sink_attention(
            qkv, rotary, self.index, self.heads, self.kv_heads, self.head_dim, self.scale, step, self.slopes)
        return torch.ops.sinkstream.linear_add(rows_of(attended, wanted), self.out, rows_of(residual, wanted))


class GatedMlp(nn.Module):
    """down(activation(gate(x)) * up(x)); `activation` in the words of options.activation(); `norm` as Attention's."""

    silu: Final[bool]  # a constant, so that the other branch is not in the file

    def __init__(self, gate_up: LinearWeight, down: LinearWeight, activation: str = "silu",
                 norm: RmsNorm | None = None):
        super().__init__()
        self.norm = norm or NoNorm()
        self.gate_up = gate_up
        self.down = down
        self.activation = activation
        self.silu = activation == "silu"

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        gate_up = self.norm.linear(x, self.gate_up)
        if self.silu:
            return torch.ops.sinkstream.silu_mul_linear_add(gate_up, self.down, residual)
        hidden = torch.ops.sinkstream.gelu_mul(gate_up, self.activation)
        return torch.ops.sinkstream.linear_add(hidden, self.down, residual)


class PlainMlp(nn.Module):
    """down(gelu(up(x))); `activation` in the words of options.activation()."""

    def __init__(self, up: LinearWeight, down: LinearWeight, activation: str):
        super().__init__()
        self.up = up
        self.down = down
        self.activation = activation

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        hidden = torch.ops.sinkstream.gelu(torch.ops.sinkstream.linear(x, self.up), self.activation)
        return torch.ops.sinkstream.linear_add(hidden, self.down, residual)


class Decoder(nn.Module):
    """Embedding, layers, last norm and head: the module that is scripted. `after_embedding`: what an architecture does
    to the embedded tokens before the first layer."""

    def __init__(self, weights: Weights, config: DecoderConfig, layers: list[nn.Module], norm: nn.Module,
                 embedding: str = "model.embed_tokens", head: str = "lm_head",
                 after_embedding: nn.Module | None = None):
        super().__init__()
        self.embedding, self.head = weights.embedding_and_head(embedding, head, config.tied_head)
        self.after_embedding = after_embedding or nn.Identity()
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        rotary = config.positions if isinstance(config.positions, Rope) else None
        self.magnitude = rope.magnitude(rotary) if rotary else 1.0
        self.register_buffer("inv_freq", rope.inverse_frequencies(rotary) if rotary else None)
        self.eval()

    def forward(self, tokens: Tensor, logit_rows: Tensor, step: StepContext) -> Tensor:
        x = self.after_embedding(torch.ops.sinkstream.embedding(tokens, self.embedding))  # [N, hidden]
        rotary: Optional[Tensor] = None
        if self.inv_freq is not None:
            rotary = torch.ops.sinkstream.rotary_table(self.inv_freq, step, self.magnitude)
        for layer in self.layers[:-1]:
            x = layer.forward(x, rotary, step, None)  # TorchScript cannot call what a slice gives
        x = self.layers[-1](x, rotary, step, logit_rows)  # [M, hidden]
        return torch.ops.sinkstream.logits(self.norm(x), self.head, step)
