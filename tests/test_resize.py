import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from rescale_bench.errors import UsageError
from rescale_bench.images import resize
from rescale_bench.images.resize import Cubic, imresize, output_side


def cubic(t):
    t = abs(t)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t <= 2 else 0.0


def lanczos(t, lobes):
    if t == 0:
        return 1.0
    if abs(t) >= lobes:
        return 0.0
    return lobes * math.sin(math.pi * t) * math.sin(math.pi * t / lobes) / (math.pi * t) ** 2


def mitchell(t):
    """Mitchell and Netravali (SIGGRAPH 1988), eq. 8 with B = C = 1/3, as the paper prints it."""
    t = abs(t)
    if t < 1:
        return (7 * t**3 - 12 * t**2 + 16 / 3) / 6
    return (-7 / 3 * t**3 + 12 * t**2 - 20 * t + 32 / 3) / 6 if t < 2 else 0.0


REFERENCE = {
    "box": (lambda t: float(-0.5 <= t < 0.5), 1),
    "bilinear": (lambda t: max(0.0, 1 - abs(t)), 2),
    "bicubic": (cubic, 4),
    "catmull-rom": (cubic, 4),
    "mitchell": (mitchell, 4),
    "lanczos2": (lambda t: lanczos(t, 2), 4),
    "lanczos3": (lambda t: lanczos(t, 3), 6),
    "nearest": (lambda t: float(-0.5 <= t < 0.5), 1),
}


def reference_rows(image, scale, out, kernel, antialias):
    """Resize axis 0 of (H, W) by MATLAB's rule, one tap at a time."""
    h, width = REFERENCE[kernel]
    stretch = scale if antialias and scale < 1 and kernel != "nearest" else 1
    n = len(image)
    mirror = list(range(n)) + list(range(n - 1, -1, -1))
    result = np.zeros((out, image.shape[1]))
    for x in range(1, out + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / stretch / 2)
        total = 0.0
        for p in range(left, left + math.ceil(width / stretch) + 2):
            weight = stretch * h(stretch * (u - p))
            total += weight
            result[x - 1] += weight * image[mirror[(p - 1) % (2 * n)]]
        result[x - 1] /= total
    return result


def reference(image, scales, size, kernel, antialias=True):
    rows = reference_rows(image, scales[0], size[0], kernel, antialias)
    return reference_rows(rows.T, scales[1], size[1], kernel, antialias).T


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


@pytest.mark.parametrize("kernel", list(REFERENCE))
@pytest.mark.parametrize("scale", [0.5, 1 / 3, 0.25, 2 / 3, 1 / 2.75, 1.5, 2, 3.3, 0.05])
def test_equals_the_rule_written_out(kernel, scale):
    image = noise(37, 70)
    size = math.ceil(37 * scale), math.ceil(70 * scale)
    expected = reference(image.numpy(), (scale, scale), size, kernel)
    actual = imresize(image, scale, kernel=kernel)
    assert actual.dtype == torch.float64
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(20, 90), (64, 31), (41, 53), (19, 53), (1, 1)])
def test_size_alone_gives_each_axis_its_scale(size, antialias):
    image = noise(41, 53)
    expected = reference(image.numpy(), (size[0] / 41, size[1] / 53), size, "bicubic", antialias)
    np.testing.assert_allclose(imresize(image, size=size, antialias=antialias), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [(30, 41), (34, 50), (1, 70)])
def test_scale_and_size_cut_or_mirror(size):
    image = noise(13, 17)
    expected = reference(image.numpy(), (2.4, 2.4), size, "bicubic")
    np.testing.assert_allclose(imresize(image, 2.4, size), expected, rtol=0, atol=1e-13)


def test_large_planes_and_leading_dimensions():
    image = noise(2, 3, 150, 1100).float()
    for scale in (0.5, 1.7):
        result = imresize(image, scale)
        assert result.shape == (2, 3, math.ceil(150 * scale), math.ceil(1100 * scale))
        expected = reference(image[1, 2].double().numpy(), (scale, scale), result.shape[-2:], "bicubic")
        np.testing.assert_allclose(result[1, 2], expected, rtol=0, atol=2e-6)
        channels_last = imresize(image.contiguous(memory_format=torch.channels_last), scale)
        assert torch.equal(result, channels_last)


@pytest.mark.parametrize(
    ("side", "scale", "out"),
    [
        (11, 1 / 1.1, 10),  # 11·0.9090909090909091 = 10.0000000000000001
        (11, Decimal("0.9090909090909091"), 11),  # … unless it is said to be exactly that
        (10, 1.1, 11),
        (100, 1.1, 110),  # 100·1.1 = 110.00000000000001 in floats
        (255, 1 / 3, 85),
        (256, 1 / 3, 86),
        (100, Fraction(1, 3), 34),
        (2700, 1 / 2.7, 1000),
        (7, 2, 14),
    ],
)
def test_output_sides_are_exact(side, scale, out):
    assert output_side(side, scale) == out


INNER = (slice(None), slice(None), slice(12, -12), slice(12, -12))
"""Where no library's border rule reaches, at ×3."""


def test_keys_cubic_with_a_075_is_that_of_pytorch_and_opencv():
    image = noise(1, 3, 20, 23)
    expected = torch.nn.functional.interpolate(image, scale_factor=3, mode="bicubic", align_corners=False)
    assert torch.allclose(imresize(image, 3, kernel=Cubic(0, 0.75))[INNER], expected[INNER], rtol=0, atol=1e-13)


def test_catmull_rom_is_pillows_bicubic_and_matlabs():
    image = noise(1, 1, 20, 23)
    expected = np.asarray(Image.fromarray(image[0, 0].float().numpy()).resize((69, 60), Image.Resampling.BICUBIC))
    found = imresize(image, 3, kernel="catmull-rom")
    np.testing.assert_allclose(found[INNER][0, 0], expected[INNER[2:]], rtol=0, atol=1e-6)
    assert torch.equal(found, imresize(image, 3, kernel="bicubic"))


@pytest.mark.parametrize(("name", "other"), [("mitchell", "MITCHELL"), ("catmull-rom", "CATROM")])
def test_cubics_are_those_of_agg(name, other):
    """Matplotlib draws with the kernels of the Agg library, tabulated in steps of 1/256."""
    from matplotlib import _image
    from matplotlib.transforms import Affine2D

    image = noise(1, 1, 20, 23)
    expected = np.zeros((60, 69))
    _image.resample(image[0, 0].numpy(), expected, Affine2D().scale(3), getattr(_image, other), resample=True)
    found = imresize(image, 3, kernel=name)[INNER][0, 0].numpy()
    assert np.abs(found - expected[INNER[2:]]).max() < 5e-3
    assert np.abs(found - imresize(image, 3, kernel="lanczos2")[INNER][0, 0].numpy()).max() > 5e-3


@pytest.mark.parametrize("kernel", list(REFERENCE))
@pytest.mark.parametrize("scale", [0.3, 0.5, 1.5, 4])
def test_constants_stay(kernel, scale):
    result = imresize(torch.full((1, 23, 31), 0.7, dtype=torch.float64), scale, kernel=kernel)
    assert torch.allclose(result, torch.full_like(result, 0.7), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kernel", list(REFERENCE))
def test_scale_one_is_the_identity_in_new_memory(kernel):
    image = noise(3, 9, 8)
    result = imresize(image, 1, kernel=kernel)
    assert torch.equal(result, image)
    assert result.data_ptr() != image.data_ptr()


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos2", "lanczos3"])
@pytest.mark.parametrize("size", [(24, 14), (97, 61)])
def test_mirrored_and_turned_images_give_mirrored_and_turned_results(kernel, size):
    image = noise(48, 30)
    result = imresize(image, size=size, kernel=kernel)
    assert torch.allclose(imresize(image.flip(0, 1), size=size, kernel=kernel), result.flip(0, 1), atol=1e-12)
    assert torch.allclose(imresize(image.t(), size=size[::-1], kernel=kernel), result.t(), atol=1e-12)


@pytest.mark.parametrize("size", [(5, 4), (14, 19), (9, 4), (9, 7)])
def test_gradients(size):
    image = noise(2, 9, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: imresize(x, size=size), image)
    assert torch.autograd.gradgradcheck(lambda x: imresize(x, size=size), image)
    assert torch.autograd.gradcheck(lambda x: imresize(x, size=size, kernel="nearest"), image)


@pytest.mark.parametrize("scale", [1 / 3, 0.7, 1.5])
def test_the_accelerators_products_give_the_same(scale, monkeypatch):
    image = noise(2, 3, 100, 130)
    expected = imresize(image, scale)
    monkeypatch.setattr(resize, "_on_cpu", resize._on_accelerator)
    for length in (512, 32):
        monkeypatch.setattr(resize, "ACCELERATOR", length)
        assert torch.allclose(imresize(image, scale), expected, rtol=0, atol=1e-14)
        assert torch.equal(imresize(image, 1), image)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("scale", [0.5, 0.3, 2])
def test_cuda_gives_the_same(scale):
    image = noise(2, 3, 700, 900).float()
    on_gpu = image.cuda().requires_grad_()
    result = imresize(on_gpu, scale)
    assert torch.allclose(result.cpu(), imresize(image, scale), rtol=0, atol=2e-6)
    result.sum().backward()
    assert on_gpu.grad.device.type == "cuda"
    assert torch.allclose(on_gpu.grad.sum().cpu(), torch.tensor(float(result.numel())), rtol=1e-4)


def test_gradient_is_the_adjoint_on_large_images():
    image, probe = noise(1, 300, 500).requires_grad_(), noise(1, 91, 152, seed=1)
    (imresize(image, 1 / 3.3) * probe).sum().backward()
    other = noise(1, 300, 500, seed=2)
    left, right = (image.grad * other).sum(), (imresize(other, 1 / 3.3) * probe).sum()
    assert torch.isclose(left, right, rtol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        {"image": torch.zeros(3, 4, 4, dtype=torch.uint8), "scale": 2},
        {"image": torch.zeros(3, 4, 4)},
        {"image": torch.zeros(3, 4, 4), "scale": -1.0},
        {"image": torch.zeros(3, 4, 4), "scale": 0},
        {"image": torch.zeros(3, 4, 4), "scale": math.nan},
        {"image": torch.zeros(3, 4, 4), "size": (0, 3)},
        {"image": torch.zeros(3, 0, 4), "scale": 2},
        {"image": torch.zeros(4), "scale": 2},
        {"image": torch.zeros(3, 4, 4), "scale": 2, "kernel": "spline"},
    ],
)
def test_refuses(arguments):
    with pytest.raises(UsageError, match="imresize"):
        imresize(**arguments)


def round_half_up(image):
    return (image.clamp(0, 255) + 0.5).floor()


def score(hr, sr, border):
    """Judge with scikit-image and a PSNR written out: our own metrics have their own tests."""
    a, b = (plane[border:-border, border:-border].numpy() for plane in (hr, sr))
    similarity = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    return 10 * math.log10(255**2 / np.mean((a - b) ** 2)), similarity


def luma(rgb):
    return torch.tensordot(torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64), rgb, 1) / 255 + 16


def set5(data_root, scale):
    for path in sorted((data_root / "Set5").glob("*.png")):
        rgb = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1).double()
        yield rgb[:, : rgb.shape[1] // scale * scale, : rgb.shape[2] // scale * scale]


@pytest.mark.parametrize(("scale", "psnr", "ssim"), [(2, 33.6614, 0.9299), (3, 30.3922, 0.8682), (4, 28.4207, 0.8104)])
def test_published_bicubic_rows_of_set5(data_root, scale, psnr, ssim):
    scores = []
    for rgb in set5(data_root, scale):
        y = round_half_up(luma(rgb))
        sr = round_half_up(imresize(imresize(y, 1 / scale), scale))
        scores.append(score(y, sr, scale))
    assert len(scores) == 5
    assert np.mean(scores, axis=0) == pytest.approx([psnr, ssim], abs=5e-4)
    assert np.mean(scores, axis=0)[1] == pytest.approx(ssim, abs=5.1e-5)


@pytest.mark.parametrize(("scale", "psnr", "ssim"), [(2, 33.6818, 0.9305), (3, 30.4047, 0.8690), (4, 28.4314, 0.8113)])
def test_bicubic_rows_of_set5_in_8_bit_rgb(data_root, scale, psnr, ssim):
    scores = []
    for rgb in set5(data_root, scale):
        lr = round_half_up(imresize(rgb, 1 / scale))
        scores.append(score(luma(rgb), luma(round_half_up(imresize(lr, scale))), scale))
    assert np.mean(scores, axis=0)[0] == pytest.approx(psnr, abs=5e-4)
    assert np.mean(scores, axis=0)[1] == pytest.approx(ssim, abs=5.1e-5)
