"""Measure what the claims of the papers need with the weights that ship, and write results/claims.md.

    RESCALE_BENCH_DATA=../shared/datasets python results/claims.py [RUNS_FOLDER]

The runs resume, so a second call measures only what is missing. Claims about an architecture alone (parameters,
multiply-accumulates) take random weights of the published sizes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

from rescale_bench.api.registry import load_registry
from rescale_bench.datasets import find_dataset

HERE = Path(__file__).parent
QUALITY = "psnr_y,ssim_lr,piqe_lr,bpp_lr_png"
COST = "params,macs_down,macs_up"
LEARNED = "irn:weights=small,car-edsr,bicubic+edsr-baseline,fgrn,aidn:weights=small"
OLDER = "bicubic,dpid+edsr-baseline,perceptual+edsr-baseline"
BIG = ",".join(
    f"{name}:weights=random"
    for name in ("irn", "fgrn", "car-edsr", "bicubic+edsr", "bicubic+rdn", "bicubic+rcan", "bicubic+san")
)
SIDE = 96
"""Pixels of a crop: enough to count the work of a network, which is the same for every pixel."""
SWEEP = "1.1,1.3,1.5,1.7,1.9,2"
RUNS = (
    ("set5", ("-m", f"{LEARNED},{OLDER}", "-d", "Set5", "-s", "2", "--metrics", QUALITY)),
    ("cost", ("-m", BIG, "-d", "CROPS", "-s", "2,4", "--metrics", COST)),
    ("cost", ("-m", "irn-e:weights=random", "-d", "CROPS", "-s", "4", "--metrics", COST)),
    ("set5", ("-m", f"{LEARNED},{OLDER}", "-d", "Set5", "-s", "4", "--metrics", QUALITY)),
    ("set5", ("-m", "aidn:weights=pilot,irn-type3:weights=pilot", "-d", "Set5", "-s", SWEEP, "--metrics", QUALITY)),
    ("set5", ("-m", "irn:weights=pilot", "-d", "Set5", "-s", "2", "--metrics", QUALITY)),
    ("set5", ("-m", "aidn:weights=pilot", "-d", "Set5", "-s", "2.1,2.5,3,3.4,4", "--metrics", QUALITY)),
    (
        "set5",
        ("-m", "irn:weights=small,bicubic+edsr-baseline,fgrn", "-d", "Set5", "-s", "2", "--metrics", QUALITY,
         "--codecs", "jpeg:75"),
    ),
    (
        "set5",
        ("-m", "irn-type3:weights=small,aidn:weights=small,edsr-baseline-type1", "-d", "Set5", "-s", "1.5,2.5,3,3.4",
         "--metrics", QUALITY),
    ),
    ("set5", ("-m", "irn-type3:weights=small", "-d", "Set5", "-s", "1.9,2,2.1", "--metrics", QUALITY)),
    *(
        ("set5", ("-m", f"irn:z={z},weights=small", "-d", "Set5", "-s", "2", "--metrics", "psnr_y", "--seed", seed))
        for z, seed in (("gaussian", "0"), ("gaussian", "1"), ("zero", "0"), ("gaussian,z_scale=3", "0"))
    ),
    ("set14", ("-m", f"{LEARNED},bicubic", "-d", "Set14", "-s", "2", "--metrics", QUALITY)),
)  # fmt: skip


def crops(folder: Path) -> Path:
    """Cut a square out of the middle of each image of Set5."""
    record, _ = find_dataset("Set5", load_registry().datasets)
    place = folder / "crops"
    place.mkdir(parents=True, exist_ok=True)
    for file in record.images():
        with Image.open(file.path) as image:
            left, top = ((side - SIDE) // 2 for side in image.size)
            image.crop((left, top, left + SIDE, top + SIDE)).save(place / f"{file.name}.png")
    return place


def command(*arguments: str) -> str:
    """Run rescale-bench and return what it prints."""
    program = [sys.executable, "-m", "rescale_bench", *arguments]
    done = subprocess.run(program, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit {done.returncode}")
    return done.stdout


def main(runs: Path) -> None:
    """Run, and write the page."""
    place = str(crops(runs))
    for name, arguments in RUNS:
        words = [place if word == "CROPS" else word for word in arguments]
        command("run", *words, "-o", str(runs / name), "--protocol", "rgb8", "--threads", "1", "-q")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/claims"))
