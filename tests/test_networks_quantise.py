"""The quantiser against numpy's 8-bit conversion."""

import numpy as np
import torch

from rescale_bench.networks.quantise import quantise


def test_values_are_those_of_an_8_bit_file():
    image = torch.linspace(-0.3, 1.3, 4001)
    pixels = np.rint(np.clip(image.numpy(), 0, 1) * np.float32(255)).astype(np.uint8)
    torch.testing.assert_close(quantise(image), torch.from_numpy(pixels).float() / 255, atol=0, rtol=0)


def test_quantising_twice_changes_nothing():
    once = quantise(torch.rand(1000))
    assert torch.equal(quantise(once), once)


def test_gradient_passes_straight_through():
    image = torch.tensor([-0.5, 0.2, 0.77, 1.5], requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (quantise(image) * weights).sum().backward()
    assert torch.equal(image.grad, weights)
