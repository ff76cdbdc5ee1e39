"""What the papers compare their systems with, by name: it trains, its weights load, and `published` knows it."""

import dataclasses
from decimal import Decimal

import few_steps
import pytest
import torch
import toys

from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import lr_size
from rescale_bench.api.specs import parse_spec
from rescale_bench.checks.naming import method_names
from rescale_bench.errors import UnavailableError, UsageError
from rescale_bench.training.recipe import recipes_of
from rescale_bench.weights import stored as weights
from rescale_bench.weights.choice import choose_weights, load_states

REGISTRY = load_registry()
CAR = "layout.early=4,layout.middle=4,layout.width=8,layout.kernel_blocks=1,layout.blocks=1,layout.channels=4"
AIDN = (
    "layout.blocks=2,layout.adaptions=2,layout.width=8,layout.mask_width=4,layout.kernels=2,layout.routing_width=4,"
    "layout.experts=2,layout.reduced=2"
)
IRN, BLOCKS = "layout.growth=4,layout.blocks=1+1", "layout.growth=2"
VARIANTS = {
    ("irn", "x4", "guidance-l1"): IRN,
    ("irn", "x4", "guidance-l1-reconstruction-l2"): IRN,
    ("irn", "x4", "reconstruction-l2"): IRN,
    ("irn", "x4", "no-distribution"): IRN,
    ("irn", "x4", "guidance-1.6"): IRN,
    ("irn", "x4", "guidance-160"): IRN,
    ("irn", "x4", "upscaler"): IRN,
    ("irn", "x4", "blocks-2"): BLOCKS,
    ("irn-du", "x4", "paper"): IRN,
    ("irn-du", "x4", "blocks-1"): BLOCKS,
    ("car-edsr", "x2", "no-tv"): CAR,
    ("car-edsr", "x2", "no-offset-distance"): CAR,
    ("car-edsr", "x4", "no-offsets"): CAR,
    ("aidn", "any", "no-crm"): AIDN,
    ("aidn", "any", "no-content"): AIDN,
    ("fgrn", "x4", "du-none"): "layout.blocks=1,layout.cells=1,layout.channels=4,layout.growth=2",
    ("fgrn", "x4", "du-bic"): "layout.blocks=1,layout.cells=1,layout.channels=4,layout.growth=2",
}


def chosen(method, text=""):
    return REGISTRY.choose_method(parse_spec(f"{method}{text}"))


def shrunk_and_restored(method, states, hr, scale):
    record = chosen(method).record
    options = {option.name: option.default for option in record.options} | {"z": "zero"}
    rescaler = record.build(states, "cpu", options)
    lr = rescaler.downscale(hr, scale)
    return lr, rescaler.upscale(lr.clamp(0, 1).mul(255).round().div(255), scale, tuple(hr.shape[2:]))


@pytest.mark.parametrize(("method", "part", "name"), VARIANTS)
def test_a_variant_trains_and_its_weights_load(method, part, name):
    recipe = few_steps.small_recipe(REGISTRY.methods[method], part, VARIANTS[method, part, name], name)
    if method == "aidn":
        recipe = dataclasses.replace(recipe, scales=("2.3",))
    found, learner = few_steps.losses(recipe, steps=6, side=16 if method != "aidn" else 24)
    assert min(found) < found[0]
    hr, scale = few_steps.smooth_batch("2").hr[:1], float(recipe.scales[0])
    lr, restored = shrunk_and_restored(method, learner.states(), hr, scale)
    assert lr.shape[2] == -(-32 // scale)
    assert restored.shape == hr.shape


def test_published_names_the_variants_by_what_their_recipes_write():
    tags = {(name.spec.rpartition("+")[2], name.weights) for name in method_names() if name.weights}
    known = {(method, recipe.name) for method in {spec for spec, _ in tags if "@" not in spec}
             for recipe in recipes_of(REGISTRY.methods[method])}  # fmt: skip
    assert {entry for entry in tags if "@" not in entry[0]} <= known
    assert {("irn", "upscaler"), ("irn-du", "paper"), ("aidn", "no-crm"), ("fgrn", "du-bic")} <= tags


def test_the_sizes_have_the_printed_parameters():
    """Of IJCV 2022, Table 8: 1.09, 2.18 and 8.70 M, for two separate networks together."""

    def millions(method, name):
        recipe = few_steps.small_recipe(REGISTRY.methods[method], "x4", "", name)
        states = recipe.learner(recipe, {}, 0).states().values()
        return sum(tensor.numel() for state in states for tensor in state.tensors.values()) / 1e6

    assert [round(millions("irn", f"blocks-{count}"), 2) for count in (2, 4)] == [1.09, 2.18]
    assert [round(millions("irn-du", f"blocks-{count}"), 2) for count in (1, 2)] == [1.09, 2.18]
    assert millions("irn", "blocks-16") == pytest.approx(8.70, abs=0.02)
    assert millions("irn-du", "paper") == pytest.approx(4.35, abs=0.01)
    assert millions("irn-du", "blocks-8") == pytest.approx(8.70, abs=0.02)


def test_car_without_offsets_samples_on_the_grid():
    recipe = few_steps.small_recipe(REGISTRY.methods["car-edsr"], "x2", CAR, "no-offsets")
    kernels = recipe.learner(recipe, {}, 0).kernels
    by = kernels(few_steps.smooth_batch("2").hr)
    assert not any("offsets" in key for key in kernels.state_dict())
    assert by.offsets_h.abs().max() == by.offsets_v.abs().max() == 0


def test_aidn_that_does_not_see_features_gives_the_same_as_a_stream_of_rows():
    recipe = few_steps.small_recipe(REGISTRY.methods["aidn"], "any", AIDN, "no-content")
    network = recipe.learner(recipe, {}, 3).network.eval()
    hr = few_steps.smooth_batch("2").hr[:1]
    for scale in (1.3, 2.0, 3.1):
        size = lr_size((32, 32), scale)
        whole = network.down(hr, scale, size)
        with torch.no_grad():
            torch.testing.assert_close(network.down(hr, scale, size), whole, atol=1e-5, rtol=0)
            assert network.up(whole, scale, (32, 32)).shape == hr.shape


def test_a_pair_of_two_weights_of_one_method():
    recipe = few_steps.small_recipe(REGISTRY.methods["irn"], "x4", IRN, "blocks-2")
    states = {}
    for tag, steps in (("a", 2), ("b", 5)):
        _, learner = few_steps.losses(recipe, steps=steps, side=16)
        states[tag] = learner.states()
        weights.save(weights.place("irn", tag, "x4"), states[tag]["x4"].tensors, states[tag]["x4"].metadata)
    pair = chosen("irn@a+irn@b", ":z=zero")
    files = choose_weights(pair, Decimal(4), REGISTRY)
    assert files.tag == "a+b"
    hr = torch.from_numpy(toys.picture(32, 32)).permute(2, 0, 1)[None].float() / 255
    lr, restored = shrunk_and_restored("irn@a+irn@b", load_states(files.files, REGISTRY, True), hr, 4.0)
    assert torch.equal(lr, shrunk_and_restored("irn", states["a"], hr, 4.0)[0])
    other = chosen("irn").record.build(states["b"], "cpu", {"z": "zero", "z_scale": 1.0})
    assert torch.equal(restored, other.upscale(lr.clamp(0, 1).mul(255).round().div(255), 4.0, (32, 32)))
    with pytest.raises(UnavailableError, match="the tag none"):
        choose_weights(chosen("irn@a+irn@none"), Decimal(4), REGISTRY)
    with pytest.raises(UsageError, match="bicubic has no weights"):
        REGISTRY.method("bicubic@a+irn@b")
