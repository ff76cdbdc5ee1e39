"""SAIN against arrays recorded from the published implementation, and its own promises."""

import subprocess
import sys
from dataclasses import replace

import few_steps
import pytest
import torch
from published_files import as_parallel, batches, build, difference, load_case, write_and_import
from rescale_bench_plugins import sain
from rescale_bench_plugins.sain.network import LAYOUTS, Mixture, Sain, load_network
from rescale_bench_plugins.sain.training import drawn

from rescale_bench.api.records import State
from rescale_bench.errors import WeightsError
from rescale_bench.networks.loading import parameter_count
from rescale_bench.networks.quantise import quantise
from rescale_bench.training.jpeg_layer import compress

(METHOD,) = sain.rescale_bench_methods()
TOLERANCE = 5e-5
TINY = "layout.enhanced=2,layout.plain=1,layout.growth=4"


def narrow(part, growth=4, seed=0, **metadata):
    """Make a random state with fewer channels and blocks, whose blocks do something."""
    network = Sain(replace(LAYOUTS[part], growth=growth, enhanced=2, plain=1))
    generator = torch.Generator().manual_seed(seed)
    network.initialise(generator)
    for key, parameter in network.named_parameters():
        if "conv5.weight" in key:
            torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    with torch.no_grad():
        network.gmm.gmm_para += 0.3
    return State({key: tensor.detach() for key, tensor in network.state_dict().items()}, metadata)


@pytest.mark.parametrize("part", LAYOUTS)
def test_equals_the_published_implementation(parity_root, tmp_path, part):
    case, tensors, arrays = load_case(parity_root, f"sain_{part}")
    arrays = batches(arrays)
    scale = case["scale"]
    write_and_import(tmp_path, "sain", part, as_parallel(tensors), f"SAIN{part}_JPEG.pth")
    rescaler = build("sain:z=zero", scale)
    lr = rescaler.downscale(arrays["hr"], scale)
    assert difference(lr, arrays["lr"]) < TOLERANCE
    restored = rescaler.upscale(quantise(lr), scale, arrays["hr"].shape[-2:])
    assert difference(restored, arrays["hr_z0"]) < TOLERANCE
    with torch.inference_mode():
        sent = rescaler.network(arrays["hr"])
        hr, back = rescaler.network.inverse(quantise(sent.lr), arrays["z"])
    for found, name in ((sent.lr, "lr"), (sent.compressed, "lr_compressed"), (sent.latent, "latent")):
        assert difference(found, arrays[name]) < TOLERANCE
    assert difference(hr, arrays["hr_z"]) < TOLERANCE
    assert difference(back, arrays["lr_back"]) < TOLERANCE


@pytest.mark.parametrize(("part", "entries", "count"), [("x2", 292, 2_015_485), ("x4", 583, 6_494_003)])
def test_counts_of_the_specification(part, entries, count):
    state = METHOD.initial(part, 0)
    assert len(state.tensors) == entries
    assert parameter_count(load_network(state.tensors, LAYOUTS[part], part)) == count == METHOD.parameters[part]


def test_network_inverts_and_restores_its_own_simulation():
    network = load_network(narrow("x4").tensors, LAYOUTS["x4"], "x4")
    hr = torch.rand(2, 3, 16, 24)
    with torch.inference_mode():
        sent = network(hr)
        restored, back = network.inverse(sent.compressed, sent.latent)
        torch.testing.assert_close(network.downscale(hr), sent.lr, atol=1e-6, rtol=0)
    torch.testing.assert_close(restored, hr, atol=1e-5, rtol=0)
    torch.testing.assert_close(back, sent.lr, atol=1e-5, rtol=0)
    assert (sent.lr - sent.compressed).abs().max() > 1e-3


def test_a_fresh_network_averages_blocks():
    hr = torch.rand(1, 3, 12, 20)
    rescaler = METHOD.build({"x4": METHOD.initial("x4", 1)}, "cpu", {})
    expected = torch.nn.functional.avg_pool2d(hr, 4)
    torch.testing.assert_close(rescaler.downscale(hr, 4), expected, atol=1e-6, rtol=0)


def test_the_drawn_latent_follows_the_mixture():
    mixture = Mixture(3)
    with torch.no_grad():
        mixture.gmm_para.copy_(torch.tensor([[0.0, 1.0, 0.5], [-2.0, 0.0, 3.0], [-4.0, -30.0, 0.0]]))
        torch.manual_seed(0)
        drawn = mixture.draw(torch.Size((2, 5, 100, 200)))
    shares = torch.tensor([0.0, 1.0, 0.5]).softmax(0)
    assert mixture.mean().item() == pytest.approx(float(-2 * shares[0] + 3 * shares[2]), rel=1e-5)
    assert drawn.mean().item() == pytest.approx(mixture.mean().item(), abs=0.02)
    # The second Gaussian's log-variance counts as −20: its share of the values lies within 1e-3 of 0.
    assert float((drawn.abs() < 1e-3).float().mean()) == pytest.approx(float(shares[1]), abs=0.01)
    low = drawn[drawn < -1.2]
    assert low.std().item() == pytest.approx(float(torch.tensor(-4.0 / 2).exp()), rel=0.05)


def test_options_choose_the_latent():
    state, lr = narrow("x2"), torch.rand(1, 3, 8, 8)

    def upscale(seed, state=state, **options):
        torch.manual_seed(seed)
        return METHOD.build({"x2": state}, "cpu", options).upscale(lr, 2, (16, 16))

    assert torch.equal(upscale(1), upscale(1, z="mixture"))
    assert not torch.equal(upscale(1), upscale(2))
    assert torch.equal(upscale(1, z="mean"), upscale(2, z="mean"))
    assert torch.equal(upscale(1, state=narrow("x2", z="mean")), upscale(1, z="mean"))
    zero = load_network(state.tensors, LAYOUTS["x2"], "x2").inverse(lr, torch.zeros(1, 9, 8, 8))[0]
    torch.testing.assert_close(upscale(1, z="zero"), zero, atol=1e-6, rtol=0)
    assert not torch.allclose(upscale(1, z="mean"), zero, atol=1e-4)
    with pytest.raises(WeightsError, match="the metadata say z=blue"):
        upscale(1, state=narrow("x2", z="blue"))


def test_margin_covers_what_is_seen():
    state, options = narrow("x2"), {"z": "zero"}
    margin = METHOD.build_margin({"x2": state}, options)
    assert margin == 2 * 5 * 3
    assert METHOD.build_margin({"x2": state}, {"z": "learned"}) is None
    rescaler = METHOD.build({"x2": state}, "cpu", options)
    lr = torch.rand(1, 3, 4, margin + 20)
    changed = lr.clone()
    changed[..., 0] = 1 - changed[..., 0]
    size = (8, 2 * lr.shape[-1])
    seen = (rescaler.upscale(lr, 2, size) - rescaler.upscale(changed, 2, size)).abs().amax((0, 1, 2))
    assert seen[:2].max() > 0
    assert seen[2 * (margin + 1) :].max() == 0


def test_wrong_weights_are_described():
    good = dict(narrow("x2").tensors)
    with pytest.raises(WeightsError, match="sain x4: the weights are for scale 2"):
        METHOD.build({"x4": State(good)}, "cpu", {})
    lacking = {key: value for key, value in good.items() if key != "down_operations.1.E.conv2.bias"}
    with pytest.raises(WeightsError, match=r"1 missing: down_operations\.1\.E\.conv2\.bias"):
        METHOD.build({"x2": State(lacking)}, "cpu", {})
    with pytest.raises(WeightsError, match=r"haar_operations\.0\.haar_weights are not the Haar signs"):
        METHOD.build({"x2": State({**good, "haar_operations.0.haar_weights": torch.ones(12, 1, 2, 2)})}, "cpu", {})
    with pytest.raises(WeightsError, match="sain: no weights given"):
        METHOD.build({}, "cpu", {})
    with pytest.raises(WeightsError, match="no part 'x3'"):
        METHOD.initial("x3", 0)


def test_a_fresh_learner_in_closed_form():
    """At the start every block is the identity: m, l and the m met on the way back are the block mean."""
    recipe = few_steps.small_recipe(METHOD, "x2", TINY)
    given = few_steps.smooth_batch("2")
    terms = recipe.learner(recipe, {}, 0).terms(given, "model")
    mean = torch.nn.functional.avg_pool2d(given.hr, 2)
    assert terms["guidance"].item() == pytest.approx((mean - given.lr).square().sum().item() / 2, rel=1e-4)
    lossy = compress(given.lr, 75)
    assert terms["compressed_guidance"].item() == pytest.approx((mean - lossy).square().sum().item() / 2, rel=1e-4)
    rounded = mean.mul(255).round().div(255)
    simulated = (mean - compress(rounded, 75)).square().sum().item() / 2
    assert terms["simulation"].item() == pytest.approx(simulated, rel=1e-2)  # ties of rounding
    assert {name: recipe.losses[name] for name in terms} == {
        "reconstruction": 1.0, "guidance": 1.0, "compressed_guidance": 1.0, "simulation": 1.0, "return": 1.0,
    }  # fmt: skip
    paper = few_steps.small_recipe(METHOD, "x4", "", "paper")
    assert paper.losses["return"] == 4.0  # λ/4, λ = s²


@pytest.mark.parametrize(("part", "latent"), [("x2", "mean"), ("x2", "mixture"), ("x4", "mean")])
def test_a_few_steps_lower_the_loss(part, latent):
    recipe = few_steps.small_recipe(METHOD, part, f"{TINY},settings.z={latent}")
    found, learner = few_steps.losses(recipe)
    assert found[-1] < 0.95 * found[0]
    state = learner.states()[part]
    assert state.metadata == {"z": latent}
    assert state.tensors["gmm.gmm_para"].grad_fn is None
    METHOD.build({part: state}, "cpu", {}).downscale(torch.rand(1, 3, 8, 8), float(part[1:]))


def test_a_drawn_latent_lets_gradients_reach_the_whole_mixture():
    mixture = Mixture(4)
    mixture.initialise(torch.Generator())
    latent = drawn(mixture, torch.empty(1, 2, 30, 30), few_steps.smooth_batch("2"))
    ((latent - 0.5) ** 2).mean().backward()
    assert (mixture.gmm_para.grad.abs() > 0).all()


def test_record():
    files = {(file.tag, file.part): file.file for file in METHOD.weights}
    assert files == {
        ("published", "x2"): "SAINx2_JPEG.pth",
        ("published", "x4"): "SAINx4_JPEG.pth",
        ("published-webp", "x2"): "SAINx2_WebP.pth",
    }
    assert all(file.licence == "Apache-2.0" for file in METHOD.weights)
    assert METHOD.codec == "jpeg:75"


def test_listing_imports_no_torch():
    code = (
        "import sys, rescale_bench_plugins.sain as p; list(p.rescale_bench_methods());sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
