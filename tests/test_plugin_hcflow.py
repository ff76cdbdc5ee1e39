"""HCFlow against arrays recorded from the published implementation, and its own promises."""

import subprocess
import sys

import few_steps
import pytest
import torch
from published_files import as_parallel, batches, build, difference, load_case, write_and_import
from rescale_bench_plugins import hcflow
from rescale_bench_plugins.hcflow.layers import ActNorm, Permutation
from rescale_bench_plugins.hcflow.network import HcFlow, Layout, load_network

from rescale_bench.api.records import State
from rescale_bench.errors import WeightsError
from rescale_bench.networks.loading import parameter_count
from rescale_bench.networks.quantise import quantise
from rescale_bench.training.learner import MODEL

(METHOD,) = hcflow.rescale_bench_methods()
TOLERANCE = 2e-5
SMALL = Layout(steps=2, conditional=2, blocks=2, channels=6, growth=4, condition_growth=3)
TINY = ",".join(f"layout.{key}={value}" for key, value in vars(SMALL).items())


def small(**metadata):
    """Make a random state with few layers, all of which do something."""
    network = HcFlow(SMALL)
    generator = torch.Generator().manual_seed(0)
    network.initialise(generator)
    for key, parameter in network.named_parameters():
        if "haar" not in key and "permute" not in key:
            with torch.no_grad():
                parameter.add_(0.03 * torch.randn(parameter.shape, generator=generator))
    return State({key: tensor.detach() for key, tensor in network.state_dict().items()}, metadata)


def test_equals_the_published_implementation(parity_root, tmp_path):
    _, tensors, arrays = load_case(parity_root, "hcflow_x4")
    arrays = batches(arrays)
    write_and_import(tmp_path, "hcflow", "x4", as_parallel(tensors), METHOD.weights[0].file)
    rescaler = build("hcflow:heat=0", 4)
    lr = rescaler.downscale(arrays["hr"], 4)
    assert difference(lr, arrays["lr"]) < TOLERANCE
    restored = rescaler.upscale(quantise(lr), 4, arrays["hr"].shape[-2:])
    assert difference(restored, arrays["hr_z0"]) < TOLERANCE
    with torch.inference_mode():
        found = rescaler.network(arrays["hr"])
        with_noise = rescaler.network.inverse(quantise(found.lr), arrays["eps1"], arrays["eps2"])
    for tensor, name in ((found.lr, "lr"), (found.first, "z1"), (found.second, "z2"), (with_noise, "hr_z")):
        assert difference(tensor, arrays[name]) < TOLERANCE


def test_counts_of_the_specification():
    state = METHOD.initial("x4", 0)
    network = load_network(state.tensors, "hcflow")
    assert network.layout == Layout()
    assert len(state.tensors) == 532
    assert parameter_count(network) == METHOD.parameters["x4"] == 4_396_350
    again = METHOD.initial("x4", 0).tensors
    assert all(torch.equal(again[key], value) for key, value in state.tensors.items())
    with pytest.raises(WeightsError, match="no part 'x2'"):
        METHOD.initial("x2", 0)


def test_the_flow_inverts_with_its_own_latents():
    network = load_network(small().tensors, "hcflow")
    assert network.layout == SMALL
    hr = torch.rand(2, 3, 16, 24)
    with torch.inference_mode():
        found = network(hr)
        restored = network.inverse(found.lr, found.first, found.second)
        torch.testing.assert_close(network.downscale(hr), found.lr, atol=1e-6, rtol=0)
    torch.testing.assert_close(restored, hr, atol=1e-5, rtol=0)
    assert found.first.std() > 0.01
    assert found.second.std() > 0.01


def test_a_fresh_network_averages_blocks():
    hr = torch.rand(1, 3, 12, 20)
    rescaler = METHOD.build({"x4": METHOD.initial("x4", 1)}, "cpu", {"heat": 0.0})
    mean = torch.nn.functional.avg_pool2d(hr, 4)
    torch.testing.assert_close(rescaler.downscale(hr, 4), mean, atol=1e-6, rtol=0)
    repeated = mean.repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(rescaler.upscale(mean, 4, (12, 20)), repeated, atol=1e-6, rtol=0)


def test_act_norm_is_never_initialised_from_data():
    """The authors' would overwrite its weights with the statistics of the first batch in training mode."""
    norm = ActNorm(4).train()
    with torch.no_grad():
        norm.bias += 0.5
        norm.logs -= 1
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    x = 3 + 5 * torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(norm(x), (x + 0.5) * torch.exp(torch.tensor(-1.0)))
    torch.testing.assert_close(norm.inverse(norm(x)), x, atol=1e-5, rtol=0)
    assert all(torch.equal(before[key], value) for key, value in norm.state_dict().items())


def test_noise_options_and_the_order_of_draws():
    state, lr, size = small(), torch.rand(1, 3, 6, 7), (24, 28)

    def upscale(seed, state=state, **options):
        torch.manual_seed(seed)
        return METHOD.build({"x4": state}, "cpu", options).upscale(lr, 4, size)

    network = load_network(state.tensors, "hcflow")
    generator = torch.Generator().manual_seed(3)
    second = 0.5 * torch.randn(1, 21, 6, 7, generator=generator)
    first = 0.5 * torch.randn(1, 6, 12, 14, generator=generator)
    with torch.inference_mode():
        expected = network.inverse(lr, first, second)
    assert torch.equal(upscale(3, heat=0.5), expected)
    assert not torch.equal(upscale(1), upscale(2))
    assert torch.equal(upscale(1, heat=0.0), upscale(2, z="zero"))
    assert torch.equal(upscale(1, state=small(z="zero")), upscale(2, heat=0.0))


def test_margin_covers_what_is_seen():
    state, options = small(), {"heat": 0.0}
    margin = METHOD.build_margin({"x4": state}, options)
    assert margin == SMALL.margin == 71  # (2 + 30 + 1 + 4 + 10) + half of it, rounded up
    assert METHOD.build_margin({"x4": state}, {}) is None
    assert Layout().margin == 150
    rescaler = METHOD.build({"x4": state}, "cpu", options)
    lr = torch.rand(1, 3, 2, margin + 10)
    changed = lr.clone()
    changed[..., 0] = 1 - changed[..., 0]
    size = (8, 4 * lr.shape[-1])
    seen = (rescaler.upscale(lr, 4, size) - rescaler.upscale(changed, 4, size)).abs().amax((0, 1, 2))
    assert seen[:4].max() > 0
    assert seen[4 * (margin + 1) :].max() == 0
    hr = torch.rand(1, 3, 8, 4 * (margin + 10))
    other = hr.clone()
    other[..., :4] = 1 - other[..., :4]
    seen = (rescaler.downscale(hr, 4) - rescaler.downscale(other, 4)).abs().amax((0, 1, 2))
    assert seen[margin + 1 :].max() == 0


def test_a_rotation_is_drawn_and_undone():
    permutation = Permutation(21)
    permutation.initialise(torch.Generator().manual_seed(0))
    torch.testing.assert_close(permutation.weight @ permutation.weight.T, torch.eye(21), atol=1e-5, rtol=0)
    x = torch.randn(1, 21, 3, 3)
    torch.testing.assert_close(permutation.inverse(permutation(x)), x, atol=1e-5, rtol=1e-5)


def test_wrong_weights_are_described():
    tensors = dict(small().tensors)
    del tensors["flow.level0_condFlow.f.logs"]
    with pytest.raises(WeightsError, match=r"hcflow x4: .*1 missing: flow\.level0_condFlow\.f\.logs"):
        METHOD.build({"x4": State(tensors)}, "cpu", {})
    with pytest.raises(WeightsError, match=r"missing: flow\.layers\.0\.haar_weights"):
        METHOD.build({"x4": State({"conv.weight": torch.zeros(1)})}, "cpu", {})
    with pytest.raises(WeightsError, match="part x4 are missing"):
        METHOD.build({}, "cpu", {})


@pytest.mark.parametrize("latent", ["zero", "gaussian"])
def test_a_few_steps_lower_the_loss(latent):
    recipe = few_steps.small_recipe(METHOD, "x4", f"{TINY},settings.z={latent}")
    found, learner = few_steps.losses(recipe)
    assert found[-1] < 0.97 * found[0]
    state = learner.states()["x4"]
    assert state.metadata == {"z": latent}
    METHOD.build({"x4": state}, "cpu", {}).downscale(torch.rand(1, 3, 8, 8), 4.0)


def test_terms_that_are_not_finite_are_left_out_and_gradients_clipped():
    recipe = few_steps.small_recipe(METHOD, "x4", TINY)
    learner = recipe.learner(recipe, {}, 0)
    given = few_steps.smooth_batch("4")
    whole = learner.terms(given, MODEL)
    assert set(whole) == {"reconstruction", "guidance", "latent"}
    (1e6 * whole["reconstruction"]).backward()
    assert max(float(p.grad.abs().max()) for p in learner.module.parameters() if p.grad is not None) == 5.0
    with torch.no_grad():
        learner.network.flow.level0_condFlow.f.logs.fill_(60.0)  # exp(180) is infinite, and so is z
        learner.network.flow.level0_condFlow.f.bias.fill_(1.0)
    assert set(learner.terms(given, MODEL)) == {"guidance"}


def test_record():
    (file,) = METHOD.weights
    assert (file.file, file.part, file.licence) == ("Rescaling_DF2K_X4_HCFlow.pth", "x4", "Apache-2.0")
    paper = few_steps.small_recipe(METHOD, "x4", "", "paper")
    assert paper.losses == {"reconstruction": 1.0, "guidance": 0.05, "latent": 1e-5}
    assert Layout(**paper.layout) == Layout()


def test_listing_imports_no_torch():
    code = (
        "import sys, rescale_bench_plugins.hcflow as p; list(p.rescale_bench_methods());"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
