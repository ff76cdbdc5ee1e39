"""Loss terms of the recipes against numbers computed by hand."""

import math
from decimal import Decimal

import pytest
import torch
from rescale_bench_plugins.aidn.training import SCALES
from rescale_bench_plugins.aidn.training import quantise as aidn_quantise
from rescale_bench_plugins.car_edsr.kernels import KernelLayout, KernelNetwork, Resampling, initial_kernels
from rescale_bench_plugins.car_edsr.sampler import resample
from rescale_bench_plugins.car_edsr.training import (
    BEGIN,
    begin_as,
    offset_distance,
    partial_variation,
    quantise_softly,
)
from rescale_bench_plugins.edsr.training import recipes as edsr_recipes
from rescale_bench_plugins.fgrn.training import recipes as fgrn_recipes
from rescale_bench_plugins.irn.training import recipes as irn_recipes

from rescale_bench.api.registry import load_registry
from rescale_bench.errors import UnavailableError, UsageError
from rescale_bench.images.resize import imresize
from rescale_bench.networks.edsr import Edsr, EdsrLayout, initial_edsr
from rescale_bench.networks.quantise import quantise
from rescale_bench.training.learner import Batch
from rescale_bench.training.losses import (
    Discriminator,
    absolutes,
    charbonnier,
    load_features,
    squares,
    taken_for_real,
    told_apart,
    weighted_sum,
)
from rescale_bench.training.recipe import changed, choose_recipe
from rescale_bench.training.starting import start_edsr


def batch(scale, side=16, count=2, step=0):
    from rescale_bench.training.pool import bicubic

    generator = torch.Generator().manual_seed(3)
    hr = torch.rand(count, 3, side, side, generator=generator).mul(255).round() / 255
    return Batch(hr, bicubic(hr, Decimal(scale)), Decimal(scale), step, torch.Generator().manual_seed(5))


def recipe(recipes, method, part, changes="", name="small"):
    (found,) = [item for item in recipes() if (item.method, item.part, item.name) == (method, part, name)]
    return changed(found, changes)


def first_stage(part):
    """The untrained states that second stages start from."""
    blocks = {"x2": "1", "x4": "1+1"}[part]
    chosen = recipe(irn_recipes, "irn", part, f"layout.blocks={blocks},layout.growth=2")
    return chosen.learner(chosen, {}, 0).states()


# --- sums over pixels, means over the batch ------------------------------------


def test_sums_over_pixels_and_means_over_the_batch():
    difference = torch.tensor([[[[3.0, 4.0]]], [[[0.0, -1.0]]]])
    assert squares(difference).item() == (9 + 16 + 0 + 1) / 2
    assert absolutes(difference).item() == (3 + 4 + 0 + 1) / 2
    by_hand = sum(math.sqrt(d * d + 1e-6) for d in (3, 4, 0, 1)) / 2
    assert charbonnier(difference).item() == pytest.approx(by_hand, rel=1e-6)


def test_weighted_sum():
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(5.0)}
    assert weighted_sum(terms, {"a": 0.5, "b": 2.0, "unused": 9.0}).item() == 11
    with pytest.raises(UsageError, match=r"without a weight.*: b"):
        weighted_sum(terms, {"a": 1.0})


def test_irn_at_its_identity_start():
    """At the start every block is the identity: LR = block mean, latent = Haar details, all known in closed form."""
    given = batch("2")
    chosen = recipe(irn_recipes, "irn", "x2", "layout.blocks=1,layout.growth=4")
    terms = chosen.learner(chosen, {}, 0).terms(given, "model")
    hr = given.hr.double()
    a, b, c, d = hr[..., ::2, ::2], hr[..., ::2, 1::2], hr[..., 1::2, ::2], hr[..., 1::2, 1::2]
    mean = (a + b + c + d) / 4
    details = [(a - b + c - d) / 4, (a + b - c - d) / 4, (a - b - c + d) / 4]
    assert terms["latent"].item() == pytest.approx(sum((x**2).sum().item() for x in details) / 2, rel=1e-5)
    assert terms["guidance"].item() == pytest.approx(((mean - given.lr) ** 2).sum().item() / 2, rel=1e-5)
    # z = 0: every pixel is restored as its block's 8-bit mean (round half to even may differ in the last bit).
    level = (mean.float() * 255).round().double() / 255
    wrong = level.repeat_interleave(2, -1).repeat_interleave(2, -2) - hr
    by_hand = (wrong**2 + 1e-6).sqrt().sum().item() / 2
    assert terms["reconstruction"].item() == pytest.approx(by_hand, rel=1e-3)


@pytest.mark.parametrize(
    ("method", "part", "weight"), [("irn", "x4", 16.0), ("irn-ld", "x3", 9.0), ("irn-color", "x1", 9.0)]
)
def test_irn_guidance_weight(method, part, weight):
    assert recipe(irn_recipes, method, part, name="paper").losses["guidance"] == weight


def test_irn_color_guides_to_luma():
    chosen = recipe(irn_recipes, "irn-color", "x1", "layout.blocks=1,layout.growth=2")
    terms = chosen.learner(chosen, {}, 0).terms(batch("1", 8), "model")
    assert terms["guidance"].item() < 1e-8  # the initial matrix's first row is luma


def test_irn_jpeg_adds_noise_half_of_the_time():
    chosen = recipe(irn_recipes, "irn-jpeg", "x2", "layout.growth=2,layout.blocks=1")
    learner = chosen.learner(chosen, first_stage("x2"), 0)
    given = batch("2", 8, 1)
    quiet = recipe(irn_recipes, "irn", "x2", "layout.blocks=1,layout.growth=2")
    plain = quiet.learner(quiet, {}, 0).terms(given, "model")["reconstruction"].item()
    values = []
    for seed in range(20):
        drawn = Batch(given.hr, given.lr, given.scale, 0, torch.Generator().manual_seed(seed))
        values.append(learner.terms(drawn, "model")["reconstruction"].item())
    noisy = sum(abs(value - plain) > 1e-6 for value in values)
    assert 5 <= noisy <= 15


def test_irn_ld_begins_as_block_mean_and_repetition():
    chosen = recipe(irn_recipes, "irn-ld", "x3", "layout.blocks=1,layout.growth=2")
    network = chosen.learner(chosen, {}, 0).network
    hr = batch("3", 12).hr
    with torch.no_grad():
        lr, latent = network(hr)
        restored = network.inverse(lr, torch.zeros_like(latent))
        again = network.inverse(lr, latent)
    assert torch.allclose(lr, torch.nn.functional.avg_pool2d(hr, 3), atol=1e-6)
    assert torch.allclose(restored, lr.repeat_interleave(3, 2).repeat_interleave(3, 3), atol=1e-5)
    assert torch.allclose(again, hr, atol=1e-5)


# --- CAR ------------------------------------------------------------------------


def fields(kernels, horizontal, vertical):
    return Resampling(*(torch.tensor(values, dtype=torch.float32) for values in (kernels, horizontal, vertical)))


def one_tap(value):
    """Offsets (1, 9, 1, 1) of a 3×3 kernel that move only the top left tap."""
    return [[[[value]]] + [[[0.0]]] * 8]


def test_car_offset_distance():
    kernels = [[[[1 / 9]]] * 9]
    distances = [math.hypot(x, y) / 3 for y in (-1, 0, 1) for x in (-1, 0, 1)]
    by = fields(kernels, one_tap(0.3), one_tap(-0.4))
    moved = distances[0] * 0.5
    assert offset_distance(by, eta=0).item() == pytest.approx(moved, abs=1e-5)
    assert offset_distance(by, eta=1).item() == pytest.approx(moved + sum(distances), abs=1e-5)


def test_car_offset_distance_has_a_gradient_at_zero():
    still = torch.zeros(1, 9, 2, 2, requires_grad=True)
    offset_distance(Resampling(torch.ones(1, 9, 2, 2), still, still)).backward()
    assert still.grad.isfinite().all()


def test_car_partial_variation():
    # One tap, 2×2 LR pixels, weights .1 .2 / .3 .4.
    by = fields([[[[0.1, 0.2], [0.3, 0.4]]]], [[[[0.0, 1.0], [0.5, -1.0]]]], [[[[0.0, 0.2], [0.4, 1.0]]]])
    across = 0.2 * 0.1 + 0.6 * 0.3  # vertical offsets between horizontal neighbours
    down = 0.5 * 0.1 + 2.0 * 0.2  # horizontal offsets between vertical neighbours
    assert partial_variation(by).item() == pytest.approx(across + down, rel=1e-6)


@pytest.mark.parametrize("begin", BEGIN)
def test_car_begins_as_bicubic(begin):
    layout = KernelLayout(2, 4, 4, 8, 1)
    network = KernelNetwork(layout)
    network.load_state_dict(initial_kernels(layout, 0))
    begin_as(network, BEGIN[begin](2))
    with torch.no_grad():
        by = network(torch.rand(1, 3, 32, 32))
    centre = by.kernels.mean((0, 2, 3)).view(7, 7)
    assert centre[3, 3] == centre.max()
    assert centre[3, 3] > 10 * centre[0, 0]
    assert by.offsets_h.abs().max() < 0.05


@pytest.mark.parametrize("scale", [2, 4])
def test_car_nearest_begin_shrinks_as_bicubic_does(scale):
    rough = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    image = torch.nn.functional.interpolate(rough, scale_factor=8, mode="bicubic").clamp(0, 1)
    bicubic = imresize(image[0], Decimal(1) / scale)

    def error(begin):
        taps = BEGIN[begin](scale).clamp(min=0)
        kernels = (taps[:, None] * taps).flatten()[None, :, None, None] / taps.sum() ** 2
        kernels = kernels.expand(1, -1, 128 // scale, 128 // scale)
        lr = resample(image, Resampling(kernels, *2 * [torch.zeros_like(kernels)]), scale)
        return (lr[0] - bicubic)[:, 2:-2, 2:-2].square().mean().sqrt().item()

    assert error("nearest") < 0.9 * error("resampler")
    assert BEGIN["nearest"](scale).sum().item() == pytest.approx(1)


# --- quantisers -------------------------------------------------------------------


def test_quantiser_gradients():
    levels = torch.tensor([0.0, 0.25, 0.5, 100.3], dtype=torch.float64)
    slopes = torch.cos(2 * math.pi * levels)
    expected = {quantise: torch.ones(4), aidn_quantise: 1 - 0.5 * slopes, quantise_softly: 1 - slopes}
    for function, wanted in expected.items():
        image = (levels / 255).requires_grad_()
        function(image).sum().backward()
        assert torch.allclose(image.grad, wanted.double(), atol=1e-9), function


# --- FGRN: who learns from what ----------------------------------------------------


def test_fgrn_gradient_split():
    chosen = recipe(fgrn_recipes, "fgrn", "x2", "layout.blocks=1,layout.cells=1,layout.channels=4,layout.growth=2")
    learner = chosen.learner(chosen, {}, 0)

    def reached(*names):
        learner.module.zero_grad(set_to_none=True)
        terms = learner.terms(batch("2"), "model")
        sum(terms[name] for name in names).backward()
        return {key.partition(".")[0] for key, value in learner.module.named_parameters() if value.grad is not None}

    assert reached("reconstruction") == {"down", "up"}
    assert reached("guidance", "volume") == {"flow"}


def test_fgrn_volume_is_minus_the_sum_of_beta():
    chosen = recipe(fgrn_recipes, "fgrn", "x2", "layout.blocks=1,layout.cells=2,layout.channels=4,layout.growth=2")
    learner = chosen.learner(chosen, {}, 0)
    with torch.no_grad():
        for cell in learner.module.flow.cells:
            cell.H.conv5.bias.fill_(2 * math.atanh(0.25))  # β = 2σ(h) − 1 = tanh(h/2)
    pixels, channels, cells = 8 * 8, 2, 2
    assert learner.terms(batch("2"), "model")["volume"].item() == pytest.approx(
        -0.25 * pixels * channels * cells, rel=1e-5
    )
    assert chosen.losses["volume"] == 1e-3


def test_fgrn_begins_as_resampler():
    tiny = "layout.blocks=1,layout.cells=1,layout.channels=8,layout.growth=2"
    chosen = recipe(fgrn_recipes, "fgrn", "x4", tiny)
    network = chosen.learner(chosen, {}, 0).module
    with torch.no_grad():
        network.down.closing.weight.zero_(), network.down.closing.bias.zero_()
        x = network.squeeze(batch("4").hr)
    assert torch.allclose(x, torch.nn.functional.avg_pool2d(batch("4").hr, 4), atol=1e-6)


def test_fgrn_ablation_trains_gd_alone():
    chosen = recipe(fgrn_recipes, "fgrn", "x2", "layout.blocks=1,layout.cells=1,layout.channels=4", name="du-bic-small")
    learner = chosen.learner(chosen, {}, 0)
    terms = learner.terms(batch("2"), "model")
    terms["direct"].backward()
    reached = {key.partition(".")[0] for key, value in learner.module.named_parameters() if value.grad is not None}
    assert set(terms) == {"reconstruction", "direct"}
    assert reached == {"down"}


# --- EDSR's start, AIDN's scales -----------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_edsr_begins_as_pixel_repetition(scale):
    layout = EdsrLayout(1, 8, scale)
    network = Edsr(layout, 1.0)
    network.load_state_dict(initial_edsr(layout, 0))
    start_edsr(network)
    with torch.no_grad():
        network.body[1].weight.zero_(), network.body[1].bias.zero_()
        image = torch.rand(1, 3, 5, 6)
        wanted = image.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        assert torch.allclose(network(image), wanted, atol=1e-6)


def test_aidn_scales_in_proportion_to_their_square():
    method = load_registry().method("aidn")
    paper = choose_recipe(method, "paper", "")
    assert list(SCALES)[:2] == ["1.1", "1.2"]
    assert len(SCALES) == 30
    assert set(paper.scale_shares(0)) == {Decimal(2), Decimal(3), Decimal(4)}
    shares = paper.scale_shares(10**6)
    total = sum((k / 10) ** 2 for k in range(11, 41))
    assert shares[Decimal("1.1")] == pytest.approx(1.21 / total)
    assert shares[Decimal(4)] == pytest.approx(16 / total)
    assert sum(shares.values()) == pytest.approx(1)


# --- IRN+ ----------------------------------------------------------------------------


def test_adversarial_losses():
    zeros = torch.zeros(4, 1)
    assert taken_for_real(zeros).item() == pytest.approx(math.log(2))
    assert told_apart(zeros + 1, zeros - 2).item() == pytest.approx(math.log1p(math.exp(-1)) + math.log1p(math.exp(-2)))


def test_discriminator_of_the_paper():
    network = Discriminator(144)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
    assert [c.stride[0] for c in convolutions] == [1, 2] * 5
    assert network.eval()(torch.rand(1, 3, 144, 144)).shape == (1, 1)


def test_plus_players_take_turns():
    changes = "patch=32,settings.discriminator_width=2,settings.alone=3"
    chosen = recipe(irn_recipes, "irn-plus", "x4", changes)
    learner = chosen.learner(chosen, first_stage("x4"), 0)
    assert [tuple(learner.turn(step)) for step in (0, 2, 3)] == [("discriminator",)] * 2 + [("model", "discriminator")]
    ids = {name: {id(p) for p in found} for name, found in learner.players().items()}
    assert not ids["model"] & ids["discriminator"]
    terms = learner.terms(batch("4", 32), "discriminator")
    terms["discriminator"].backward()
    assert all(parameter.grad is None for parameter in learner.network.parameters())


def test_perceptual_term_is_refused_not_dropped():
    with pytest.raises(UnavailableError, match=r"vgg19-dcbb9e9d\.pth.*not dropped silently"):
        load_features()
    paper = recipe(irn_recipes, "irn-plus", "x4", name="paper")
    with pytest.raises(UnavailableError, match="VGG19"):
        paper.learner(paper, first_stage("x4"), 0)
    bare = recipe(irn_recipes, "irn-plus", "x4", name="no-perceptual")
    assert paper.losses == {**bare.losses, "perceptual": 0.01}


def test_paper_sizes_are_the_published_ones():
    """The papers' layouts give the published parameter counts."""
    registry = load_registry()
    for module in (irn_recipes, fgrn_recipes, edsr_recipes):
        for item in module():
            if item.name != "paper" or item.starts or item.method == "edsr" or item.part in ("x4", "x8"):
                continue
            states = item.learner(item, {}, 0).states()
            count = sum(t.numel() for state in states.values() for t in state.tensors.values())
            assert count == registry.methods[item.method].parameters[item.part], item
