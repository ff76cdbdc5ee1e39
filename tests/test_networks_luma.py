"""Rescalers of Y as rescalers of colour images."""

import pytest
import torch

from rescale_bench import LumaRescaler, load_registry
from rescale_bench.api.specs import parse_spec

HR = torch.rand(2, 3, 31, 42, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def bicubic():
    chosen = load_registry().choose_method(parse_spec("bicubic", "-m"))
    return chosen.record.build({}, "cpu", chosen.options)


class Darker:
    """Halves Y, and notes what it was given."""

    parameter_count = 7

    def __init__(self, inner):
        self.inner, self.seen = inner, []

    def downscale(self, hr, scale):
        self.seen.append(hr)
        return self.inner.downscale(hr, scale) / 2

    def upscale(self, lr, scale, size):
        self.seen.append(lr)
        return self.inner.upscale(lr, scale, size) / 2


@pytest.mark.parametrize("scale", [2.0, 2.5])
def test_bicubic_of_y_and_chroma_is_bicubic(bicubic, scale):
    wrapped = LumaRescaler(bicubic)
    lr = bicubic.downscale(HR, scale)
    assert (wrapped.downscale(HR, scale) - lr).abs().max() < 1e-6
    lr = lr.clamp(0, 1).float()
    assert (wrapped.upscale(lr, scale, (31, 42)) - bicubic.upscale(lr, scale, (31, 42))).abs().max() < 1e-6


def test_the_inner_rescaler_gets_y_and_only_y_changes(bicubic):
    inner = Darker(bicubic)
    wrapped = LumaRescaler(inner)
    found, plain = wrapped.downscale(HR[:1], 2.0), bicubic.downscale(HR[:1], 2.0)
    (y,) = inner.seen
    expected = (torch.tensor([65.481, 128.553, 24.966])[:, None, None] * HR[0]).sum(0) / 255 + 16 / 255
    assert torch.allclose(y[0, 0], expected, atol=1e-6)
    change = (plain - found)[0]
    # A change of Y alone moves R, G and B by the same amount, 255/219 of it.
    small = (torch.tensor([65.481, 128.553, 24.966])[:, None, None] * plain[0]).sum(0) / 255 + 16 / 255
    assert torch.allclose(change, (small / 2 * 255 / 219).expand(3, -1, -1), atol=1e-6)
    assert wrapped.parameter_count == 7


def test_a_grey_image_is_its_own_y_alone_and_in_a_batch(bicubic):
    inner = Darker(bicubic)
    grey = HR[:1, :1].expand(-1, 3, -1, -1)
    alone = LumaRescaler(inner).downscale(grey, 2.0)
    assert torch.equal(inner.seen[0], grey[:, :1])
    assert torch.equal(alone, bicubic.downscale(grey, 2.0) / 2)
    both = LumaRescaler(inner).downscale(torch.cat([HR[:1], grey]), 2.0)
    assert torch.equal(both[1:], alone)
