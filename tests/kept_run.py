"""A small run folder with kept outputs, written by the store itself; pictures and scores are made up."""

import numpy as np

from rescale_bench.cli import main
from rescale_bench.images.files import write_png
from rescale_bench.runs.schema import SCHEMA
from rescale_bench.runs.store import Store

ABOUT = {
    "psnr_y": {"direction": "up", "unit": "dB", "decimals": 2, "pool": "mean", "repeatable": True},
    "piqe_lr": {"direction": "down", "unit": "", "decimals": 1, "pool": "mean", "repeatable": True},
}
METHODS = ("nearest", "bicubic", "lanczos3")
HOSTILE = ('<img src=x onerror="document.title=1">', "</script><script>document.title=2</script>", "<!--<script>")
BASE = {"nearest": 26.0, "bicubic": 29.5, "lanczos3": 30.25, "random-net": 9.0}
COMMAND = "rescale-bench run -m nearest,bicubic,lanczos3 -s 2,3 --keep"


def picture(seed, side=160):
    """A smooth ramp, with noise in one square: there every method fails most."""
    generator = np.random.default_rng(seed)
    ramp = np.linspace(20, 220, side)[:, None] + np.linspace(0, 30, side)[None, :]
    pixels = np.repeat(np.clip(ramp, 0, 255)[:, :, None], 3, axis=2).astype(np.uint8)
    pixels[40:100, 30:90] = generator.integers(0, 256, (60, 60, 3))
    return pixels


def line(index, method, image, scale, **changes):
    value = BASE.get(method, 20.0) - 2 * (float(scale) - 2) + 0.5 * (index % 3)
    values = {
        "psnr_y": {"status": "ok", "version": "own/1", "value": value},
        "piqe_lr": {"status": "ok", "version": "own/1", "value": 40.0 - value / 10},
    }
    base = {
        "schema": SCHEMA, "cell": f"{index:024x}", "method": method, "options": "", "weights": "", "weights_sha256": "",
        "dataset": "photos", "image": image, "image_sha256": "0" * 64, "scale": scale, "codec": "png",
        "protocol": "rgb8", "protocol_version": 1, "seed": 0, "tile": "", "dtype": "float32", "native": True,
        "status": "ok", "error": "", "seconds": 0.1, "peak_mb": 1.0, "height": 160, "width": 160,
        "lr_height": 80, "lr_width": 80, "values": values,
    }  # fmt: skip
    return {**base, **changes}


def failed(entry, error):
    values = {
        name: {**value, "status": "failed", "value": None, "error": error} for name, value in entry["values"].items()
    }
    return {**entry, "status": "failed", "error": error, "values": values}


def make_run(folder, images=("one", "two"), scales=("2", "3"), methods=METHODS, keep=True, extra=(), **changes):
    """Write a run; extra: more journal lines. Returns the folder."""
    with Store(folder) as store:
        store.write_about({"asked": {"methods": ",".join(methods)}, "history": [COMMAND], "metrics": ABOUT})
        store.write_environment({"python": "3.11", "cpu": "<b>fast</b>", "packages": {"torch": "2.4"}, "commit": "abc"})
        index = 0
        for place, image in enumerate(images):
            hr = picture(place)
            for scale in scales:
                for method in methods:
                    index += 1
                    entry = line(index, method, image, scale, **changes)
                    store.append(entry)
                    if keep:
                        keep_pictures(folder / "outputs", entry["cell"], hr, round(float(scale)), METHODS.index(method))
        for entry in extra:
            store.append(entry)
    return folder


def keep_pictures(outputs, cell, hr, scale, strength):
    """Store HR, LR, and an HR of which every pixel is off: by repetition of LR pixels, and by the method's strength."""
    outputs.mkdir(exist_ok=True)
    lr = hr[::scale, ::scale]
    sr = np.repeat(np.repeat(lr, scale, axis=0), scale, axis=1)[: hr.shape[0], : hr.shape[1]]
    sr = np.clip(sr.astype(int) + strength, 0, 255).astype(np.uint8)
    for name, pixels in (("hr", hr), ("lr", lr), ("sr", sr)):
        write_png(outputs / f"{cell}-{name}.png", pixels)


def measured_run(folder):
    """Measure two methods on two images of somebody's own folder, `mine`, pictures kept. Returns the run's folder."""
    (folder / "mine").mkdir()
    for number in range(2):
        write_png(folder / "mine" / f"image{number}.png", picture(number))
    asked = ["-m", "nearest,bicubic", "-d", str(folder / "mine"), "-s", "2", "--metrics", "psnr_y", "--keep", "-q"]
    assert main(["run", *asked, "-o", str(folder / "run")]) == 0
    return folder / "run"
