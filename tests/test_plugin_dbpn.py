"""D-DBPN against arrays recorded from the published implementation, and Pillow's bicubic."""

import numpy as np
import pytest
import torch
from PIL import Image
from published_files import build, load_case, upscale, write_and_import
from rescale_bench_plugins import dbpn
from rescale_bench_plugins.dbpn import network
from rescale_bench_plugins.dbpn.network import Dbpn, pillow_bicubic

METHODS = {method.name: method for method in dbpn.rescale_bench_methods()}
ROUNDS = {"dbpn": (7, 1), "dbpnll": (10, 1), "dbpn-res-mr64-3": (7, 3)}
CASES = [
    pytest.param(name, scale, marks=[] if scale == 2 else pytest.mark.slow) for name in METHODS for scale in (2, 4, 8)
]


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_equals_the_published_implementation(parity_root, tmp_path, name, scale):
    case, tensors, arrays = load_case(parity_root, f"{name.replace('-', '_')}_x{scale}")
    published = {f"module.{key}": tensor for key, tensor in tensors.items()}
    write_and_import(tmp_path, name, f"x{scale}", published, f"{name}_x{scale}.pth")
    rescaler = build(f"bicubic+{name}", scale)
    found = upscale(rescaler, arrays["lr"], scale)
    if name == "dbpn-res-mr64-3":  # recorded before the enlarged LR is added
        found = found - by_pillow(arrays["lr"], scale) / 255
    assert (found - torch.from_numpy(arrays["out"])).abs().max() <= 2e-5
    assert rescaler.parameter_count == METHODS[name].parameters[f"x{scale}"] == case["parameters"]


def by_pillow(lr, scale):
    size = lr.shape[2] * scale, lr.shape[1] * scale
    image = Image.fromarray(lr.transpose(1, 2, 0)).resize(size, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.mark.parametrize("size", [(24, 20), (1, 3), (5, 7)])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_pillows_bicubic_is_pillows(scale, size):
    lr = np.random.default_rng(scale).integers(0, 256, (3, *size), dtype=np.uint8)
    found = pillow_bicubic(torch.from_numpy(lr)[None].float() / 255, scale)[0] * 255
    assert torch.equal(found.round().to(torch.uint8), by_pillow(lr, scale))


@pytest.mark.parametrize("name", METHODS)
def test_a_pixel_sees_no_further_than_the_margin(monkeypatch, name):
    for width in ("FEATURES", "WIDTH"):
        monkeypatch.setattr(network, width, 1)
    net = Dbpn(2, *ROUNDS[name]).double()
    for parameter in net.parameters():
        parameter.data.abs_()  # so that nothing cancels out
    lr = torch.rand(1, 3, 1, 400, dtype=torch.float64, requires_grad=True)
    reached = []
    for phase in (0, 1):
        lr.grad = None
        net(lr)[..., 0, 400 + phase].sum().backward()
        seen = lr.grad.abs().sum((0, 1, 2)).nonzero()
        reached += [200 - int(seen.min()), int(seen.max()) - 200]
    assert max(reached) == METHODS[name].margin


def test_weights_of_the_gan_have_tags_of_their_own():
    tags = [file.tag for file in METHODS["dbpnll"].weights if file.part == "x4"]
    assert tags == ["published", "pirm2018-region1", "pirm2018-region2", "pirm2018-region3"]
