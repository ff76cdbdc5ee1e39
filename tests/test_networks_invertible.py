"""The Haar transform and small matrices over channels."""

import pytest
import torch

from rescale_bench.errors import WeightsError
from rescale_bench.networks.invertible import Haar, check_haar, inverted, mix


def test_haar_equals_the_stored_kernels():
    x, haar = torch.rand(2, 3, 6, 8), Haar(3)
    by_channel = torch.nn.functional.conv2d(x, haar.haar_weights / 4, stride=2, groups=3)
    expected = by_channel.reshape(2, 3, 4, 3, 4).transpose(1, 2).reshape(2, 12, 3, 4)
    torch.testing.assert_close(haar(x), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(haar.inverse(haar(x)), x, atol=1e-6, rtol=0)


def test_other_constants_are_refused():
    network = torch.nn.Sequential(Haar(3), Haar(12))
    check_haar(network, "fine")
    network[1].haar_weights.neg_()
    with pytest.raises(WeightsError, match=r"^there: 1\.haar_weights are not the Haar signs"):
        check_haar(network, "there")


def test_a_matrix_over_channels_inverts():
    matrix, x = torch.randn(5, 5) + 3 * torch.eye(5), torch.rand(2, 5, 3, 4)
    torch.testing.assert_close(mix(matrix, x)[1, :, 2, 0], matrix @ x[1, :, 2, 0])
    torch.testing.assert_close(mix(inverted(matrix), mix(matrix, x)), x, atol=1e-5, rtol=0)
