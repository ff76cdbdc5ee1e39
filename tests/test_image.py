"""Reading and writing image files; the outside references are Pillow's writers, imagecodecs and tifffile."""

import hashlib
import io
import os
import subprocess
import sys
import threading
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from rescale_bench.errors import ImageError, UsageError
from rescale_bench.images.files import (
    DEFAULT_LIMIT,
    crop_multiple,
    encode_png,
    max_pixels_setting,
    pixel_hash,
    read_image,
    write_png,
)

RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (21, 34, 3), np.uint8)
GREY = RNG.integers(0, 256, (21, 34), np.uint8)
SMOOTH = np.add.outer(np.arange(21) * 5, np.arange(34) * 3).astype(np.uint8)
ORIENTATION = 0x0112


def save(path, array, kind="PNG", **options):
    Image.fromarray(array).save(path, kind, **options)
    return path


def fails(path, *words, **options):
    with pytest.raises(ImageError) as caught:
        read_image(path, **options)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    for word in words:
        assert word in text, text
    return text


# --- what is read -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_give_their_pixels_whatever_the_extension(tmp_path, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    path = save(tmp_path / "picture.jpg", RGB, kind, **options)
    loaded = read_image(path)
    assert np.array_equal(loaded.pixels, RGB)
    assert loaded.pixels.dtype == np.uint8
    assert loaded.pixels.flags.writeable
    assert (loaded.grey, loaded.notes, loaded.format) == (False, (), kind)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_lossy_formats_equal_another_decoder(tmp_path):
    path = save(tmp_path / "a.png", np.dstack([SMOOTH, SMOOTH[::-1], SMOOTH]), "JPEG", quality=92)
    other = imagecodecs.jpeg8_decode(path.read_bytes())
    assert np.abs(read_image(path).pixels.astype(int) - other.astype(int)).max() <= 1
    assert read_image(path).format == "JPEG"


def test_real_files_equal_imagecodecs(data_root):
    for path in sorted((data_root / "Set5").glob("*.png")):
        assert np.array_equal(read_image(path).pixels, imagecodecs.png_decode(path.read_bytes()))
    grey = read_image(data_root / "Set14" / "bridge.png")
    assert grey.grey
    assert np.array_equal(grey.pixels[:, :, 1], imagecodecs.png_decode((data_root / "Set14/bridge.png").read_bytes()))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "JPEG"])
def test_grey_files_become_three_equal_channels(tmp_path, kind):
    loaded = read_image(save(tmp_path / "g", SMOOTH, kind))
    assert loaded.grey
    assert loaded.pixels.shape == (21, 34, 3)
    assert (loaded.pixels == loaded.pixels[:, :, :1]).all()
    assert np.abs(loaded.pixels[:, :, 0].astype(int) - SMOOTH).max() <= (4 if kind == "JPEG" else 0)


def test_equal_channels_of_an_rgb_file_are_not_grey(tmp_path):
    assert not read_image(save(tmp_path / "a.png", np.dstack([GREY] * 3))).grey


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit(tmp_path, kind):
    Image.fromarray(GREY > 99).save(tmp_path / "b", kind)
    loaded = read_image(tmp_path / "b")
    assert loaded.grey
    assert np.array_equal(loaded.pixels[:, :, 2], np.where(GREY > 99, 255, 0))


def test_palettes(tmp_path):
    colours = Image.fromarray(RGB).quantize(16)
    colours.save(tmp_path / "colour.png")
    loaded = read_image(tmp_path / "colour.png")
    assert np.array_equal(loaded.pixels, np.asarray(colours.convert("RGB")))
    assert not loaded.grey
    grey = Image.fromarray(GREY, "L").convert("P")
    grey.save(tmp_path / "grey.png")
    loaded = read_image(tmp_path / "grey.png")
    assert loaded.grey
    assert np.array_equal(loaded.pixels[:, :, 0], GREY)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_dropped_not_composited(tmp_path, kind):
    alpha = np.dstack([RGB, np.zeros_like(GREY)])
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    loaded = read_image(save(tmp_path / "a", alpha, kind, **options))
    assert np.array_equal(loaded.pixels, RGB)
    assert loaded.notes == ("alpha dropped",)


def test_grey_with_alpha_and_palette_with_transparency(tmp_path):
    Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY * 0)]).save(tmp_path / "la.png")
    loaded = read_image(tmp_path / "la.png")
    assert loaded.grey
    assert loaded.notes == ("alpha dropped",)
    assert np.array_equal(loaded.pixels[:, :, 0], GREY)
    palette = Image.fromarray(RGB).quantize(16)
    for number, transparency in enumerate([3, bytes(range(16))]):
        path = tmp_path / f"p{number}.png"
        palette.save(path, transparency=transparency)
        loaded = read_image(path)
        assert loaded.notes == ("alpha dropped",)
        assert np.array_equal(loaded.pixels, np.asarray(palette.convert("RGB")))
    save(tmp_path / "key.png", RGB, transparency=(1, 2, 3))
    assert read_image(tmp_path / "key.png").notes == ("alpha dropped",)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, kind, orientation):
    stored = np.dstack([SMOOTH, np.full_like(SMOOTH, 70), np.full_like(SMOOTH, 9)])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    path = save(tmp_path / "o", stored, kind, exif=exif, **options)
    # EXIF 2.3, tag Orientation: where the stored row 0 and column 0 belong.
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored[::-1].transpose(1, 0, 2),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: stored[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    loaded = read_image(path)
    assert loaded.pixels.shape == upright.shape
    assert np.abs(loaded.pixels.astype(int) - upright.astype(int)).max() <= (4 if kind == "JPEG" else 0)
    assert loaded.notes == (() if orientation == 1 else ("EXIF orientation applied",))


def test_damaged_exif_does_not_cost_the_picture(tmp_path):
    path = save(tmp_path / "a.jpg", RGB, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffgarbage")
    assert read_image(path).pixels.shape == RGB.shape


def test_first_picture_of_an_mpo(tmp_path):
    first, second = Image.fromarray(np.dstack([SMOOTH] * 3)), Image.fromarray(RGB)
    first.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[second])
    loaded = read_image(tmp_path / "phone.jpg")
    assert loaded.notes == ("first picture of an MPO file",)
    assert np.abs(loaded.pixels[:, :, 1].astype(int) - SMOOTH).max() <= 8


# --- what is refused --------------------------------------------------------------


def test_sixteen_bit_png_is_refused(tmp_path):
    for name, array in (("grey", GREY), ("rgb", RGB), ("rgba", np.dstack([RGB, GREY]))):
        path = tmp_path / f"{name}.png"
        path.write_bytes(imagecodecs.png_encode(array.astype(np.uint16) * 257))
        fails(path, "16-bit PNG")
    Image.fromarray(GREY.astype(np.uint16)).save(tmp_path / "i16.png")
    fails(tmp_path / "i16.png", "16-bit PNG")


def test_deep_tiff_is_refused(tmp_path):
    for number, array in enumerate(
        [
            RGB.astype(np.uint16),
            GREY.astype(np.uint16),
            np.dstack([RGB, GREY]).astype(np.uint16),
            RGB.astype(np.float32),
            GREY.astype(np.float32),
            RGB.astype(np.uint32),
        ]
    ):
        for big in (False, True):
            path = tmp_path / f"{number}{big}.tif"
            photometric = "minisblack" if array.ndim == 2 else "rgb"
            extra = {"extrasamples": ["unassalpha"]} if array.ndim == 3 and array.shape[2] == 4 else {}
            tifffile.imwrite(path, array, photometric=photometric, bigtiff=big, **extra)
            fails(path, f"{array.dtype.itemsize * 8}-bit TIFF")
    tifffile.imwrite(tmp_path / "signed.tif", GREY.astype(np.int8), photometric="minisblack")
    fails(tmp_path / "signed.tif", "signed or floating-point")
    tifffile.imwrite(tmp_path / "rare.tif", RGB, photometric="rgb", bigtiff=True, byteorder=">")
    fails(tmp_path / "rare.tif", "big-endian BigTIFF")
    for number, options in enumerate([{"bigtiff": True}, {"byteorder": ">"}, {"compression": "zlib"}]):
        tifffile.imwrite(tmp_path / f"fine{number}", RGB, photometric="rgb", **options)
        assert np.array_equal(read_image(tmp_path / f"fine{number}").pixels, RGB)


def test_cmyk_and_frames_are_refused(tmp_path):
    for kind in ("JPEG", "TIFF"):
        Image.fromarray(RGB).convert("CMYK").save(tmp_path / kind, kind)
        fails(tmp_path / kind, "colour mode CMYK")
    Image.fromarray(RGB).convert("LAB").save(tmp_path / "lab.tif")
    fails(tmp_path / "lab.tif", "colour mode LAB")
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1])]
    for kind in ("PNG", "TIFF", "WEBP"):
        frames[0].save(tmp_path / kind, kind, save_all=True, append_images=frames[1:])
        fails(tmp_path / kind, "holds 2 frames")


def test_other_contents_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("I am a picture, honestly.\n")
    fails(tmp_path / "text.png", "is not a PNG, BMP, JPEG, WebP or TIFF image")
    save(tmp_path / "animation.png", GREY, "GIF")
    fails(tmp_path / "animation.png", "is not a PNG")
    (tmp_path / "empty.png").write_bytes(b"")
    fails(tmp_path / "empty.png", "is empty")
    fails(tmp_path / "missing.png", "no such file")
    fails(tmp_path, "is a folder")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        fails(tmp_path / "pipe.png", "not a regular file")
    path = tmp_path / "two\nlines.png"
    with pytest.raises(ImageError, match=r"two lines\.png: no such file"):
        read_image(path)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG", "WEBP", "TIFF"])
def test_truncated_at_any_place(tmp_path, kind):
    whole = save(tmp_path / "whole", RGB, kind).read_bytes()
    if kind == "TIFF":  # Pillow writes the directory last or first; both cuts hurt
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, "TIFF", compression="tiff_lzw")
        whole = buffer.getvalue()
    path = tmp_path / "cut"
    for part in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9):
        path.write_bytes(whole[: max(1, int(part * len(whole)))])
        fails(path)


def test_a_flipped_bit_in_a_png_is_noticed(tmp_path):
    whole = bytearray(save(tmp_path / "a.png", RGB).read_bytes())
    whole[len(whole) // 2] ^= 4
    (tmp_path / "a.png").write_bytes(whole)
    fails(tmp_path / "a.png", "damaged")
    cut = save(tmp_path / "b.png", RGB).read_bytes()[:-12]
    (tmp_path / "b.png").write_bytes(cut)
    fails(tmp_path / "b.png", "no end chunk")


def bomb(width, height):
    """Write a PNG whose header promises far more than its data holds."""

    def chunk(kind, body):
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_huge_images_are_refused_from_the_header(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    path.write_bytes(bomb(60_000, 60_000))
    fails(path, "60000×60000", str(DEFAULT_LIMIT), "RESCALE_BENCH_MAX_PIXELS")
    small = save(tmp_path / "small.png", RGB)
    fails(small, "34×21", max_pixels=34 * 21 - 1)
    assert read_image(small, max_pixels=34 * 21).pixels.shape == RGB.shape
    monkeypatch.setenv("RESCALE_BENCH_MAX_PIXELS", "100")
    fails(small, "limit of 100 pixels")
    before = Image.MAX_IMAGE_PIXELS
    monkeypatch.setenv("RESCALE_BENCH_MAX_PIXELS", "4000000000")
    fails(path, "truncated or damaged")  # above Pillow's own limit, which must not get in the way
    assert before == Image.MAX_IMAGE_PIXELS
    (tmp_path / "fat.png").write_bytes(b"\0")
    os.truncate(tmp_path / "fat.png", 2**24 + 10_000)
    fails(tmp_path / "fat.png", "too many", max_pixels=1000)


@pytest.mark.parametrize("text", ["0", "-5", "many", "1e6"])
def test_a_bad_limit_is_a_usage_error(tmp_path, monkeypatch, text):
    monkeypatch.setenv("RESCALE_BENCH_MAX_PIXELS", text)
    with pytest.raises(UsageError, match="RESCALE_BENCH_MAX_PIXELS"):
        max_pixels_setting()


def test_permission_denied(tmp_path):
    path = save(tmp_path / "secret.png", RGB)
    path.chmod(0)
    if os.geteuid() != 0:
        fails(path, "permission denied")
        return
    # root may read everything, so a child without privileges tries.
    code = (
        "import os, sys; from rescale_bench.images.files import read_image; os.chdir(sys.argv[1]);"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); read_image('secret.png')"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "ImageError: secret.png: permission denied" in ended.stderr


def test_threads_read_alike(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(read_image(path).pixel_sha256)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [pixel_hash(RGB)] * 8


# --- tools ------------------------------------------------------------------------


def test_pixel_hash_knows_the_shape():
    assert pixel_hash(RGB) == hashlib.sha256(b"21x34x3\n" + RGB.tobytes()).hexdigest()
    assert pixel_hash(RGB) != pixel_hash(RGB.reshape(34, 21, 3))
    assert pixel_hash(RGB[:, ::-1]) == pixel_hash(RGB[:, ::-1].copy())


def test_crop_multiple_keeps_the_top_left():
    assert np.array_equal(crop_multiple(RGB, 12), RGB[:12, :24])
    assert np.array_equal(crop_multiple(GREY, 1), GREY)
    with pytest.raises(ImageError, match="34×21 pixels is smaller than its crop to multiples of 24"):
        crop_multiple(RGB, 24)
    with pytest.raises(UsageError):
        crop_multiple(RGB, 0)


@pytest.mark.parametrize("array", [RGB, GREY, GREY[:, :, None], RGB[::-1, ::2]])
def test_png_out_is_png_in(tmp_path, array):
    assert np.array_equal(imagecodecs.png_decode(encode_png(array)), array.squeeze())
    write_png(tmp_path / "out.png", array)
    assert np.array_equal(
        read_image(tmp_path / "out.png").pixels, np.broadcast_to(np.atleast_3d(array), (*array.shape[:2], 3))
    )
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]


def test_png_out_refuses_what_it_cannot_write(tmp_path):
    for array in (RGB.astype(np.float32), RGB[:, :, :2], RGB[:0], RGB[None]):
        with pytest.raises(ImageError, match="cannot write"):
            encode_png(array)
    with pytest.raises(ImageError, match="cannot be written"):
        write_png(tmp_path / "no" / "folder.png", RGB)
    (tmp_path / "taken").mkdir()
    with pytest.raises(ImageError, match="cannot be written"):
        write_png(tmp_path / "taken", RGB)
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]
