"""SRCNN through its three kinds of files, against recorded arrays."""

import numpy as np
import pytest
import torch
from published_files import build, load_case, write_and_import
from rescale_bench_plugins import srcnn
from rescale_bench_plugins.srcnn.network import KERNELS, padding_of
from scipy.io import savemat

from rescale_bench.api.records import State
from rescale_bench.cli.main import main
from rescale_bench.errors import WeightsError
from rescale_bench.images.levels import resize_levels

(METHOD,) = srcnn.rescale_bench_methods()
OTHER_PORT = {"conv1": "features.0", "conv2": "map.0", "conv3": "reconstruction"}


@pytest.fixture
def case(parity_root):
    return load_case(parity_root, "srcnn_955")


def refine(rescaler, arrays):
    with torch.no_grad():
        return rescaler.up.inner.network.refine(torch.from_numpy(arrays["y"])[None].float() / 255)[0].numpy()


def matlab(tensors):
    """Lay kernels out as the authors' files do: taps run down the columns, y + side·x."""
    arrays = {}
    for layer, (inputs, outputs, side) in enumerate(KERNELS, start=1):
        taps = np.zeros((inputs, side * side, outputs))
        for y in range(side):
            for x in range(side):
                taps[:, y + side * x] = tensors[f"conv{layer}.weight"][:, :, y, x].numpy().T
        arrays[f"weights_conv{layer}"] = taps[0] if layer == 1 else taps[..., 0] if layer == 3 else taps
        arrays[f"biases_conv{layer}"] = tensors[f"conv{layer}.bias"].numpy()[:, None]
    return arrays


def test_the_port_has_zeros_around_the_image(case, tmp_path):
    description, tensors, arrays = case
    write_and_import(tmp_path, "srcnn", "x2", tensors, "srcnn_x2.pth", tag="port")
    rescaler = build("bicubic+srcnn", 2, tag="port")
    assert np.abs(refine(rescaler, arrays) - arrays["out_zero"]).max() <= 2e-5
    assert rescaler.parameter_count == METHOD.parameters["x2"] == description["parameters"]


def test_another_port_has_other_keys(case, tmp_path):
    _, tensors, arrays = case
    renamed = {f"{OTHER_PORT[key[:5]]}{key[5:]}": tensor for key, tensor in tensors.items()}
    write_and_import(tmp_path, "srcnn", "x3", renamed, tag="port")
    assert np.abs(refine(build("bicubic+srcnn", 3, tag="port"), arrays) - arrays["out_zero"]).max() <= 2e-5


def test_the_authors_files_repeat_the_border(case, tmp_path):
    _, tensors, arrays = case
    arrays_of_file = matlab(tensors)
    assert [arrays_of_file[f"weights_conv{layer}"].shape for layer in (1, 2, 3)] == [(81, 64), (64, 25, 32), (32, 25)]
    savemat(tmp_path / "x4.mat", arrays_of_file)
    assert main(["weights", "import", "srcnn", "x4", str(tmp_path / "x4.mat")]) == 0
    rescaler = build("bicubic+srcnn", 4)
    assert np.abs(refine(rescaler, arrays) - arrays["out_replicate"]).max() <= 2e-5


def test_y_is_enlarged_by_bicubic_and_cut_to_size(case, tmp_path):
    _, tensors, _ = case
    write_and_import(tmp_path, "srcnn", "x3", tensors, tag="port")
    rescaler = build("bicubic+srcnn", 3, tag="port")
    grey = torch.rand(1, 1, 9, 11).expand(-1, 3, -1, -1)
    found = rescaler.upscale(grey, 3.0, (26, 31))
    enlarged = resize_levels(grey[:, :1], 3.0, (27, 33)).float()
    with torch.no_grad():
        expected = rescaler.up.inner.network.refine(enlarged)[..., :26, :31]
    assert torch.allclose(found, expected.expand(-1, 3, -1, -1), atol=1e-6)


def test_a_file_that_lacks_a_layer_says_so(case, tmp_path, capsys):
    arrays = matlab(case[1])
    del arrays["weights_conv2"]
    savemat(tmp_path / "x2.mat", arrays)
    assert main(["weights", "import", "srcnn", "x2", str(tmp_path / "x2.mat")]) == 2
    assert "x2.mat does not fit the network: 2 missing (conv2.weight, conv2.bias)" in capsys.readouterr().err


def test_unknown_borders_are_refused():
    assert padding_of(State({}), "srcnn x2") == "zeros"
    with pytest.raises(WeightsError, match="srcnn x2: metadata padding=mirror"):
        padding_of(State({}, {"padding": "mirror"}), "srcnn x2")
