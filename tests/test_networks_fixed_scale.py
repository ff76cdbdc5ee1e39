"""Integer-scale networks on any size."""

import pytest
import torch
from torch.nn import functional

from rescale_bench.errors import MethodError, NotNativeError
from rescale_bench.networks.fixed_scale import FixedScaleRescaler, serve


class Box(FixedScaleRescaler):
    """Averages blocks and repeats pixels, and notes the sizes that it was given."""

    def __init__(self, scale, multiple=None, lr_multiple=1):
        super().__init__(scale, multiple, parameter_count=7)
        self.lr_multiple, self.seen = lr_multiple, []

    def downscale_padded(self, hr):
        self.seen.append(tuple(hr.shape[-2:]))
        return functional.avg_pool2d(hr, self.scale)

    def upscale_padded(self, lr):
        self.seen.append(tuple(lr.shape[-2:]))
        return functional.interpolate(lr, scale_factor=self.scale, mode="nearest")


@pytest.mark.parametrize(("size", "padded"), [((45, 62), (48, 64)), ((3, 17), (8, 24)), ((16, 8), (16, 8))])
def test_sizes(size, padded):
    box, hr = Box(2, multiple=8, lr_multiple=4), torch.rand(1, 3, *size)
    lr = box.downscale(hr, 2.0)
    assert lr.shape == (1, 3, -(-size[0] // 2), -(-size[1] // 2))
    assert lr.is_contiguous()
    restored = box.upscale(lr, 2.0, size)
    assert restored.shape == hr.shape
    assert box.seen == [padded, tuple(-(-side // 8) * 4 for side in size)]


def test_pixels_within_the_image_do_not_change():
    hr = torch.rand(1, 3, 7, 9)
    expected = functional.avg_pool2d(hr, 3)
    lr = Box(3).downscale(hr, 3)
    torch.testing.assert_close(lr[..., :2, :3], expected)
    # Row 7 and 8 are reflections of rows 5 and 4.
    torch.testing.assert_close(lr[..., 2:, :], functional.avg_pool2d(hr[..., [6, 5, 4], :], 3))


def test_other_scales_and_sizes_are_refused():
    box = Box(4)
    with pytest.raises(NotNativeError, match=r"serves scale 4, not 3\.7"):
        box.downscale(torch.rand(1, 3, 8, 8), 3.7)
    with pytest.raises(NotNativeError, match="not 2"):
        box.upscale(torch.rand(1, 3, 8, 8), 2, (16, 16))
    with pytest.raises(MethodError, match="8×8 cannot give 33×32; it must be 9×8"):
        box.upscale(torch.rand(1, 3, 8, 8), 4, (33, 32))


def test_results_carry_no_graph():
    hr = torch.rand(1, 3, 8, 8, requires_grad=True)
    assert not Box(2).downscale(hr, 2).requires_grad


def test_serving_several_scales():
    only = Box(2)
    assert serve({2: only}) is only
    both = serve({2: Box(2), 4: Box(4)})
    assert both.parameter_count == 14
    assert both.downscale(torch.rand(1, 3, 9, 9), 4.0).shape[-2:] == (3, 3)
    assert both.upscale(torch.rand(1, 3, 5, 5), 2, (9, 10)).shape[-2:] == (9, 10)
    with pytest.raises(NotNativeError, match="scale 2, 4, not 8"):
        both.downscale(torch.rand(1, 3, 8, 8), 8)


def test_halves_under_their_old_names_still_work_and_warn():
    with pytest.warns(DeprecationWarning, match="Old._") as warned:

        class Old(FixedScaleRescaler):
            _down = staticmethod(lambda hr: functional.avg_pool2d(hr, 2))

            def _up(self, lr):
                return functional.interpolate(lr, scale_factor=self.scale)

    assert [str(item.message) for item in warned] == [
        "Old._down is now called downscale_padded",
        "Old._up is now called upscale_padded",
    ]
    assert warned[0].filename == __file__
    hr = torch.rand(1, 3, 9, 9)
    assert torch.equal(Old(2).downscale(hr, 2), Box(2).downscale(hr, 2))
    assert torch.equal(Old(2).upscale(hr, 2, (17, 18)), Box(2).upscale(hr, 2, (17, 18)))
