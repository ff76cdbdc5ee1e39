"""The weights that ship: where they came from, how large they are, which are taken, that they beat bicubic."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from rescale_bench.api.registry import load_registry
from rescale_bench.cli import main
from rescale_bench.runs.folder import read_table
from rescale_bench.training.recipe import choose_recipe
from rescale_bench.weights.choice import training_seconds
from rescale_bench.weights.stored import available

PLUGINS = Path(__file__).parents[1] / "plugins"
REGISTRY = load_registry()
SHIPPED = [
    (method.name, listed)
    for method in REGISTRY.methods.values()
    if method.shipped is not None
    for listed in available(method.name, method.shipped)
    if PLUGINS in listed.path.parents
]
FACTS = ("recipe", "data", "steps", "images_seen", "seconds", "clock", "hardware", "commit", "scores", "seed", "torch")


def test_every_system_ships_weights_within_40_mib():
    names = {(name, listed.part) for name, listed in SHIPPED}
    assert {("irn", "x2"), ("irn", "x4"), ("irn-ld", "x3"), ("fgrn", "x2"), ("fgrn", "x4"), ("aidn", "any")} <= names
    assert {("car-edsr", f"{network}-x{scale}") for network in ("kgn", "usn") for scale in (2, 4)} <= names
    assert sum(path.stat().st_size for path in PLUGINS.rglob("*.safetensors")) <= 40 * 2**20


MINUTES = {
    "aidn": 51, "edsr-baseline x2": 52, "fgrn x2": 52, "fgrn x4": 38, "edsr-baseline x3": 26, "irn-ld": 26,
    "car-edsr": 8,
}  # fmt: skip
"""CPU minutes of a system, or of its network for a scale, where they are not 42; CAR's follow those of its EDSR."""


@pytest.mark.parametrize(
    ("name", "listed"), SHIPPED, ids=[f"{name}-{listed.part}-{listed.tag}" for name, listed in SHIPPED]
)
def test_provenance_and_budget(name, listed):
    facts = listed.metadata
    assert not [key for key in FACTS if not facts.get(key)]
    assert facts["method"] == name
    assert facts["clock"] == "cpu"
    assert facts["tag"] == listed.tag == "base"
    minutes = MINUTES.get(f"{name} {listed.part}", MINUTES.get(name, 42))
    assert float(facts["seconds"]) == pytest.approx(minutes * 60, abs=15)
    assert json.loads(facts["data"]).keys() == {"BSDS400", "SunHays80"}
    assert re.match(r"[0-9a-f]{40}", facts["commit"])


MARGINS = {
    "2": {"irn": 6, "fgrn": 6, "car-edsr": 2, "aidn": 4.5},
    "4": {"irn": 4, "fgrn": 4, "car-edsr": 1.2, "aidn": 2.5},
}
"""What the shipped weights must beat bicubic by in dB, somewhat below what they reach on this picture."""


@pytest.mark.parametrize(
    ("name", "listed"), SHIPPED, ids=[f"{name}-{listed.part}-{listed.tag}" for name, listed in SHIPPED]
)
def test_the_recipe_base_is_the_one_they_were_made_with(name, listed):
    part = listed.part.removeprefix("kgn-").removeprefix("usn-")
    known = json.loads(choose_recipe(REGISTRY.method(name), "base", part).json())
    used = json.loads(listed.metadata["recipe"])
    used["layout"] = known["layout"] | used["layout"]  # some parts of a layout got their names later
    texts = {key: known[key] for key in ("name", "summary", "source")}
    assert used | texts == known


def test_time_counts_the_weights_that_a_training_began_with():
    minutes = {
        listed.part: round(training_seconds(listed.path, REGISTRY) / 60)
        for name, listed in SHIPPED
        if name == "car-edsr"
    }
    assert minutes == {"kgn-x2": 60, "usn-x2": 60, "kgn-x4": 50, "usn-x4": 50}


@pytest.mark.parametrize("scale", MARGINS)
def test_learned_pairs_beat_bicubic(data_root, tmp_path, scale):
    margins = MARGINS[scale]
    (tmp_path / "birds").mkdir()
    Image.open(data_root / "Set5" / "bird.png").crop((96, 56, 192, 152)).save(tmp_path / "birds" / "head.png")
    methods = ",".join(["bicubic", *margins])
    arguments = ["run", "-m", methods, "-d", str(tmp_path / "birds"), "-s", scale, "--metrics", "psnr_y"]
    assert main([*arguments, "-o", str(tmp_path / "run"), "-q"]) == 0
    reached = read_table(tmp_path / "run").set_index("method")["value"]
    for name, margin in margins.items():
        assert reached[name] > reached["bicubic"] + margin, name
