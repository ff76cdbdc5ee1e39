"""Streams of rows against the same layers on whole maps."""

import pytest
import torch
from torch import nn

from rescale_bench.networks import lines
from rescale_bench.networks.lines import Lines, Skip, convolution, stream
from rescale_bench.networks.residual import ResidualBlock, channels_last, conv3


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def net(width=8, blocks=5):
    torch.manual_seed(0)
    layers = [
        conv3(3, width),
        *(ResidualBlock(width, 0.5) for _ in range(blocks)),
        conv3(width, width),
        conv3(width, 3),
    ]
    return channels_last(nn.Sequential(*layers).double().eval())


def streamed(module, image):
    head, *blocks, closing, tail = module
    layers = [convolution(head), *(block.streamed() for block in blocks), convolution(closing)]
    return list(stream(image, 8, [*layers, Skip(convolution(head), image), convolution(tail)]))


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 16, 40, 41, 100])
@pytest.mark.parametrize("height", [1, 2, 41])
def test_slabs_of_any_height_equal_the_whole(monkeypatch, rows, height):
    monkeypatch.setattr(lines, "slab_rows", lambda *_: rows)
    module = net()
    image = torch.randn(1, 3, height, 9, dtype=torch.float64)
    head, *body, tail = module
    features = head(image)
    expected = tail(nn.Sequential(*body)(features) + features)
    parts = streamed(module, image)
    torch.testing.assert_close(torch.cat(parts, 2), expected, atol=1e-12, rtol=0)
    # What the layers held back comes out in slabs too, not at once.
    assert max(part.shape[2] for part in parts) <= 2 * rows + 1


def test_only_a_few_rows_are_held(monkeypatch):
    monkeypatch.setattr(lines, "slab_rows", lambda *_: 4)
    held = []
    original = Lines.forget

    def forget(self):
        original(self)
        held.append(0 if self.map is None else self.map.untyped_storage().nbytes() // (8 * self.map[0, :, 0].numel()))

    monkeypatch.setattr(Lines, "forget", forget)
    streamed(net(), torch.randn(1, 3, 80, 9, dtype=torch.float64))
    assert len(held) > 80
    assert max(held) <= 3


def test_rows_that_are_gone_or_have_not_come_are_refused():
    held = Lines(2)
    for value in (0.0, 1.0):
        held.push(torch.full((1, 2, 4, 5), value), False)
    assert (held.top, held.bottom, held.ready) == (2, 8, 7)
    assert held.rows(3, 5)[0, 0, :, 0].tolist() == [0, 1]
    for start, stop in ((1, 3), (7, 9)):
        with pytest.raises(IndexError, match="holds 2 to 8"):
            held.rows(start, stop)


def test_slabs_shrink_with_width_down_to_a_least(monkeypatch):
    cpu = torch.device("cpu")
    assert lines.slab_rows(256, 64, cpu) == lines.SLAB_BYTES // (4 * 64 * 256)
    assert lines.slab_rows(10**6, 64, cpu) == lines.LEAST_ROWS
    assert lines.slab_rows(256, 64, torch.device("cuda")) == lines.DEVICE_FACTOR * lines.slab_rows(256, 64, cpu)
