"""Pictures of how methods work: what they draw is what the methods do."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.cli.main import main
from rescale_bench.errors import UsageError
from rescale_bench.images.files import write_png
from rescale_bench.plots.examples import find_examples
from rescale_bench.plots.filters import Options
from rescale_bench.plots.kinds import VIEWS, view
from rescale_bench.plots.lr_views import plan_lr_difference, plan_spectrum, spectrum
from rescale_bench.runs.folder import Run
from rescale_bench.weights.choice import choose_weights, load_states

REGISTRY = load_registry()


def built(text, scale):
    chosen = REGISTRY.choose_method(parse_spec(text))
    files = choose_weights(chosen, scale, REGISTRY).files
    return chosen.record.build(load_states(files, REGISTRY, False), "cpu", chosen.options)


def picture(height, width):
    y, x = np.mgrid[:height, :width]
    plane = 128 + 90 * np.sin(x / 5 + (y / 19) ** 2)
    return np.stack([plane, plane[::-1], np.full_like(plane, 99) + y], -1).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Keep a run of bicubic and two networks on one picture of 64 × 80."""
    place = tmp_path_factory.mktemp("views")
    (place / "one").mkdir()
    write_png(place / "one" / "waves.png", picture(64, 80))
    words = ["-d", str(place / "one"), "--metrics", "psnr_y", "-o", str(place / "run"), "-q"]
    assert main(["run", "-m", "bicubic,irn:weights=base,car-edsr", "-s", "2", "--keep", *words]) == 0
    assert main(["run", "-m", "aidn", "-s", "1.5,2", *words]) == 0
    return Run(place / "run")


def examples(run, **options):
    return find_examples(run, run.rows(), REGISTRY, Options(**options))


def test_white_noise_has_a_flat_spectrum_of_its_variance_whatever_the_pixel():
    noise = np.random.default_rng(0).normal(0, 3, (128, 160))
    for step in (1.0, 2.0):
        places, powers = spectrum(noise, step)
        assert places[-1] <= 0.5 / step
        assert np.mean(10 ** (powers / 10)) == pytest.approx(9 * step**2, rel=0.05)


def test_a_wave_stands_at_its_frequency():
    plane = 100 * np.sin(2 * np.pi * 0.2 * np.arange(128))[None].repeat(128, 0)
    places, powers = spectrum(plane, 1.0)
    assert places[powers.argmax()] == pytest.approx(0.2, abs=0.011)


def test_kernels_of_car_make_its_lr():
    car = built("car-edsr", 2)
    hr = torch.from_numpy(picture(32, 48)).permute(2, 0, 1)[None].float() / 255
    weights, y, x = car.resampling_kernels(hr, 2.0)
    assert weights.shape == (49, 16, 24)
    row, column = 8, 11  # far from the edges
    places_y, places_x = (row + 0.5) * 2 - 0.5 + y[:, row, column], (column + 0.5) * 2 - 0.5 + x[:, row, column]
    grid = torch.stack([places_x / 47 * 2 - 1, places_y / 31 * 2 - 1], -1)[None, None]
    taps = functional.grid_sample(hr, grid, align_corners=True)[0, :, 0]
    expected = car.downscale(hr, 2.0)[0, :, row, column]
    assert (taps * weights[:, row, column]).sum(1).tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_the_latent_is_drawn_with_a_factor_and_left_out_at_0():
    irn, zero = built("irn:weights=base", 2), built("irn:weights=base,z=zero", 2)
    lr = torch.rand(1, 3, 8, 8)
    assert torch.equal(irn.with_latent(0.0).upscale(lr, 2.0, (16, 16)), zero.upscale(lr, 2.0, (16, 16)))
    torch.manual_seed(1)
    drawn = irn.with_latent(2.0).upscale(lr, 2.0, (16, 16))
    torch.manual_seed(1)
    spec = built("irn:weights=base,z=gaussian,z_scale=2", 2)
    assert torch.equal(drawn, spec.upscale(lr, 2.0, (16, 16)))


def test_routing_of_aidn_adds_up_to_1_and_follows_the_scale():
    aidn = built("aidn", 2)
    near, far = aidn.routing_weights(1.1), aidn.routing_weights(4.0)
    assert len(near) == len(far) >= 2
    for shares in (*near.values(), *far.values()):
        assert float(shares.sum()) == pytest.approx(1, abs=1e-5)
    assert any(not torch.allclose(near[name], far[name], atol=0.01) for name in near)


@pytest.mark.parametrize(
    ("kind", "methods"),
    [("lr-difference", ["irn"]), ("spectrum", ["irn", "bicubic"]), ("z", ["irn"]), ("routing", ["aidn"])],
)
def test_each_kind_is_drawn(run, kind, methods):
    figure = view(kind, run, run.rows(), REGISTRY, methods=methods)
    assert len(figure.axes) >= 1
    assert VIEWS[kind]


def test_a_kept_lr_is_read_and_another_is_made_by_the_same_weights(run):
    (kept,) = examples(run, methods=["car-edsr"])
    assert "rescaler" not in vars(kept)
    lr = kept.lr
    assert "rescaler" not in vars(kept)
    made = find_examples(Run(run.path / "results.parquet"), run.rows(), REGISTRY, Options(methods=["car-edsr"]))[0]
    object.__setattr__(made, "run", Run(run.path.parent / "none.csv"))
    vars(made)["hr"] = kept.hr
    assert torch.equal(made.lr, lr)


def test_the_difference_has_a_row_for_each_method_and_a_column_for_each_scale(run):
    plan = plan_lr_difference(examples(run, methods=["aidn", "car-edsr"]))
    titles = [panel.title.partition(",")[0] for panel in plan.panels]
    assert plan.columns == 2
    assert titles[:2] == ["bicubic LR"] * 2
    assert len(titles) == 6
    assert plan_lr_difference(examples(run, methods=["car-edsr"])).columns == 2  # one scale: one row
    assert [panel.title for panel in plan_spectrum(examples(run, methods=["aidn"])).panels] == ["×1.5", "×2"]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("kernels", {"methods": ["irn"]}, "has no kernels to show"),
        ("z", {"methods": ["irn", "aidn"]}, "shows one method"),
        ("routing", {"methods": ["bicubic"]}, "has no routing"),
        ("spectrum", {"methods": ["bicubic"]}, "nothing to compare"),
        ("z", {"methods": ["irn"], "image": "nobody"}, "unknown image of this run 'nobody': known: waves"),
    ],
)
def test_what_cannot_be_drawn_is_said(run, kind, options, words):
    with pytest.raises(UsageError, match=words):
        view(kind, run, run.rows(), REGISTRY, **options)


def test_the_verb_writes_the_picture(run, tmp_path):
    file = tmp_path / "kernels.png"
    assert main(["plot", str(run.path), "--kind", "kernels", "-m", "car-edsr", "-o", str(file)]) == 0
    assert file.stat().st_size > 1000
