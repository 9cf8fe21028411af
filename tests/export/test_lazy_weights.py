"""Modules whose parameters are read where they are used."""

import gc
import weakref

import pytest
import torch
from sinkstream_export.lazy_weights import parameters_on_meta, read_at_use
from torch import nn


class Tied(nn.Module):
    """Its head is its embedding, and it takes a weight of its norm by itself."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("scale", torch.tensor([2.0]))

    def forward(self, ids):
        x = self.norm(self.embedding(ids)) * self.scale + self.norm.bias
        return torch.cat([self.head(x), x @ self.embedding.weight.T], dim=-1)


def lazy(model, read=lambda tensor: tensor):
    """The same model reading its parameters, each through `read`."""
    with parameters_on_meta():
        made = type(model)()
    stored = dict(model.named_parameters())
    read_at_use(made, {id(parameter): lambda name=name: read(stored[name].clone())
                       for name, parameter in made.named_parameters()})
    return made


def test_forward_is_that_of_the_model_in_memory():
    model, ids = Tied(), torch.arange(11)
    made = lazy(model)
    assert {parameter.device.type for parameter in made.parameters()} == {"meta"}
    assert made.scale.tolist() == [2.0]
    assert torch.equal(made(ids), model(ids))


def test_forward_follows_a_change_of_type():
    model, ids = Tied(), torch.arange(11)
    made = lazy(model)
    assert torch.equal(made.to(torch.float64)(ids), model.to(torch.float64)(ids))
    assert torch.equal(made.float()(ids), model.float()(ids))


def test_no_parameter_is_kept_after_its_use():
    living, most = weakref.WeakSet(), 0

    def counted(tensor):
        nonlocal most
        living.add(tensor)
        most = max(most, len(living))
        return tensor

    lazy(Tied(), counted)(torch.arange(11))
    gc.collect()
    assert most == 2 and len(living) == 0  # weight and bias of the norm at once


def test_reading_ends_with_a_forward_that_fails():
    made = lazy(Tied())
    with pytest.raises(IndexError):
        made(torch.tensor([11]))
    assert (made.norm.weight + 1).is_meta
