"""SRDenseNet against arrays recorded from the port whose weights are published."""

import numpy as np
import torch
from published_files import build, load_case, upscale, write_and_import
from rescale_bench_plugins import srdensenet

(METHOD,) = srdensenet.rescale_bench_methods()


def test_equals_the_port(parity_root, tmp_path):
    case, tensors, arrays = load_case(parity_root, "srdensenet_x4_a")
    write_and_import(tmp_path, "srdensenet", "x4", tensors, "srdensenet_x4.pth", tag="port")
    rescaler = build("bicubic+srdensenet", 4, tag="port")
    found = upscale(rescaler, np.repeat(arrays["lr"], 3, axis=0), 4)  # a grey image is its own Y
    assert (found - torch.from_numpy(arrays["out"])).abs().max() <= 2e-5
    assert rescaler.parameter_count == METHOD.parameters["x4"] == case["parameters"]
