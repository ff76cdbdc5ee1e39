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
RANDOM = ",".join(
    f"{name}:weights=random" for name in ("irn", "fgrn", "car-edsr", "bicubic+edsr", "bicubic+rdn", "bicubic+rcan")
)
SIDE = 96
"""Pixels of a crop: enough to count the work of a network, which is the same for every pixel."""
CROPS = "CROPS"


def asked(methods: str, scales: str, metrics: str = QUALITY, datasets: str = "Set5", **more: str) -> tuple[str, ...]:
    """Write the flags of one run."""
    flags = {"methods": methods, "scales": scales, "metrics": metrics, "datasets": datasets, **more}
    return tuple(word for name, value in flags.items() for word in (f"--{name}", value))


RUNS = (
    ("set5", asked("irn:weights=small,car-edsr,bicubic+edsr-baseline,fgrn,aidn:weights=small,bicubic", "2,4")),
    ("cost", asked(RANDOM, "2,4", COST, CROPS)),
    ("set5", asked("aidn:weights=pilot", "1.1,1.3,1.5,1.7,1.9,2,2.1,2.5,3,3.4,4")),
    ("set5", asked("irn-type3:weights=pilot", "1.1,1.3,1.5,1.7,1.9")),
    ("set5", asked("irn:weights=pilot", "2")),
    ("set5", asked("irn:weights=small,bicubic+edsr-baseline,fgrn", "2", codecs="jpeg:75")),
    ("set5", asked("dpid+edsr-baseline,perceptual+edsr-baseline", "2,4")),
    ("set5", asked("irn:z=gaussian,weights=small", "2", "psnr_y")),
    ("set5", asked("irn:z=gaussian,weights=small", "2", "psnr_y", seed="1")),
    ("set5", asked("irn:z=zero,weights=small", "2", "psnr_y")),
    ("set5", asked("irn:z=gaussian,z_scale=3,weights=small", "2", "psnr_y")),
    ("set5", asked("irn-type3:weights=small", "1.9,2,2.1")),
    ("set5", asked("irn-type3:weights=small,edsr-baseline-type1", "1.5,2.5,3.4")),
    ("set5", asked("irn-type3:weights=small,aidn:weights=small", "3")),
    ("cost", asked("irn-e:weights=random", "4", COST, CROPS)),
    ("set14", asked("irn:weights=small,car-edsr,bicubic+edsr-baseline", "2", "psnr_y", "Set14")),
    ("set14", asked("irn:weights=pilot,aidn:weights=pilot", "2", "psnr_y", "Set14")),
)


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
        words = [place if word == CROPS else word for word in arguments]
        command("run", *words, "-o", str(runs / name), "--protocol", "rgb8", "--threads", "1", "-q")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/claims"))
