"""Graphs as halves: files of ONNX and TorchScript against the modules that they were exported from."""

import warnings
from decimal import Decimal

import pandas as pd
import pytest
import torch
import toys
from PIL import Image
from rescale_bench_plugins.graph.rescaler import tiles
from torch import nn
from torch.nn import functional as F

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.cli.main import main
from rescale_bench.errors import MethodError, UsageError, WeightsError
from rescale_bench.networks.luma import LumaRescaler
from rescale_bench.weights.choice import choose_weights, load_states

SIZE = (45, 62)


class Down(nn.Module):
    """Average pairs of pixels."""

    def forward(self, x):
        return F.avg_pool2d(x, 2)


class Up(nn.Module):
    """Double every pixel, then a convolution that tells channels and neighbours apart."""

    def __init__(self, channels=3, scale=2, span=1, backwards=False):
        super().__init__()
        weight = torch.linspace(0.01, 0.06, channels * channels * 9).reshape(channels, channels, 3, 3)
        self.register_buffer("weight", weight / channels)
        self.scale, self.span, self.backwards = scale, span, backwards

    def forward(self, x):
        x = x.flip(1) if self.backwards else x
        x = F.interpolate(x / self.span, scale_factor=float(self.scale), mode="nearest")
        x = F.conv2d(x, self.weight, padding=1) * self.span
        return x.flip(1) if self.backwards else x


class Whole(nn.Module):
    """Restore as the paper writes it (EDSR, fig. 3), without the strips that save memory."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        network = self.network
        features = network.head(network.sub_mean(x))
        return network.add_mean(network.tail(network.body(features) + features))


def export(module, path, channels=3, size=(16, 16), dynamic=True):
    example = torch.rand(1, channels, *size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters are called old by torch, and are what files come from
        if path.suffix == ".onnx":
            axes = {"x": {2: "h", 3: "w"}, "y": {2: "H", 3: "W"}} if dynamic else None
            torch.onnx.export(
                module.eval(), (example,), path, input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False
            )
        else:
            torch.jit.trace(module.eval(), example).save(str(path))
    return path


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture
def up(tmp_path):
    return export(Up(), tmp_path / "u.onnx")


def build(registry, text):
    chosen = registry.choose_method(parse_spec(text))
    return chosen.record.build({}, "cpu", chosen.options)


def picture(height, width):
    return torch.from_numpy(toys.picture(height, width)).permute(2, 0, 1)[None].float() / 255


def pad(image):
    return F.pad(image, (0, image.shape[-1] % 2, 0, image.shape[-2] % 2), mode="reflect")


@pytest.mark.parametrize("ending", ["onnx", "pt"])
def test_a_graph_is_the_module_that_it_was_exported_from(registry, tmp_path, ending):
    down, up = export(Down(), tmp_path / f"d.{ending}"), export(Up(), tmp_path / f"u.{ending}")
    graph = build(registry, f"graph:down={down},up={up},scale=2")
    hr = picture(*SIZE)
    lr = graph.downscale(hr, 2)
    assert torch.allclose(lr, Down()(pad(hr)), atol=1e-6)
    assert torch.allclose(graph.upscale(lr, 2, SIZE), Up()(lr)[..., : SIZE[0], : SIZE[1]], atol=1e-6)


def test_edsr_and_its_graphs_give_equal_rows(registry, tmp_path):
    chosen = registry.choose_method(parse_spec("bicubic+edsr-baseline"))
    files = choose_weights(chosen, Decimal(2), registry).files
    network = chosen.record.build(load_states(files, registry, True), "cpu", chosen.options).up.network
    graphs = [export(Whole(network), tmp_path / name) for name in ("e.onnx", "e.pt")]
    (tmp_path / "set").mkdir()
    Image.fromarray(toys.picture(40, 52)).save(tmp_path / "set" / "one.png")
    methods = ",".join(["bicubic+edsr-baseline", *(f"bicubic+graph:up={path},scale=2" for path in graphs)])
    assert main(["run", "-m", methods, "-d", str(tmp_path / "set"), "-s", "2", "-q", "-o", str(tmp_path / "run"),
                 "--metrics", "psnr_y,ssim_y,psnr_rgb,psnr_lr,bpp"]) == 0  # fmt: skip
    rows = pd.read_parquet(tmp_path / "run" / "results.parquet")
    table = rows.pivot_table(index="metric", columns=["method", "options"], values="value")
    assert [options for _, options in table.columns] == ["", "up=e.onnx", "up=e.pt"]
    assert len(table) >= 4
    for column in table.columns[1:]:
        assert table[column].equals(table[table.columns[0]])


@pytest.mark.parametrize("size", [SIZE, (9, 70), (12, 14)])
def test_graphs_of_a_fixed_size_run_on_tiles(registry, tmp_path, size):
    down = export(Down(), tmp_path / "d.onnx", size=(32, 40), dynamic=False)
    up = export(Up(), tmp_path / "u.onnx", size=(16, 20), dynamic=False)
    fixed = build(registry, f"graph:down={down},up={up},overlap=2")
    hr = picture(*size)
    lr = fixed.downscale(hr, 2)
    assert torch.allclose(lr, Down()(pad(hr)), atol=1e-6)
    whole = Up()(lr)[..., : size[0], : size[1]]
    inside = (..., slice(0, size[0] - 2), slice(0, size[1] - 2))  # a small image is continued where Up sees zeros
    assert torch.allclose(fixed.upscale(lr, 2, size)[inside], whole[inside], atol=1e-6)


@pytest.mark.parametrize(("side", "window", "overlap", "step"), [(100, 16, 4, 1), (17, 16, 4, 1), (16, 16, 4, 1),
                                                                 (5, 16, 0, 1), (102, 24, 6, 3)])  # fmt: skip
def test_tiles_cover_a_side_once_and_keep_off_their_ends(side, window, overlap, step):
    covered = []
    for begin, first, last in tiles(side, window, overlap, step):
        assert begin % step == 0
        assert first >= overlap or begin == 0
        assert last <= window - overlap or begin + last == side
        covered += range(begin + first, begin + last)
    assert covered == list(range(side))


def test_tiles_smaller_than_what_they_share_are_refused(registry, tmp_path):
    up = export(Up(), tmp_path / "u.onnx", size=(16, 16), dynamic=False)
    with pytest.raises(MethodError, match="tiles of 16 pixels are too small for overlap=16"):
        build(registry, f"bicubic+graph:up={up}").upscale(picture(40, 40), 2, (80, 80))


def test_other_channel_orders_and_ranges(registry, up, tmp_path):
    lr = picture(20, 24)
    wanted = build(registry, f"bicubic+graph:up={up}").upscale(lr, 2, (40, 48))
    other = export(Up(span=255, backwards=True), tmp_path / "other.onnx")
    given = build(registry, f"bicubic+graph:up={other},channels=bgr,range=255").upscale(lr, 2, (40, 48))
    assert torch.allclose(given, wanted, atol=1e-5)
    assert not torch.allclose(build(registry, f"bicubic+graph:up={other},range=255").upscale(lr, 2, (40, 48)), wanted)


def test_a_graph_of_luma_gets_y_alone(registry, tmp_path):
    grey = export(Up(channels=1), tmp_path / "y.onnx", channels=1)

    class Inner:
        parameter_count = None

        def upscale(self, lr, scale, size):
            return Up(channels=1)(lr)

    lr = picture(20, 24)
    given = build(registry, f"bicubic+graph:up={grey},channels=y").upscale(lr, 2, (40, 48))
    assert torch.allclose(given, LumaRescaler(Inner()).upscale(lr, 2, (40, 48)), atol=1e-6)


def test_sides_are_padded_to_multiples(registry, tmp_path):
    class Strict(Up):
        def forward(self, x):
            return super().forward(F.pixel_unshuffle(F.pixel_shuffle(F.pixel_unshuffle(x, 4), 4), 1))

    strict = export(Strict(), tmp_path / "strict.pt")
    image = build(registry, f"bicubic+graph:up={strict},multiple=4").upscale(picture(9, 11), 2, (18, 22))
    assert image.shape == (1, 3, 18, 22)


@pytest.mark.parametrize(
    ("module", "options", "says"),
    [
        (Up(scale=4), "scale=2", r"up turned 3×20×24 into 3×80×96, not ×2: say scale=4"),
        (Up(), "scale=3", r"not ×3: say scale=2"),
        (Up(channels=1), "channels=rgb", "(?i)channel|dimension|invalid"),
    ],
)
def test_a_graph_of_another_scale_or_kind_is_one_line(tmp_path, module, options, says):
    path = export(module, tmp_path / "u.onnx", channels=module.weight.shape[0])
    (tmp_path / "set").mkdir()
    scale = 3 if "scale=3" in options else 2
    Image.fromarray(toys.picture(20 * scale, 24 * scale)).save(tmp_path / "set" / "one.png")
    assert main(["run", "-m", f"bicubic,bicubic+graph:up={path},{options}", "-d", str(tmp_path / "set"), "-s",
                 str(scale), "-q", "-o", str(tmp_path / "run"), "--metrics", "psnr_y"]) == 1  # fmt: skip
    rows = pd.read_parquet(tmp_path / "run" / "results.parquet").set_index("method")
    assert rows["status"].to_dict() == {"bicubic": "ok", "bicubic+graph": "failed"}
    assert pd.Series([rows.loc["bicubic+graph", "error"]]).str.contains(says).all()
    assert "\n" not in rows.loc["bicubic+graph", "error"]


@pytest.mark.parametrize(("name", "says"), [("u.onnx", "no graph that ONNX Runtime loads"),
                                            ("u.pt", r"no TorchScript file .*zoo:file=")])  # fmt: skip
def test_a_file_of_another_kind_is_one_line(registry, tmp_path, name, says):
    (tmp_path / name).write_bytes(b"something else" * 50)
    with pytest.raises(WeightsError, match=says) as refused:
        build(registry, f"bicubic+graph:up={tmp_path / name}")
    assert "\n" not in str(refused.value)


def test_what_is_asked_for_must_be_there(registry, up, tmp_path):
    with pytest.raises(UsageError, match="graph needs a file"):
        registry.choose_method(parse_spec("graph"))
    with pytest.raises(UsageError, match=r"down=gone.onnx: there is no such file"):
        registry.choose_method(parse_spec(f"graph:down=gone.onnx,up={up}"))
    with pytest.raises(UsageError, match=r"graph has no downscaler; pair it, for example bicubic\+graph"):
        registry.choose_method(parse_spec(f"graph:up={up}"))
    with pytest.raises(UsageError, match="graph has no downscaler"):
        registry.choose_method(parse_spec(f"graph+bicubic:up={up}"))


def test_a_graph_is_known_by_its_content(registry, up, tmp_path):
    def chosen(path):
        return registry.choose_method(parse_spec(f'bicubic+graph:up="{path}"'))

    first = chosen(up)
    (tmp_path / "a,b").mkdir()
    same = tmp_path / "a,b" / up.name
    same.write_bytes(up.read_bytes())
    assert (chosen(same).label, chosen(same).record.version) == (first.label, first.record.version)
    assert first.label == "bicubic+graph:up=u.onnx"
    assert str(first.record.scales) == "{2}"
    export(Up(span=3), up)
    assert chosen(up).record.version != first.record.version


def test_a_graph_keeps_the_contract(tmp_path, capsys):
    down, up = export(Down(), tmp_path / "d.onnx"), export(Up(), tmp_path / "u.onnx")
    assert main(["verify", f"graph:down={down},up={up}", "--quick", "-s", "2"]) == 0
    assert "files restored bit-identically" in capsys.readouterr().out
