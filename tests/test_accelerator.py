"""Every method on the stand-in for CUDA, and the stand-in itself."""

from dataclasses import replace
from decimal import Decimal

import pytest
import torch
from accelerator import DEVICE, Resident, standing_in

from rescale_bench.api.records import State, all_parts
from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import lr_size
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import UnavailableError
from rescale_bench.networks import edsr, lines
from rescale_bench.networks.loading import seeded_tensors
from rescale_bench.roundtrip.cell import Loop, prepare_hr, reference_lr, round_trip
from rescale_bench.roundtrip.conformance import make_image
from rescale_bench.roundtrip.halves import Halves
from rescale_bench.roundtrip.tiling import Tiled, bytes_per_pixel
from rescale_bench.weights.choice import choose_weights, load_states

REGISTRY = load_registry()
SIZE = (37, 50)
SEED = 3
CASES = [
    *((name, scale) for name in ("nearest", "bilinear", "bicubic", "lanczos3") for scale in ("2", "2.5")),
    *((name, "2.5") for name in ("catmull-rom", "mitchell", "bicubic:a=-0.75", "bicubic:antialias=false")),
    *((f"{name}+bicubic", scale) for name in ("area", "dpid", "perceptual") for scale in ("2", "2.5")),
    ("bicubic+lanczos3", "1.9"),
    ("identity-type3", "2.5"),
    ("direct", "1"),
    ("grey", "1"),
    ("pca", "2"),
    ("irn-du:weights=random", "4"),
    ("irn", "2"),
    ("irn", "4"),
    ("irn:z=gaussian,weights=random", "2"),
    ("irn-plus", "4"),
    ("irn-ld", "3"),
    ("irn-e", "4"),
    ("irn-color", "1"),
    ("irn-jpeg", "2"),
    ("irn-jpeg:crm=false", "2"),
    ("fgrn", "2"),
    ("fgrn", "4"),
    ("aidn", "2"),
    ("aidn", "2.5"),
    ("sain", "2"),
    ("t-irn", "2"),
    ("t-sain", "2"),
    ("hcflow", "4"),
    ("hcflow:heat=0", "4"),
    ("sain:z=mean", "4"),
    ("t-irn", "4"),
    ("t-sain", "4"),
    ("bicubic+arb-rcan", "2.5"),
    ("car-edsr", "2"),
    ("car-edsr", "4"),
    ("bicubic+edsr", "2"),
    ("bicubic+san", "2"),
    ("bicubic+rdn", "2"),
    ("bicubic+rcan", "2"),
    ("bicubic+rrdb", "4"),
    ("bicubic+esrgan", "4"),
    ("bicubic+dat-light", "2"),
    ("bicubic+srcnn", "2"),
    ("bicubic+srdensenet", "4"),
    ("bicubic+dbpn", "2"),
    ("bicubic+dbpnll", "2"),
    ("bicubic+dbpn-res-mr64-3", "2"),
    *(("bicubic+edsr-baseline", scale) for scale in ("2", "3", "4")),
    ("bicubic+edsr-baseline-type1", "2.5"),
    ("irn-type3", "2.5"),
    ("irn-ceil", "2.5"),
    ("fgrn-type3", "1.9"),
]


@pytest.fixture
def few_blocks(monkeypatch):
    """Draw random networks with two blocks in a row, not 8 to 200 that are alike."""
    from rescale_bench_plugins.arbsr import network as arbsr
    from rescale_bench_plugins.irn import rescaler as irn
    from rescale_bench_plugins.rdn import network as rdn
    from rescale_bench_plugins.sain import network as sain
    from rescale_bench_plugins.san import network as san
    from rescale_bench_plugins.t_inv import rescaler as t_inv
    from rescale_bench_plugins.zoo import network as zoo

    def initial(architecture, scale, seed):
        network = getattr(getattr(zoo.spandrel().architectures, architecture), architecture)
        sizes = {"RCAN": {"n_resgroups": 2, "n_resblocks": 2}, "ESRGAN": {"num_blocks": 2}}[architecture]
        return State(seeded_tensors(lambda: network(scale=scale, **sizes), seed))

    monkeypatch.setattr(zoo, "initial", initial)
    for module, names in ((san, ("GROUPS", "BLOCKS")), (rdn, ("BLOCKS",))):
        for name in names:
            monkeypatch.setattr(module, name, 2)
    for module, name, sizes in ((edsr, "initial_edsr", {"blocks": 2}),
                                (arbsr, "initial_arb_rcan", {"groups": 2, "blocks": 2})):  # fmt: skip
        draw = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda layout, seed, draw=draw, sizes=sizes: draw(replace(layout, **sizes), seed)
        )
    for parts in (*irn.LAYOUTS.values(), *t_inv.LAYOUTS.values(), sain.LAYOUTS):
        for part, layout in parts.items():
            monkeypatch.setitem(parts, part, shallow(layout))


def shallow(layout):
    """Leave two blocks of each kind: where a layout lists its operations, and where it counts them."""
    if hasattr(layout, "operations"):
        listed = layout.operations
        kept = (each for index, each in enumerate(listed) if listed[max(index - 2, 0) : index + 1] != (each,) * 3)
        return replace(layout, operations=tuple(kept))
    counts = {"first", "second", "after", "enhanced", "plain"} & vars(layout).keys()
    return replace(layout, **{name: min(2, getattr(layout, name)) for name in counts})


def test_the_cases_hold_every_built_in_method():
    names = {name.partition(":")[0] for name, _ in CASES}
    # Where the user brings the file there is none to try; other methods of the plugin stand for it.
    own = {
        name for name, method in REGISTRY.methods.items() if (method.locate or method.configure) and not method.weights
    }
    own |= {"ceiling-jxl", "ceiling-jp2"}  # they are file formats, which are coded on the CPU
    assert REGISTRY.methods.keys() - own <= names | {part for name in names for part in name.split("+")}


def builder(spec, scale):
    """Read what a method needs, the weights that ship or random ones; return device → rescaler."""
    chosen = REGISTRY.choose_method(parse_spec(spec, "test"))
    try:
        files = choose_weights(chosen, Decimal(scale), REGISTRY).files
    except UnavailableError:
        chosen = REGISTRY.choose_method(parse_spec(f"{spec}{',' if ':' in spec else ':'}weights=random", "test"))
        files = choose_weights(chosen, Decimal(scale), REGISTRY).files
    states = load_states(files, REGISTRY, chosen.record.traits.derived)
    return lambda device: chosen.record.build(states, device, chosen.options)


def halves_have_weights(spec):
    return bool(all_parts(REGISTRY.choose_method(parse_spec(spec, "test")).record))


def networks(item):
    """Find the modules that a rescaler holds."""
    if isinstance(item, torch.nn.Module):
        return [item]
    held = item.values() if isinstance(item, dict) else vars(item).values() if hasattr(item, "__dict__") else ()
    return [module for value in held for module in networks(value)]


def enlarge(rescaler, lr, scale):
    """Restore an image; what is drawn is drawn from the same seed."""
    torch.manual_seed(SEED)
    return rescaler.upscale(lr, float(scale), SIZE)


def assert_same_on_the_device(spec, scale):
    build = builder(spec, scale)
    hr = make_image(SIZE)[None].float() / 255
    rescaler = build("cpu")
    small = rescaler.downscale(hr, float(scale))
    lr = small.clamp(0, 1).mul(255).round().div(255).float()
    wanted = small, enlarge(rescaler, lr, scale)
    with standing_in() as accelerator:
        rescaler = build(str(DEVICE))
        found = rescaler.downscale(hr.to(DEVICE), float(scale)), enlarge(rescaler, lr.to(DEVICE), scale)
        assert accelerator.downloads == []
        assert all(isinstance(image, Resident) for image in found)
        tensors = [tensor for network in networks(rescaler) for tensor in network.state_dict().values()]
        assert [tensor for tensor in tensors if tensor.device != DEVICE] == []
        found = [image.cpu() for image in found]
    for there, here in zip(found, wanted, strict=True):
        assert there.dtype == here.dtype
        assert there.shape == here.shape
        assert (there - here).abs().max() < 1e-5
    return tensors


@pytest.mark.parametrize(("spec", "scale"), CASES, ids=[f"{spec} x{scale}" for spec, scale in CASES])
def test_a_method_stays_on_its_device(spec, scale, few_blocks):
    tensors = assert_same_on_the_device(spec, scale)
    assert bool(tensors) == halves_have_weights(spec)


def test_tiles_stay_there_too():
    hr = make_image(SIZE)[None].float() / 255
    build = builder("bicubic", "2")
    lr = build("cpu").downscale(hr, 2.0)
    with standing_in() as accelerator:
        tiled = Tiled(build(str(DEVICE)), 3, 8)
        found = tiled.downscale(hr.to(DEVICE), 2.0), tiled.upscale(lr.to(DEVICE), 2.0, SIZE)
        assert accelerator.downloads == []
        assert (found[0].cpu() - lr).abs().max() < 1e-12
        assert (found[1].cpu() - build("cpu").upscale(lr, 2.0, SIZE)).abs().max() < 1e-12
        assert 8 < bytes_per_pixel(build(str(DEVICE)), 2.0, str(DEVICE)) < 1000


@pytest.mark.parametrize(("spec", "scale"), [("fgrn", "2"), ("aidn", "2.5"), ("aidn", "1.3")])
def test_streams_of_rows_stay_there_too(spec, scale, monkeypatch):
    monkeypatch.setattr(lines, "SLAB_BYTES", 0)
    assert lines.slab_rows(SIZE[1], 64, torch.device("cpu")) < SIZE[0]
    assert_same_on_the_device(spec, scale)


TRIPS = [("bicubic", "2"), ("bicubic", "2.5"), ("bilinear", "4"), ("irn", "2"), ("fgrn", "2"), ("aidn", "2.5")]


def trip(spec, scale, device):
    method = REGISTRY.choose_method(parse_spec(spec, "test")).record
    protocol, loop = REGISTRY.protocols["rgb8-whole"], Loop(REGISTRY.codecs["png"], {})
    hr = prepare_hr(make_image(SIZE).permute(1, 2, 0).numpy(), False, protocol, Decimal(scale))
    build = builder(spec, scale)
    halves = Halves(method, build(device), build(device), device)
    reference = reference_lr(hr, protocol, Decimal(scale))
    return round_trip(halves, hr, Decimal(scale), protocol, loop, SEED, reference)


@pytest.mark.parametrize(("spec", "scale"), TRIPS)
def test_a_round_trip_leaves_the_device_for_the_file_and_the_result_alone(spec, scale):
    here = trip(spec, scale, "cpu")
    with standing_in() as accelerator:
        there = trip(spec, scale, str(DEVICE))
        assert [shape[-3:] for shape in accelerator.downloads] == [(3, *lr_size(SIZE, float(scale))), (3, *SIZE)]
    assert not any(isinstance(image, Resident) for image in (there.hr, there.sr, there.lr, there.lr_sent))
    assert there.file == here.file
    # Float32's noise rounds a few pixels of a network's output the other way; float64's, none.
    levels = (there.sr.int() - here.sr.int()).abs()
    assert levels.max() <= 1
    assert levels.float().mean() <= (1e-3 if halves_have_weights(spec) else 0)
    assert there.costs.peak_mb_up == 1


# --- the stand-in --------------------------------------------------------------


@pytest.fixture(params=[torch.inference_mode, torch.no_grad, torch.enable_grad])
def device(request):
    with standing_in() as accelerator, request.param():
        yield accelerator


def test_everything_made_there_lives_there(device):
    x = torch.randn(3, 4).to("cuda")
    made = [
        x, torch.zeros(2, device="cuda"), torch.tensor([1.0], device=DEVICE), torch.arange(3, device=x.device),
        x.new_zeros(2), torch.full_like(x, 2), x[0, 0], x.double(), torch.nn.Conv2d(1, 1, 1).to("cuda").weight,
    ]  # fmt: skip
    assert [item.device for item in made] == [DEVICE] * len(made)
    assert all(isinstance(item, Resident) for item in made)
    assert device.downloads == []


def test_what_comes_back_is_counted_and_shares_nothing(device):
    x = torch.ones(3, 4).to("cuda")
    assert device.reads == 0
    x.cpu().zero_()
    x.to("cpu").zero_()
    assert device.downloads == [(3, 4), (3, 4)]
    assert (x.sum().item(), x[0].tolist(), bool(x[0, 0] > 0)) == (12, [1] * 4, True)
    assert (device.reads, device.downloads[2:]) == (2, [(4,)])
    with pytest.raises(TypeError, match="numpy"):
        x.numpy()


def test_views_and_targets_keep_their_memory(device):
    x = torch.ones(3, 4).to("cuda")
    x[1:, ::2].mul_(0)
    x.as_strided((2, 2), (4, 1)).add_(5)
    x.t()[3].copy_(torch.tensor([7.0, 8.0, 9.0]))
    out = torch.empty(3, 4, device="cuda")
    assert torch.mul(x, 2, out=out) is out
    torch.neg(x[:2], out=out[:2])
    assert out.tolist() == [[-6, -6, -1, -7], [-5, -6, 0, -8], [0, 2, 0, 18]]


@pytest.mark.parametrize(
    "mix",
    [
        lambda there, here: there + here,
        lambda there, here: here.add_(there),
        lambda there, here: torch.cat((there, here)),
        lambda there, here: torch.mm(there, here.t()),
        lambda there, here: torch.mul(there, 2, out=here),
        lambda there, here: torch.nn.functional.conv2d(there[None], here[None, None]),
        lambda there, here: here[torch.tensor([0, 1]).to("cuda")],
        lambda there, here: there.index_select(0, torch.tensor([0, 1])),
        lambda there, here: here[0, 0].add_(there[0, 0]),
    ],
)
def test_the_cpus_tensors_are_refused(device, mix):
    with pytest.raises(RuntimeError, match="same device"):
        mix(torch.ones(3, 4).to("cuda"), torch.ones(3, 4))


def test_division_by_a_number_multiplies_by_its_reciprocal(device):
    here = torch.arange(256.0)
    there = here.to("cuda")
    wanted = here * (torch.ones(()) / 255)
    assert not torch.equal(here / 255, wanted)
    assert torch.equal((there / 255).cpu(), wanted)
    assert torch.equal((there / torch.tensor(255.0)).cpu(), wanted)
    assert torch.equal((there.to(torch.uint8) / 255).cpu(), wanted)
    assert torch.equal((there / torch.full_like(there, 255)).cpu(), here / 255)
    assert torch.equal((there / there[-1]).cpu(), here / 255)
    assert torch.equal(there.div(2, rounding_mode="floor").cpu(), here.div(2, rounding_mode="floor"))
    assert there.div_(255) is there
    assert torch.equal(there.cpu(), wanted)


def test_what_cuda_takes_from_the_cpu_is_taken(device):
    x = torch.ones(3, 4).to("cuda")
    x = x + torch.tensor(1.0)
    x[torch.tensor([0, 2])] += 1
    x[x > 2] = 0.5
    x.masked_fill_(x > 1, torch.tensor(4.0))
    x[0, :2].copy_(torch.tensor([8.0, 9.0]))
    assert x.tolist() == [[8, 9, 0.5, 0.5], [4] * 4, [0.5] * 4]
