"""Dense blocks: the CPU's rearrangement against the formula written out."""

import pytest
import torch
from torch.nn import functional

from rescale_bench.networks.dense import DenseBlock


def formula(block, x):
    weights = dict(block.named_parameters())
    features = x
    for layer in range(1, 5):
        new = functional.conv2d(features, weights[f"conv{layer}.weight"], weights[f"conv{layer}.bias"], padding=1)
        features = torch.cat((features, functional.leaky_relu(new, 0.2)), 1)
    return functional.conv2d(features, weights["conv5.weight"], weights["conv5.bias"], padding=1)


@pytest.mark.parametrize(("inputs", "outputs", "growth"), [(9, 3, 32), (3, 45, 32), (1, 2, 7), (2, 1, 32), (64, 64, 5)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_inference_equals_the_formula(inputs, outputs, growth, layout):
    block = DenseBlock(inputs, outputs, growth).eval()
    x = torch.randn(2, inputs, 9, 14).contiguous(memory_format=layout)
    with torch.inference_mode():
        expected = formula(block, x)
        found = block(x)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 2e-6 * max(1, expected.abs().max())


def test_training_equals_the_formula_and_reaches_every_weight():
    block = DenseBlock(4, 5, 6)
    x = torch.randn(1, 4, 6, 7, requires_grad=True)
    torch.testing.assert_close(block(x), formula(block, x))
    block(x).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad.abs().max() > 0 for parameter in block.parameters())


def test_gradients_flow_in_eval_mode_too():
    block = DenseBlock(4, 5, 6).eval()
    block(torch.randn(1, 4, 6, 7)).sum().backward()
    assert block.conv1.weight.grad.abs().max() > 0


def test_weights_are_repacked_after_a_change():
    block, x = DenseBlock(3, 4, 8).eval(), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        before = block(x)
        assert block._pack() is block._pack()
        block.conv3.weight.mul_(2)
        torch.testing.assert_close(block(x), formula(block, x))
        block.load_state_dict({key: 0.5 * tensor for key, tensor in block.state_dict().items()}, assign=True)
        torch.testing.assert_close(block(x), formula(block, x))
        assert not torch.allclose(block(x), before)


def test_initial_weights():
    block = DenseBlock(45, 3)
    block.initialise(torch.Generator().manual_seed(0))
    assert [convolution.bias.abs().max().item() for convolution in block.convolutions()] == [0] * 5
    assert block.conv5.weight.abs().max() == 0
    expected = 0.1 * (2 / (9 * (45 + 32))) ** 0.5  # Glorot and Bengio: σ² = 2 / (fan_in + fan_out)
    assert block.conv1.weight.std().item() == pytest.approx(expected, rel=0.03)


def test_macs_are_those_of_the_formula_whatever_the_machine_adds():
    from rescale_bench.machine.profiling import count_macs

    block = DenseBlock(3, 9, growth=8)
    x = torch.rand(1, 3, 20, 30)
    formula = 20 * 30 * 9 * (8 * (3 + 11 + 19 + 27) + 9 * 35)
    with torch.no_grad():
        assert count_macs(lambda: block(x)) == formula
        assert block._packed is None
    assert count_macs(lambda: block(x)) == formula
