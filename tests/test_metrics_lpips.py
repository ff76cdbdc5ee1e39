import dataclasses
import socket
import sys
import warnings

import numpy as np
import pytest
import torch
from lr_images import sample_of
from torch.nn import functional

from rescale_bench.cli import main
from rescale_bench.errors import UndefinedValueError, WeightsError
from rescale_bench.images.files import read_image
from rescale_bench.machine.torchvision_shim import import_torchvision
from rescale_bench.metrics.lpips import ALEXNET, VGG16, network, rescale_bench_metrics

LPIPS, VGG = rescale_bench_metrics()
LAYERS = {0: (3, 64, 11), 3: (64, 192, 5), 6: (192, 384, 3), 8: (384, 256, 3), 10: (256, 256, 3)}


@pytest.fixture(scope="module")
def weights():
    """Random weights in the layout of torchvision's AlexNet (its features are all that LPIPS reads)."""
    generator = torch.Generator().manual_seed(11)
    state = {}
    for index, (inputs, outputs, side) in LAYERS.items():
        kernel = torch.randn(outputs, inputs, side, side, generator=generator) * (2 / (inputs * side**2)) ** 0.5
        state[f"features.{index}.weight"] = kernel
        state[f"features.{index}.bias"] = torch.randn(outputs, generator=generator) * 0.1
    # pyiqa loads the whole network; expanded tensors take no room in the file.
    for index, inputs, outputs in ((1, 9216, 4096), (4, 4096, 4096), (6, 4096, 1000)):
        state[f"classifier.{index}.weight"] = torch.zeros(1).expand(outputs, inputs)
        state[f"classifier.{index}.bias"] = torch.zeros(1).expand(outputs)
    return state


def vgg_weights():
    """Random weights in the layout of torchvision's VGG16."""
    generator = torch.Generator().manual_seed(12)
    state, index, inputs = {}, 0, 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        if width:
            kernel = torch.randn(width, inputs, 3, 3, generator=generator) * (2 / (inputs * 9)) ** 0.5
            state[f"features.{index}.weight"] = kernel
            state[f"features.{index}.bias"] = torch.randn(width, generator=generator) * 0.1
            inputs = width
        index += 2 if width else 1
    for index, inputs, outputs in ((0, 25088, 4096), (3, 4096, 4096), (6, 4096, 1000)):
        state[f"classifier.{index}.weight"] = torch.zeros(1).expand(outputs, inputs)
        state[f"classifier.{index}.bias"] = torch.zeros(1).expand(outputs)
    return state


@pytest.fixture
def alexnet(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    ALEXNET.location.parent.mkdir(parents=True)
    torch.save(weights, ALEXNET.location)

    def refuse(*arguments, **names):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return ALEXNET.location


def images(height=64, width=80):
    rng = np.random.default_rng(2)
    hr = torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8))
    sr = (hr.int() + torch.from_numpy(rng.integers(-30, 31, hr.shape))).clamp(0, 255).to(torch.uint8)
    return hr, sr


def sample(hr, sr):
    return dataclasses.replace(sample_of(np.zeros((4, 4, 3), np.uint8)), hr=hr, sr=sr)


def reference_lpips(weights, first, second):
    """Zhang et al. (CVPR 2018), eq. 1, from the heads in the package's file and functional convolutions."""
    import lpips

    folder = sys.modules["lpips"].__path__[0]
    heads = torch.load(f"{folder}/weights/v0.1/alex.pth", map_location="cpu", weights_only=True)
    shift, scale = (torch.tensor(v)[None, :, None, None] for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
    features = []
    for image in (first, second):
        x, found = ((image[None].float() / 255 * 2 - 1) - shift) / scale, []
        for index in LAYERS:
            if index in (3, 6):
                x = functional.max_pool2d(x, 3, 2)
            stride, pad = (4, 2) if index == 0 else (1, 2 if index == 3 else 1)
            x = functional.relu(
                functional.conv2d(
                    x, weights[f"features.{index}.weight"], weights[f"features.{index}.bias"], stride, pad
                )
            )
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        features.append(found)
    del lpips
    terms = zip(*features, strict=True)
    return sum(
        float(functional.conv2d((a - b).square(), heads[f"lin{level}.model.1.weight"]).mean())
        for level, (a, b) in enumerate(terms)
    )


def test_equals_the_formula(alexnet, weights):
    hr, sr = images()
    value = LPIPS.measure(sample(hr, sr), {})
    assert value > 0.001
    assert value == pytest.approx(reference_lpips(weights, hr, sr), rel=1e-5)


def test_equals_pyiqa_on_the_same_weights(alexnet):
    import_torchvision()
    from pyiqa.archs import lpips_arch

    hr, sr = images()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The parameter 'pretrained'|Arguments other than a weight")
        other = lpips_arch.LPIPS(net="alex", pretrained=False).eval()
    other.load_state_dict(
        {key: value for key, value in network(alexnet).state_dict().items() if key[:3] == "lin"}, strict=False
    )
    with torch.inference_mode():
        expected = float(other(sr[None].float() / 255, hr[None].float() / 255))
    assert LPIPS.measure(sample(hr, sr), {}) == pytest.approx(expected, abs=1e-7)


def test_identical_images_give_zero(alexnet):
    hr, _ = images(33, 33)
    assert LPIPS.measure(sample(hr, hr), {}) == 0


def test_unrounded_output(alexnet):
    hr, sr = images()
    assert LPIPS.measure(sample(hr, sr.float()), {}) == LPIPS.measure(sample(hr, sr), {})
    assert LPIPS.measure(sample(hr, sr.float() * 0.99), {}) != LPIPS.measure(sample(hr, sr), {})


def test_leaves_the_random_numbers_alone(alexnet):
    network.__globals__["_network"].cache_clear()
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    LPIPS.measure(sample(*images()), {})
    assert torch.equal(torch.rand(3), expected)


def test_undefined(alexnet):
    with pytest.raises(UndefinedValueError, match="33 px a side, HR is 80×32"):
        LPIPS.measure(sample(*images(32, 80)), {})
    hr, sr = images()
    with pytest.raises(UndefinedValueError, match="RGB"):
        LPIPS.measure(sample(hr[:1], sr[:1]), {})


def test_requires(tmp_path, monkeypatch, alexnet):
    assert LPIPS.problems() == []
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "elsewhere"))
    (problem,) = LPIPS.problems()
    assert problem.endswith("alexnet-owt-7be5be79.pth is missing; rescale-bench prepare --metrics lpips_alex")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'rescale-bench[iqa]'" in LPIPS.problems()[0]


def test_other_files_are_refused(tmp_path, weights):
    path = tmp_path / "other.pth"
    path.write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match="cannot be read"):
        network(path)
    for name, state, text in (
        ("few.pth", {key: value for key, value in weights.items() if ".10." not in key}, "has no features.10.weight"),
        ("wide.pth", weights | {"features.0.weight": torch.zeros(64, 3, 7, 7)}, "size mismatch"),
        ("list.pth", [1, 2], "holds list"),
    ):
        torch.save(state, tmp_path / name)
        with pytest.raises(WeightsError, match=text):
            network(tmp_path / name)


def pixels(path):
    return torch.from_numpy(read_image(path).pixels).permute(2, 0, 1).contiguous()


def test_the_authors_example_gives_the_authors_numbers(parity_root, tmp_path, monkeypatch, capsys):
    """Through `prepare --file` with AlexNet's convolutions alone: the official script prints 0.722 and 0.138."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = parity_root.parent / "iqa" / "lpips"
    given = ["prepare", "--metrics", "lpips_alex", "--file"]
    assert main([*given, str(folder / "ex_ref.png")]) == 2
    assert (
        "ex_ref.png is none of the files of lpips_alex, which needs alexnet-owt-7be5be79.pth" in capsys.readouterr().err
    )
    assert main([*given, str(folder / "alexnet_features.pth")]) == 0
    assert ALEXNET.location.is_file()
    assert main(["prepare", "--metrics", "lpips_alex"]) == 0  # it is known again, and nothing is fetched
    reference = pixels(folder / "ex_ref.png")
    for name, printed in (("ex_p0.png", 0.722), ("ex_p1.png", 0.138)):
        value = LPIPS.measure(sample(reference, pixels(folder / name)), {})
        assert value == pytest.approx(printed, abs=5e-4)


def test_vgg_equals_pyiqa_on_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    import_torchvision()
    from pyiqa.archs import lpips_arch

    VGG16.location.parent.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The parameter 'pretrained'|Arguments other than a weight")
        torch.save(vgg_weights(), VGG16.location)
        other = lpips_arch.LPIPS(net="vgg", pretrained=False).eval()
    heads = {key: value for key, value in network(VGG16.location, "vgg").state_dict().items() if key[:3] == "lin"}
    other.load_state_dict(heads, strict=False)
    hr, sr = images()
    with torch.inference_mode():
        expected = float(other(sr[None].float() / 255, hr[None].float() / 255))
    assert expected > 0.001
    assert VGG.measure(sample(hr, sr), {}) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(UndefinedValueError, match="16 px a side"):
        VGG.measure(sample(*images(15, 80)), {})
