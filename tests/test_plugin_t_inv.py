"""T-IRN and T-SAIN against arrays recorded from the published implementation, and their own promises."""

import subprocess
import sys
from dataclasses import replace

import few_steps
import pytest
import torch
from published_files import as_parallel, batches, build, difference, load_case, write_and_import
from rescale_bench_plugins import t_inv
from rescale_bench_plugins.t_inv.network import Branches, Layout, TriBranchBlock, TriBranchNetwork, load_network
from rescale_bench_plugins.t_inv.rescaler import LAYOUTS

from rescale_bench.api.records import State
from rescale_bench.errors import WeightsError
from rescale_bench.networks.loading import parameter_count
from rescale_bench.networks.quantise import quantise

METHODS = {method.name: method for method in t_inv.rescale_bench_methods()}
PARTS = [(name, part) for name, parts in LAYOUTS.items() for part in parts]
TOLERANCE = 2e-5


def stir(network, seed=0):
    """Let the blocks of a fresh network do something."""
    generator = torch.Generator().manual_seed(seed)
    network.initialise(generator)
    for key, parameter in network.named_parameters():
        if "conv5.weight" in key:
            torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    return network


def narrow(name, part):
    network = stir(TriBranchNetwork(replace(LAYOUTS[name][part], growth=4, first=1)))
    return State({key: tensor.detach() for key, tensor in network.state_dict().items()})


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_equals_the_published_implementation(parity_root, tmp_path, name, part):
    case, tensors, arrays = load_case(parity_root, f"{name.replace('-', '')}_{part}")
    arrays = batches(arrays)
    scale = case["scale"]
    (file,) = (file.file for file in METHODS[name].weights if file.part == part)
    write_and_import(tmp_path, name, part, as_parallel(tensors), file)
    rescaler = build(name, scale)
    lr = rescaler.downscale(arrays["hr"], scale)
    assert difference(lr, arrays["lr"]) < TOLERANCE
    restored = rescaler.upscale(quantise(lr), scale, arrays["hr"].shape[-2:])
    assert difference(restored, arrays["hr_z0"]) < TOLERANCE
    with torch.inference_mode():
        sent = rescaler.network(arrays["hr"])
        with_z, _ = rescaler.network.inverse(quantise(sent.lr), arrays["z"])
        _, back = rescaler.network.inverse(quantise(sent.lr), torch.zeros_like(arrays["z"]))
    assert difference(torch.cat(sent.latent, 1), arrays["latent"]) < TOLERANCE
    assert difference(with_z, arrays["hr_z"]) < TOLERANCE
    if name == "t-sain":
        assert difference(sent.compressed, arrays["lr_compressed"]) < TOLERANCE
        assert difference(back, arrays["lr_back"]) < TOLERANCE


COUNTS = {
    ("t-irn", "x2"): (241, 1_571_109),
    ("t-irn", "x4"): (562, 4_673_617),
    ("t-sain", "x2"): (321, 2_094_796),
    ("t-sain", "x4"): (642, 5_449_196),
}


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_counts_of_the_specification(name, part):
    state = METHODS[name].initial(part, 0)
    count = parameter_count(load_network(state.tensors, LAYOUTS[name][part], part))
    assert (len(state.tensors), count) == COUNTS[name, part]
    assert METHODS[name].parameters[part] == count


def test_a_block_inverts():
    block = stir(TriBranchBlock(9, 4))
    given = Branches(torch.rand(2, 2, 6, 7), torch.randn(2, 9, 6, 7), torch.rand(2, 1, 6, 7))
    with torch.no_grad():
        back = block.inverse(block(given))
    for found, expected in zip(back, given, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_fresh_network_averages_and_repeats_blocks(name, part):
    method, scale = METHODS[name], int(part[1:])
    rescaler = method.build({part: method.initial(part, 1)}, "cpu", {})
    hr = torch.rand(1, 3, 12, 20)
    mean = torch.nn.functional.avg_pool2d(hr, scale)
    torch.testing.assert_close(rescaler.downscale(hr, scale), mean, atol=2e-6, rtol=0)
    restored = rescaler.upscale(mean, scale, (12, 20))
    torch.testing.assert_close(
        restored, mean.repeat_interleave(scale, 2).repeat_interleave(scale, 3), atol=5e-6, rtol=0
    )


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_margin_covers_what_is_seen(name, part):
    method, state, scale = METHODS[name], narrow(name, part), int(part[1:])
    margin = method.build_margin({part: state}, {})
    rescaler = method.build({part: state}, "cpu", {})
    lr = torch.rand(1, 3, 2, margin + 24)
    changed = lr.clone()
    changed[..., 0] = 1 - changed[..., 0]
    hr = torch.rand(1, 3, 2 * scale, scale * lr.shape[-1])
    other = hr.clone()
    other[..., :scale] = 1 - other[..., :scale]
    up = [rescaler.upscale(item, scale, hr.shape[-2:]) for item in (lr, changed)]
    down = [rescaler.downscale(item, scale) for item in (hr, other)]
    for (first, second), pixel in ((up, scale), (down, 1)):
        seen = (first - second).abs().amax((0, 1, 2))
        assert seen[:pixel].max() > 0
        assert seen[(margin + 1) * pixel :].max() == 0


def test_margins_of_the_published_layouts():
    assert [LAYOUTS[name][part].margin for name, part in PARTS] == [45, 83, 60, 98]


def test_wrong_weights_are_described():
    with pytest.raises(WeightsError, match=r"t-irn x2: the weights hold 1 \+ 4 blocks and 0 .* not 3 blocks and 0"):
        METHODS["t-irn"].build({"x2": narrow("t-irn", "x4")}, "cpu", {})
    with pytest.raises(WeightsError, match=r"the weights hold 1 blocks and 1 for the codec"):
        METHODS["t-irn"].build({"x2": narrow("t-sain", "x2")}, "cpu", {})
    tensors = dict(narrow("t-irn", "x2").tensors)
    del tensors["down_operations.0.K.conv3.bias"]
    with pytest.raises(WeightsError, match=r"1 missing: down_operations\.0\.K\.conv3\.bias"):
        METHODS["t-irn"].build({"x2": State(tensors)}, "cpu", {})
    with pytest.raises(WeightsError, match="t-sain: no weights given"):
        METHODS["t-sain"].build({}, "cpu", {})
    with pytest.raises(WeightsError, match="no part 'x3'"):
        METHODS["t-sain"].initial("x3", 0)


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_few_steps_lower_the_loss(name, part):
    layout = Layout(1, int(part == "x4"), int(name == "t-sain"), 4)
    changes = ",".join(f"layout.{key}={value}" for key, value in vars(layout).items())
    recipe = few_steps.small_recipe(METHODS[name], part, changes)
    found, learner = few_steps.losses(recipe)
    assert found[-1] < 0.95 * found[0]
    state = learner.states()[part]
    METHODS[name].build({part: state}, "cpu", {}).downscale(torch.rand(1, 3, 8, 8), float(part[1:]))


def test_weights_of_the_loss_terms():
    recipe = few_steps.small_recipe(METHODS["t-irn"], "x2", "", "paper")
    assert recipe.losses == {"reconstruction": 1.0, "guidance": 0.25}
    assert (recipe.steps, recipe.schedule.milestones[:2]) == (800_000, (100_000, 200_000))
    recipe = few_steps.small_recipe(METHODS["t-sain"], "x4", "", "paper")
    assert set(recipe.losses.values()) == {1.0, 0.25}
    recipe = few_steps.small_recipe(METHODS["t-irn"], "x4", "", "paper")
    assert (recipe.steps, recipe.schedule.milestones[:2]) == (600_000, (40_000, 80_000))


def test_records():
    files = [file.file for method in METHODS.values() for file in method.weights]
    assert files == ["TIRNx2.pth", "TIRNx4.pth", "TSAINx2.pth", "TSAINx4.pth"]
    assert {file.licence for method in METHODS.values() for file in method.weights} == {"Apache-2.0"}
    assert (METHODS["t-irn"].codec, METHODS["t-sain"].codec) == ("", "jpeg:75")


def test_listing_imports_no_torch():
    code = (
        "import sys, rescale_bench_plugins.t_inv as p; list(p.rescale_bench_methods());sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
