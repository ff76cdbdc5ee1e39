"""Strict loading: what fits, and what is said where something does not."""

import pytest
import torch
from torch import nn

from rescale_bench.errors import WeightsError
from rescale_bench.networks.dense import DenseBlock
from rescale_bench.networks.loading import fresh_tensors, load_strict, parameter_count


@pytest.fixture
def state():
    return {key: tensor.clone() for key, tensor in nn.Conv2d(3, 4, 3).state_dict().items()}


def test_loads_copies_into_a_module_without_storage(state):
    with torch.device("meta"):
        module = nn.Conv2d(3, 4, 3)
    assert load_strict(module, state, "case") is module
    assert not module.training
    assert module.weight.requires_grad
    assert torch.equal(module.weight, state["weight"])
    state["weight"].zero_()
    assert module.weight.abs().max() > 0


def test_takes_the_dtype_of_the_module(state):
    module = load_strict(nn.Conv2d(3, 4, 3), {key: tensor.half() for key, tensor in state.items()}, "case")
    assert module.weight.dtype == torch.float32
    assert torch.equal(module.weight, state["weight"].half().float())


def test_differences_are_listed(state):
    wrong = {"weight": torch.zeros(4, 3, 1, 1), **{f"extra{index}": torch.zeros(1) for index in range(5)}}
    with pytest.raises(WeightsError) as caught:
        load_strict(nn.Conv2d(3, 4, 3), wrong, "irn x2")
    assert str(caught.value) == (
        "irn x2: the weights do not fit: 1 missing: bias; 5 unexpected: extra0, extra1, extra2, … (2 more); "
        "1 of another shape: weight (4, 3, 1, 1), wanted (4, 3, 3, 3)"
    )


def test_values_must_be_finite(state):
    state["bias"][1] = float("inf")
    with pytest.raises(WeightsError, match="case: values that are not finite in bias"):
        load_strict(nn.Conv2d(3, 4, 3), state, "case")


def test_fresh_tensors_depend_on_the_seed_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (fresh_tensors(lambda: DenseBlock(3, 4, 5), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_parameter_count():
    assert parameter_count(nn.Conv2d(3, 4, 3)) == 3 * 4 * 9 + 4
