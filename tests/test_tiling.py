"""Tiles equal the whole image, and the whole run stays the same whether it was tiled or not."""

import dataclasses
from decimal import Decimal

import pandas as pd
import pytest
import torch
import toys

from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import lr_side
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import MethodError, UsageError
from rescale_bench.images import levels
from rescale_bench.roundtrip import tiling
from rescale_bench.roundtrip.conformance import make_image
from rescale_bench.runner.execute import execute
from rescale_bench.runner.plan import plan
from rescale_bench.runner.request import Request
from rescale_bench.weights.choice import choose_weights, load_states

REGISTRY = load_registry()
CLOCKS = ["seconds", "peak_mb"]


def rescaler(spec):
    chosen = REGISTRY.choose_method(parse_spec(spec, "test"))
    return chosen.record, chosen.record.build({}, "cpu", chosen.options)


@pytest.mark.parametrize("scale", [1.1, 1.7, 2.0, 2.75, 3.0, 4.0])
@pytest.mark.parametrize("side", [37, 131, 331])
def test_cores_cover_a_side_once_and_windows_lie_on_whole_pixels_of_both(scale, side):
    covered = {"lr": [], "hr": []}
    for span in tiling.spans(side, scale, core=24, margin=5):
        assert span.lr_window.start * scale == pytest.approx(span.hr_window.start, abs=1e-9)
        for kind, pixels in covered.items():
            core, window = getattr(span, f"{kind}_core"), getattr(span, f"{kind}_window")
            assert window.start <= core.start <= core.stop <= window.stop
            pixels.extend(range(core.start, core.stop))
        for edge, end in ((span.lr_window.start, 0), (span.lr_window.stop, lr_side(side, scale))):
            core = span.lr_core.start if end == 0 else span.lr_core.stop
            assert abs(core - edge) >= 5 or edge == end
    assert covered["lr"] == list(range(lr_side(side, scale)))
    assert covered["hr"] == list(range(side))


@pytest.mark.parametrize(
    ("spec", "scales"),
    [
        ("bilinear", "1.5,2.7"),
        ("bicubic", "1.1,2,2.75,3,3.7"),
        ("lanczos3", "1.3,2.5"),
        ("bicubic:antialias=false", "3"),
    ],
)
def test_tiles_of_the_classics_equal_the_whole(spec, scales):
    method, whole = rescaler(spec)
    tiled = tiling.Tiled(whole, method.margin, 16)
    image = make_image((219, 173))[None] / 255
    for scale in map(float, scales.split(",")):
        low, low_tiled = whole.downscale(image, scale), tiled.downscale(image, scale)
        assert (low - low_tiled).abs().max() < 1e-12
        sent = levels.to_levels(low.clamp(0, 1), "round") / 255
        high, high_tiled = (half.upscale(sent, scale, (219, 173)) for half in (whole, tiled))
        assert (high - high_tiled).abs().max() < 1e-12
        assert torch.equal(*(levels.to_levels(item.clamp(0, 1), "round") for item in (high, high_tiled)))


CORE = 80
"""Above the margins of the networks below, so that windows begin inside the image."""


def learned(spec, scale):
    """Build a method with the weights it ships, and say its margin."""
    chosen = REGISTRY.choose_method(parse_spec(spec, "test"))
    files = choose_weights(chosen, Decimal(scale), REGISTRY).files
    states = load_states(files, REGISTRY, chosen.record.traits.derived)
    margin = tiling.margin_of(chosen.record, lambda: states, chosen.options)
    return chosen.record.build(states, "cpu", chosen.options), margin


def shift(half, margin, image, scale):
    """Return how far tiles are from the whole, down and up."""
    tiled, size = tiling.Tiled(half, margin, CORE), tuple(image.shape[-2:])
    low = half.downscale(image, scale)
    sent = (low.float().clamp(0, 1) * 255).round() / 255
    pairs = ((low, tiled.downscale(image, scale)), [way.upscale(sent, scale, size) for way in (half, tiled)])
    return [float((whole - parts).abs().max()) for whole, parts in pairs]


@pytest.mark.parametrize(
    ("spec", "scale", "size"),
    [
        ("irn:weights=base", 2, (201, 335)),
        ("irn:weights=base", 4, (61, 671)),
        ("bicubic+irn:weights=base", 2, (61, 335)),
        ("car-edsr:weights=base", 2, (61, 335)),
    ],
)
def test_tiles_of_shipped_networks_equal_the_whole(spec, scale, size):
    half, margin = learned(spec, scale)
    image = make_image(size)[None] / 255
    assert any(span.lr_window.start > 0 for span in tiling.spans(size[1], scale, CORE, margin))
    assert max(shift(half, margin, image, float(scale))) < 1e-6
    assert max(shift(half, 0, image, float(scale))) > 1e-4


def network():
    """Four 3×3 convolutions and a pixel shuffle: a network that sees 4 LR pixels far."""
    torch.manual_seed(3)
    layers = [torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3, padding=1),
              torch.nn.Tanh(), torch.nn.Conv2d(16, 16, 3, padding=1), torch.nn.Conv2d(16, 12, 3, padding=1),
              torch.nn.PixelShuffle(2)]  # fmt: skip
    return torch.nn.Sequential(*layers).eval()


class Net:
    def __init__(self):
        self.net = network()

    def downscale(self, hr, scale):
        return torch.nn.functional.avg_pool2d(hr, 2)

    def upscale(self, lr, scale, size):
        with torch.inference_mode():
            return self.net(lr)[..., : size[0], : size[1]]


def test_tiles_of_a_network_equal_the_whole_and_too_small_a_margin_does_not():
    net, lr = Net(), torch.rand(1, 3, 61, 83)
    whole = net.upscale(lr, 2.0, (122, 166))
    assert (tiling.Tiled(net, 4, 16).upscale(lr, 2.0, (122, 166)) - whole).abs().max() < 1e-6
    assert (tiling.Tiled(net, 0, 16).upscale(lr, 2.0, (122, 166)) - whole).abs().max() > 1e-3


def test_a_tile_of_the_wrong_size_is_an_error():
    class Wrong(Net):
        def upscale(self, lr, scale, size):
            return lr

    with pytest.raises(MethodError, match="a tile came back as"):
        tiling.Tiled(Wrong(), 4, 16).upscale(torch.rand(1, 3, 40, 40), 2.0, (80, 80))


def test_memory_is_counted_by_operations_and_decides_the_side():
    per_pixel = tiling.bytes_per_pixel(Net(), 2.0)
    # At the widest: input and output of a layer, 16 + 16 channels of float32 for each LR pixel, of which HR has 4.
    assert 32 <= per_pixel <= 100
    need = tiling.SAFETY * per_pixel * 2000 * 3000
    assert tiling.fitting_core(per_pixel, (2000, 3000), 2.0, 4, need) == 0
    assert tiling.fitting_core(per_pixel, (2000, 3000), 2.0, 4, None) == 0
    sides = [tiling.fitting_core(per_pixel, (2000, 3000), 2.0, 4, need / part) for part in (1.5, 10, 100, 10**6)]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] > sides[2] >= sides[3] == tiling.CORES[-1]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return toys.picture_folder(tmp_path_factory.mktemp("set") / "toys", count=1, size=(150, 170))


def table(images, folder, **changes):
    asked = Request(methods="bicubic", datasets=str(images), scales="1.3,2", metrics="psnr_y,ssim_y,bpp_png,psnr_lr",
                    output=folder, threads=1)  # fmt: skip
    execute(dataclasses.replace(asked, **changes), REGISTRY, ["test"])
    return pd.read_parquet(folder / "results.parquet").drop(columns=CLOCKS)


def test_runs_with_and_without_tiles_store_the_same_numbers(images, tmp_path, monkeypatch):
    whole = table(images, tmp_path / "whole")
    assert set(whole["tiled"]) == {0}
    monkeypatch.setattr("rescale_bench.runner.builds.free_bytes", lambda *_: 1)
    short = table(images, tmp_path / "auto", tile="auto")
    assert set(short["tiled"]) == {64}
    pd.testing.assert_frame_equal(whole.drop(columns="tiled"), short.drop(columns="tiled"), check_exact=True)
    given = table(images, tmp_path / "given", tile="32")
    assert set(given["tile"]) == {"32"}
    assert not set(given["cell"]) & set(whole["cell"])
    assert given["value"].tolist() == whole["value"].tolist()


def test_what_cannot_be_tiled_says_why(images):
    asked = Request(methods="nearest,bicubic", datasets=str(images), scales="2", metrics="psnr_y", tile="auto")
    assert any("nearest declares no margin" in note for note in plan(asked, REGISTRY).notes)
    with pytest.raises(UsageError, match=r"64: nearest declares no margin.*use auto or off"):
        plan(dataclasses.replace(asked, tile="64"), REGISTRY)
    with pytest.raises(UsageError, match="32: irn draws random numbers"):
        plan(dataclasses.replace(asked, tile="32", methods="irn:weights=random"), REGISTRY)
    with pytest.raises(UsageError, match="32: irn draws random numbers"):
        plan(dataclasses.replace(asked, tile="32", methods="irn:z=gaussian,weights=base"), REGISTRY)
    with pytest.raises(UsageError, match="32: irn-type3 declares no margin"):
        plan(dataclasses.replace(asked, tile="32", methods="irn-type3:weights=base"), REGISTRY)
    for tile in ("", "0", "-8", "big"):
        with pytest.raises(UsageError, match="none of off, auto"):
            Request(tile=tile)


def test_irn_without_a_drawn_latent_runs_in_tiles_and_with_one_on_the_whole(images, tmp_path, monkeypatch):
    monkeypatch.setattr("rescale_bench.runner.builds.free_bytes", lambda *_: 1)
    asked = Request(methods="irn:weights=base,irn:z=gaussian,weights=base", datasets=str(images), scales="2",
                    metrics="psnr_y", tile="auto", output=tmp_path / "run", threads=1)  # fmt: skip
    assert [note for note in plan(asked, REGISTRY).notes if "draws" in note]
    execute(asked, REGISTRY, ["test"])
    tiled = pd.read_parquet(tmp_path / "run" / "results.parquet").set_index("options")["tiled"]
    assert dict(tiled) == {"": 64, "z=gaussian": 0}


def test_bf16_is_a_cell_of_its_own_with_its_own_number(images, tmp_path):
    from rescale_bench.tables.rows import prepare

    text = toys.HEADER + (
        "class Net:\n"
        "    def __init__(self):\n"
        "        self.conv = torch.nn.Conv2d(3, 12, 3, padding=1, bias=False)\n"
        "        w = torch.zeros(12, 3, 3, 3); w[torch.arange(12), torch.arange(12) // 4, 1, 1] = 0.97\n"
        "        self.conv.weight.data = w\n"
        "    def downscale(self, hr, scale): return F.avg_pool2d(hr, 2)\n"
        "    def upscale(self, lr, scale, size):\n"
        "        with torch.inference_mode(): return F.pixel_shuffle(self.conv(lr), 2)\n"
        "@hookimpl\n"
        "def rescale_bench_methods():\n"
        "    yield Method(name='conv', summary='toy', citation='none', scales=NativeScales.of(2),\n"
        "                 build=lambda states, device, options: Net(), margin=2)\n"
    )
    plugins = (toys.plugin_file(tmp_path, text),)
    asked = Request(methods="conv,bicubic", datasets=str(images), scales="2", metrics="psnr_y", plugins=plugins,
                    output=tmp_path / "run", threads=1)  # fmt: skip
    registry = load_registry(plugins)
    for dtype in ("float32", "bf16"):
        execute(dataclasses.replace(asked, dtype=dtype), registry, ["test"])
    rows = prepare(pd.read_parquet(tmp_path / "run" / "results.parquet")).set_index("label")["value"]
    assert set(rows.index) == {"conv", "conv {bf16}", "bicubic", "bicubic {bf16}"}
    assert rows["bicubic"] == rows["bicubic {bf16}"]  # resampling keeps its float64
    assert 1e-4 < abs(rows["conv"] - rows["conv {bf16}"]) < 1
    with pytest.raises(UsageError, match="'float16' is none of float32, bf16") as raised:
        Request(dtype="float16")
    assert raised.value.about == "dtype"
