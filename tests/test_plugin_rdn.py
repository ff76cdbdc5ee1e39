"""RDN against arrays recorded from the port whose weights are published."""

import pytest
import torch
from published_files import build, load_case, upscale, write_and_import
from rescale_bench_plugins import rdn
from rescale_bench_plugins.rdn import network

(METHOD,) = rdn.rescale_bench_methods()
SCALES = [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]


@pytest.mark.parametrize("scale", SCALES)
def test_equals_the_port(parity_root, tmp_path, scale):
    case, tensors, arrays = load_case(parity_root, f"rdn_x{scale}")
    write_and_import(tmp_path, "rdn", f"x{scale}", tensors, f"rdn_x{scale}.pth", tag="port")
    rescaler = build("bicubic+rdn", scale, tag="port")
    found = upscale(rescaler, arrays["lr"], scale)
    assert (found - torch.from_numpy(arrays["out"])).abs().max() <= 2e-5
    assert rescaler.parameter_count == METHOD.parameters[f"x{scale}"] == case["parameters"]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_pixel_sees_no_further_than_the_margin(monkeypatch, scale):
    for name in ("WIDTH", "GROWTH"):
        monkeypatch.setattr(network, name, 1)
    net = network.Rdn(scale).double()
    for parameter in net.parameters():
        parameter.data.abs_()  # so that nothing cancels out
    lr = torch.rand(1, 3, 1, 400, dtype=torch.float64, requires_grad=True)
    net(lr)[..., 0, 200 * scale].sum().backward()
    seen = lr.grad.abs().sum((0, 1, 2)).nonzero()
    assert METHOD.margin - 1 <= 200 - int(seen.min()) <= METHOD.margin
