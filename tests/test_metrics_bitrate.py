import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from lr_images import all_lr, sample_of

from rescale_bench import codecs, metrics
from rescale_bench.api.specs import parse_spec, resolve
from rescale_bench.errors import CodecError, UndefinedValueError
from rescale_bench.metrics import bitrate

METRICS = {metric.name: metric for metric in metrics.bitrate_metrics(codecs.rescale_bench_codecs())}
LOOP = {metric.name: metric for metric in bitrate.rescale_bench_metrics()}
LR = np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def measured(text, sample):
    spec = parse_spec(text, "--metrics")
    metric = (METRICS | LOOP)[spec.name]
    options = resolve(spec, metric.options, "--metrics") if metric.options else {}
    return metric.measure(sample, options)


def test_two_for_each_codec():
    names = [codec.name for codec in codecs.rescale_bench_codecs()]
    assert set(METRICS) == {f"bpp_{name}" for name in names} | {f"bpp_lr_{name}" for name in names}
    assert METRICS["bpp_jxl"].pool == "hr-pixels"
    assert METRICS["bpp_lr_jxl"].pool == "lr-pixels"
    assert set(LOOP) == {"bpp", "bpp_lr"}


@pytest.mark.parametrize("scale", [2, 4])
def test_bits_are_those_of_the_encoded_file(scale):
    sample = sample_of(LR, scale)
    size = len(codecs.encode_decode(codecs.PNG, LR, {})[0])
    assert measured("bpp_lr_png", sample) == 8 * size / (20 * 30)
    assert measured("bpp_png", sample) == 8 * size / (20 * 30 * scale**2)


def test_table_of_the_spec(data_root):
    samples = [sample_of(lr, 4) for lr in all_lr(data_root / "Set14", 4)]
    values = {name: [measured(f"bpp_lr_{name}", sample) for sample in samples] for name in ("jp2", "jxl")}
    assert np.mean(values["jp2"]) == pytest.approx(12.62, abs=0.01)
    assert np.mean(values["jxl"]) == pytest.approx(11.28, abs=0.01)
    # Pooled and mean differ by about 0.4 (spec/metrics.md).
    pixels = [sample.lr.shape[1] * sample.lr.shape[2] for sample in samples]
    assert 0.25 < np.mean(values["jp2"]) - np.average(values["jp2"], weights=pixels) < 0.45


def test_car_table_5_is_matched_by_jpeg_2000(data_root):
    bits = [measured("bpp_lr_jp2", sample_of(lr, 2)) for lr in all_lr(data_root / "Set5", 2)]
    assert np.mean(bits) == pytest.approx(11.95, abs=0.01)


def test_options_reach_the_codec():
    sample = sample_of(LR)
    expected = len(codecs.encode_decode(codecs.JPEG, LR, {"quality": 90, "subsampling": "444"})[0])
    assert measured("bpp_lr_jpeg:90,subsampling=444", sample) == 8 * expected / 600
    assert measured("bpp_lr_jpeg:90", sample) < measured("bpp_lr_jpeg:90,subsampling=444", sample)
    assert measured("bpp_lr_webp:50", sample) < measured("bpp_lr_webp", sample)


def test_each_file_is_encoded_once():
    calls = []
    png = codecs.PNG
    counting = dataclasses.replace(png, encode=lambda pixels, options: calls.append(1) or png.encode(pixels, options))
    per_hr, per_lr = metrics.bitrate_metrics([counting])
    sample = sample_of(LR)
    per_hr.measure(sample, {"optimize": False})
    per_lr.measure(sample, {"optimize": False})
    assert len(calls) == 1
    per_lr.measure(sample, {"optimize": True})
    assert len(calls) == 2


def test_a_codec_that_cheats_is_found_out():
    cheat = dataclasses.replace(codecs.PNG, name="cheat", decode=lambda file: LR // 2)
    with pytest.raises(CodecError, match="cheat"):
        metrics.bitrate_metrics([cheat])[0].measure(sample_of(LR), {})


def test_loop_file():
    sample = sample_of(LR, 2, file=b"x" * 75)
    assert measured("bpp_lr", sample) == 1.0
    assert measured("bpp", sample) == 0.25


def test_grey_lr():
    sample = sample_of(LR[:, :, :1])
    assert measured("bpp_lr_png", sample) < measured("bpp_lr_png", sample_of(LR))
    assert measured("bpp_lr_webp", sample) > 0


def test_undefined_without_a_file():
    sample = sample_of(LR, lr_sent=None, file=None)
    for name in ("bpp_png", "bpp_lr_jpeg", "bpp", "bpp_lr"):
        with pytest.raises(UndefinedValueError, match="float LR"):
            measured(name, sample)


def test_every_module_is_found_and_loads_light():
    assert {"psnr_y", "bpp", "piqe_lr", "niqe_lr", "lpips_alex", "pi", "fid", "params"} <= {
        metric.name for metric in metrics.own_metrics()
    }
    code = (
        "import sys, rescale_bench.metrics as m\n"
        "list(m.own_metrics())\n"
        "heavy = ('torch', 'numpy', 'scipy', 'pandas', 'pyiqa', 'lpips', 'PIL')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
