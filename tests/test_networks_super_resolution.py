"""The upscaling half around a network, and restoring in quarters."""

import pytest
import torch
from torch import nn

from rescale_bench.api.records import State
from rescale_bench.errors import MethodError, WeightsError
from rescale_bench.networks.residual import MeanShift
from rescale_bench.networks.super_resolution import SuperResolution, Upscaler, in_quarters, loader, serve_upscalers


class Blur(SuperResolution):
    """Sees 2 LR pixels around each, and what it was shown."""

    def __init__(self, scale, reach=2):
        super().__init__(scale)
        self.blur = nn.Conv2d(3, 3, 2 * reach + 1, padding=reach, groups=3, bias=False)
        self.shown = []

    def forward(self, lr):
        self.shown.append(tuple(lr.shape[-2:]))
        return nn.functional.interpolate(self.blur(lr), scale_factor=self.scale, mode="nearest")


@pytest.mark.parametrize("size", [(37, 50), (20, 21), (1, 30), (3, 2)])
def test_quarters_equal_the_whole_where_the_network_sees_less_than_the_overlap(size):
    network, lr = Blur(3).eval(), torch.rand(2, 3, *size)
    with torch.no_grad():
        assert torch.allclose(in_quarters(network)(lr), network(lr), atol=1e-6)
    # Half and 10 pixels more, or all there is.
    windows = {min(size[0], size[0] // 2 + 10)}, {min(size[1], size[1] // 2 + 10)}
    assert {height for height, _ in network.shown[:-1]} == windows[0]
    assert {width for _, width in network.shown[:-1]} == windows[1]


def test_large_quarters_are_cut_again():
    network, lr = Blur(2).eval(), torch.rand(1, 1, 790, 800).expand(1, 3, -1, -1)
    with torch.no_grad():
        assert torch.allclose(in_quarters(network)(lr), network(lr), atol=1e-6)
    # 405 × 410 pixels are more than 160,000.
    assert network.shown[:-1] == [(212, 215)] * 16


def test_the_range_is_that_of_the_mean_shift():
    class Shifted(SuperResolution):
        def __init__(self, span):
            super().__init__(1)
            self.sub_mean, self.add_mean = MeanShift(-1, span), MeanShift(+1, span)

        def forward(self, lr):
            self.seen = float(lr.max())
            return self.add_mean(self.sub_mean(lr).relu())

    lr = torch.rand(1, 3, 8, 9)
    small, large = Shifted(1), Shifted(255)
    assert (small.pixel_range, large.pixel_range) == (1, 255)
    assert torch.allclose(small.restore(lr), large.restore(lr), atol=1e-6)
    assert large.seen == pytest.approx(255 * small.seen)


def test_serving():
    state = State(Blur(2).state_dict())
    both = serve_upscalers("blur", {"x2": state, "x3": state}, loader("blur", Blur, "cpu"))
    assert both.upscale(torch.rand(1, 3, 4, 5), 3.0, (11, 15)).shape == (1, 3, 11, 15)
    with pytest.raises(MethodError, match=r"blur only enlarges; .* bicubic\+blur"):
        both.downscale(torch.rand(1, 3, 8, 8), 2.0)
    with pytest.raises(WeightsError, match=r"blur x2: the weights do not fit: 1 missing: blur\.weight"):
        serve_upscalers("blur", {"x2": State({})}, loader("blur", Blur, "cpu"))
    with pytest.raises(WeightsError, match="blur x2: these weights are for scale 4"):
        serve_upscalers("blur", {"x2": state}, lambda part, state: Blur(4))
    assert Upscaler("blur", Blur(2)).parameter_count == 3 * 25
