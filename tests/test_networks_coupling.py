"""Coupling blocks against IRN's equations 1 to 3."""

import pytest
import torch

from rescale_bench.networks.coupling import CouplingBlock


@pytest.fixture
def block():
    torch.manual_seed(0)
    return CouplingBlock(12, 3, growth=8).eval()


def test_equations(block):
    x1, x2 = torch.randn(1, 3, 6, 7), torch.randn(1, 9, 6, 7)
    with torch.no_grad():
        y1, y2, s = block(x1, x2)
        expected1 = x1 + block.F(x2)
        expected_s = 2 * torch.sigmoid(block.H(expected1)) - 1
        torch.testing.assert_close(block.first(x1, x2), y1, atol=0, rtol=0)
        torch.testing.assert_close(y1, expected1)
        torch.testing.assert_close(s, expected_s, atol=1e-6, rtol=0)
        torch.testing.assert_close(y2, x2 * torch.exp(expected_s) + block.G(expected1))


@pytest.mark.parametrize("bounded", [True, False])
def test_inverse(block, bounded):
    block.bounded = bounded
    x1, x2 = torch.randn(1, 3, 6, 7), torch.randn(1, 9, 6, 7)
    with torch.no_grad():
        y1, y2, _ = block(x1, x2)
        back1, back2 = block.inverse(y1, y2)
    assert (y2 - x2).abs().max() > 0.01
    torch.testing.assert_close(back1, x1, atol=1e-6, rtol=0)
    torch.testing.assert_close(back2, x2, atol=1e-5, rtol=0)


def test_bound(block):
    y1 = 1000 * torch.randn(1, 3, 6, 7)
    with torch.no_grad():
        assert block.log_scale(y1).abs().max() <= 1
        block.bounded = False
        assert block.log_scale(y1).abs().max() > 1


def test_initial_block_is_the_identity(block):
    block.initialise(torch.Generator().manual_seed(0))
    x1, x2 = torch.randn(1, 3, 6, 7), torch.randn(1, 9, 6, 7)
    with torch.no_grad():
        y1, y2, s = block(x1, x2)
    assert torch.equal(y1, x1)
    assert torch.equal(y2, x2)
    assert s.abs().max() == 0
