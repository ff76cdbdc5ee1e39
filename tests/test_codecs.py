import dataclasses
import io
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
from lr_images import all_lr
from PIL import Image

from rescale_bench import codecs
from rescale_bench.api.specs import parse_spec, resolve
from rescale_bench.codecs import encode_decode, is_lossless
from rescale_bench.errors import CodecError

BY_NAME = {codec.name: codec for codec in codecs.rescale_bench_codecs()}


def photo_like(height, width, channels, seed=0):
    """Smooth ramps with noise: compressible, and nothing a codec could special-case."""
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.linspace(0, 120, height), np.linspace(0, 100, width))[:, :, None]
    return (ramp + rng.integers(0, 30, (height, width, channels))).astype(np.uint8)


def bits_per_pixel(name, images, **options):
    return np.mean([8 * len(encode_decode(BY_NAME[name], lr, options)[0]) / lr[..., 0].size for lr in images])


@pytest.fixture(scope="module")
def set14(data_root):
    return all_lr(data_root / "Set14", 4)


def test_names():
    assert set(BY_NAME) == {"png", "jpegls", "jp2", "jxl", "webp", "jpeg", "avif", "flif"}


@pytest.mark.parametrize("name", ["png", "jpegls", "jp2", "jxl", "webp"])
@pytest.mark.parametrize("shape", [(37, 53, 3), (37, 53, 1), (1, 1, 3), (1, 1, 1), (2, 40, 3), (31, 7, 1)])
def test_lossless_gives_back_every_pixel(name, shape):
    pixels = photo_like(*shape)
    file, decoded = encode_decode(BY_NAME[name], pixels, {})
    assert is_lossless(BY_NAME[name], {})
    assert isinstance(file, bytes)
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize(
    ("name", "options", "bits"),
    [
        ("png", {}, 15.39),
        ("png", {"optimize": True}, 15.22),
        ("jpegls", {}, 15.41),
        ("jp2", {}, 12.62),
        ("webp", {}, 11.77),
        ("jxl", {}, 11.28),
    ],
)
def test_bits_of_the_spec(set14, name, options, bits):
    # The table prints two digits; a digit more is left to other builds of the same libraries.
    assert bits_per_pixel(name, set14, **options) == pytest.approx(bits, abs=0.01)


def test_jxl_effort_changes_the_file(set14):
    assert bits_per_pixel("jxl", set14[:3], effort=1) > bits_per_pixel("jxl", set14[:3])


@pytest.mark.parametrize(
    ("name", "decode"),
    [("png", imagecodecs.png_decode), ("jp2", imagecodecs.jpeg2k_decode), ("webp", imagecodecs.webp_decode)],
)
def test_another_decoder_reads_the_same(name, decode):
    pixels = photo_like(40, 24, 3)
    np.testing.assert_array_equal(decode(encode_decode(BY_NAME[name], pixels, {})[0]), pixels)


def test_jpegls_is_sample_interleaved_and_lossless():
    file, _ = encode_decode(BY_NAME["jpegls"], photo_like(20, 30, 3), {})
    scans = file.count(b"\xff\xda")
    scan = file.index(b"\xff\xda")
    near, interleave = file[scan + 5 + 2 * 3], file[scan + 6 + 2 * 3]  # ISO/IEC 14495-1, C.2.3
    assert (scans, file[scan + 4], near, interleave) == (1, 3, 0, 2)


def test_jpeg_default_is_what_pillow_writes_by_default(set14):
    buffer = io.BytesIO()
    Image.fromarray(set14[0]).save(buffer, "JPEG", quality=90)
    assert encode_decode(BY_NAME["jpeg"], set14[0], {"quality": 90})[0] == buffer.getvalue()


@pytest.mark.parametrize(("subsampling", "factors"), [("420", 0x22), ("422", 0x21), ("444", 0x11)])
def test_jpeg_subsampling_stands_in_the_file(subsampling, factors):
    file, decoded = encode_decode(BY_NAME["jpeg"], photo_like(32, 32, 3), {"subsampling": subsampling})
    frame = file.index(b"\xff\xc0")
    assert file[frame + 11] == factors  # horizontal and vertical sampling of Y (ISO/IEC 10918-1, B.2.2)
    assert decoded.shape == (32, 32, 3)


def test_jpeg_quality_and_tables_move_the_size(set14):
    sizes = [bits_per_pixel("jpeg", set14[:4], quality=quality) for quality in (1, 50, 90, 100)]
    assert sizes == sorted(sizes)
    assert bits_per_pixel("jpeg", set14[:4], quality=90, optimize=True) < sizes[2]


@pytest.mark.parametrize(
    ("name", "option", "falling"),
    [
        ("jpeg", "quality", (100, 50, 5)),
        ("webp", "quality", (100, 50, 5)),
        ("avif", "quality", (100, 50, 5)),
        ("jxl", "distance", (0.1, 3.0, 15.0)),
        ("jp2", "rate", (10.0, 3.0, 0.5)),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_lossy_loses_less_at_a_higher_quality(name, option, falling, channels):
    pixels = photo_like(48, 64, channels)
    losses, sizes = [], []
    for value in falling:
        assert not is_lossless(BY_NAME[name], {option: value})
        file, decoded = encode_decode(BY_NAME[name], pixels, {option: value})
        assert decoded.shape == pixels.shape
        losses.append(np.abs(decoded.astype(int) - pixels).mean())
        sizes.append(len(file))
    assert losses == sorted(losses)
    assert sizes == sorted(sizes, reverse=True)
    assert losses[0] < (1.5 if channels == 1 else 8)  # chroma is halved
    assert losses[2] > 3


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_jpeg_2000_keeps_its_rate(set14, rate):
    for channels in (1, 3):
        lr = set14[0][:, :, :channels].copy()
        header = 8 * 100 / lr[..., 0].size  # comes on top
        assert 0.9 * rate < bits_per_pixel("jp2", [lr], rate=rate) <= rate + header


@pytest.mark.parametrize(
    ("name", "options", "decode"),
    [
        ("avif", {"quality": 80, "subsampling": "420"}, imagecodecs.avif_decode),
        ("jxl", {"distance": 1.0}, imagecodecs.jpegxl_decode),
        ("jp2", {"rate": 4.0}, imagecodecs.jpeg2k_decode),
    ],
)
def test_a_lossy_file_is_of_its_format(set14, name, options, decode):
    file, decoded = encode_decode(BY_NAME[name], set14[0], options)
    np.testing.assert_array_equal(decode(file), decoded)
    assert is_lossless(BY_NAME[name], {}) == (name != "avif")


FAKE = """#!{python}
import sys, zlib
flag, source, target = sys.argv[1], *sys.argv[-2:]
content = open(source, "rb").read()
if content == b"broken":
    sys.exit("this is no FLIF file")
made = b"FLIF" + zlib.compress(content) if flag == "-e" else zlib.decompress(content[4:])
open(target, "wb").write(made)
"""


def test_flif_is_a_program(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no program flif on the PATH" in BY_NAME["flif"].requires()[0]
    with pytest.raises(CodecError, match="no program flif"):
        encode_decode(BY_NAME["flif"], photo_like(6, 5, 3), {})
    program = tmp_path / "flif"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(0o755)
    assert BY_NAME["flif"].requires() == []
    for channels in (1, 3):
        pixels = photo_like(6, 5, channels)
        file, decoded = encode_decode(BY_NAME["flif"], pixels, {})
        assert file[:4] == b"FLIF"
        np.testing.assert_array_equal(decoded, pixels)
    with pytest.raises(CodecError, match="this is no FLIF file"):
        codecs.decode(BY_NAME["flif"], b"broken", 3)


def test_bare_value_is_the_quality():
    for name, text in (("jpeg", "jpeg:90"), ("webp", "webp:80"), ("avif", "avif:70")):
        options = resolve(parse_spec(text, "--codecs"), BY_NAME[name].options, "--codecs")
        assert options["quality"] == int(text[-2:])
    assert resolve(parse_spec("jp2:4"), BY_NAME["jp2"].options)["rate"] == 4.0


def test_what_a_broken_codec_does_is_an_error():
    pixels = photo_like(6, 5, 3)
    png = BY_NAME["png"]

    def broken(decode):
        return dataclasses.replace(png, name="broken", decode=decode)

    with pytest.raises(CodecError, match="lossless by its record but changed 1 of 90 values"):
        encode_decode(broken(lambda file: _touched(png.decode(file))), pixels, {})
    with pytest.raises(CodecError, match=r"\(6, 5, 3\) went in, uint8 \(3, 5, 3\) came back"):
        encode_decode(broken(lambda file: png.decode(file)[::2]), pixels, {})
    with pytest.raises(CodecError, match="float64"):
        encode_decode(broken(lambda file: png.decode(file) / 1.0), pixels, {})
    with pytest.raises(CodecError, match="codec broken: ZeroDivisionError"):
        encode_decode(broken(lambda file: 1 // 0), pixels, {})


def _touched(pixels):
    changed = pixels.copy()
    changed[2, 3, 1] ^= 1
    return changed


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises(CodecError, match="takes uint8"):
        encode_decode(BY_NAME["png"], pixels, {})


def test_too_large_for_the_format():
    with pytest.raises(CodecError, match="codec webp"):
        encode_decode(BY_NAME["webp"], np.zeros((1, 16384, 3), np.uint8), {})


def test_requires(monkeypatch):
    assert [problem for name, codec in BY_NAME.items() if name != "flif" for problem in codec.requires()] == []
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    for name in ("jxl", "avif", "jpegls"):
        assert "pip install imagecodecs" in BY_NAME[name].requires()[0]
    monkeypatch.setattr("PIL.features.check", lambda feature: False)
    assert "jpg_2000" in BY_NAME["jp2"].requires()[0]


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, rescale_bench.codecs as c; list(c.rescale_bench_codecs());"
        "print([m for m in ('torch', 'numpy', 'PIL', 'imagecodecs') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
