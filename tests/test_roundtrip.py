import dataclasses
from decimal import Decimal

import numpy as np
import pytest
import torch
import toys

from rescale_bench.api.records import Protocol
from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import MethodError, NotNativeError
from rescale_bench.roundtrip.cell import Loop, cell_seed, prepare_hr, reference_lr, round_trip
from rescale_bench.roundtrip.halves import Halves

TWO = Decimal(2)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    return load_registry(
        [toys.plugin_file(folder, toys.MISBEHAVING, "bad"), toys.plugin_file(folder, toys.FIXED, "fixed")]
    )


def trip(registry, spec, scale=TWO, protocol="rgb8", codec="png", size=(48, 56), seed=3, macs=False):
    chosen = registry.choose_method(parse_spec(spec, "-m"))
    method = chosen.record
    halves = Halves(method, *(method.build({}, "cpu", chosen.options) for _ in range(2)))
    protocol = protocol if isinstance(protocol, Protocol) else registry.protocols[protocol]
    hr = prepare_hr(toys.picture(*size), False, protocol, scale)
    loop = registry.choose_codec(parse_spec(codec, "--codecs"))
    reference = reference_lr(hr, protocol, scale)
    return round_trip(halves, hr, scale, protocol, Loop(loop.record, loop.options), seed, reference, macs)


def test_the_bicubic_lr_is_the_reference_lr_itself(registry):
    for scale in ("2", "3", "4", "1.5", "2.7"):
        sample = trip(registry, "bicubic", Decimal(scale))
        assert torch.equal(sample.lr, sample.lr_reference)
        assert sample.lr.dtype == sample.sr.dtype == torch.uint8


def test_what_the_upscaler_sees_is_the_decoded_file(registry):
    lossless, lossy = trip(registry, "bicubic"), trip(registry, "bicubic", codec="jpeg:20")
    assert torch.equal(lossless.lr, lossless.lr_sent)
    assert not torch.equal(lossy.lr, lossy.lr_sent)
    assert torch.equal(lossy.lr_sent, lossless.lr_sent)
    assert not torch.equal(lossy.sr, lossless.sr)
    codec = registry.codecs["jpeg"]
    assert np.array_equal(codec.decode(lossy.file), lossy.lr.permute(1, 2, 0).numpy())


def test_float_protocols_pass_no_file(registry):
    sample = trip(registry, "bicubic", protocol="srcnn-y")
    assert sample.hr.shape[0] == sample.sr.shape[0] == sample.lr.shape[0] == 1
    assert sample.file is None
    assert sample.lr_sent is None
    assert sample.lr.dtype == torch.float32
    assert torch.allclose(sample.lr, sample.lr_reference, atol=1e-3)


def test_rounding_follows_the_protocol(registry):
    base = registry.protocols["rgb8"]
    kept = trip(registry, "bicubic", protocol=dataclasses.replace(base, sr_rounding="none")).sr
    cut = trip(registry, "bicubic", protocol=dataclasses.replace(base, sr_rounding="truncate")).sr
    rounded = trip(registry, "bicubic").sr
    assert kept.dtype == torch.float32
    assert torch.equal(rounded, (kept + 0.5).floor().to(torch.uint8))
    assert torch.equal(cut, kept.floor().to(torch.uint8))


def test_odd_sizes_are_cropped_or_kept_as_the_protocol_says(registry):
    assert trip(registry, "boxes", Decimal(4), size=(45, 62)).hr.shape == (3, 44, 60)
    whole = trip(registry, "boxes", Decimal(4), protocol="rgb8-whole", size=(45, 62))
    assert whole.hr.shape == whole.sr.shape == (3, 45, 62)
    assert whole.lr.shape == (3, 12, 16)
    assert trip(registry, "bicubic", Decimal("1.5"), size=(45, 62)).lr.shape == (3, 30, 42)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "raises: upscale raised ValueError: no idea"),
        ("nan", "not finite"),
        ("small", "returned 3×24×28 where 3×48×56 is due"),
        ("largelr", "returned 3×48×56 where 3×24×28 is due"),
        ("bytes", "returned torch.uint8"),
        ("nothing", "returned NoneType"),
    ],
)
def test_broken_halves_are_named(registry, name, says):
    with pytest.raises(MethodError, match=says):
        trip(registry, name)


def test_a_scale_that_is_not_served_is_refused(registry):
    with pytest.raises(NotNativeError, match=r"boxes serves \{2, 3, 4\}, not 2\.5"):
        trip(registry, "boxes", Decimal("2.5"))


def test_a_method_that_spoils_its_input_spoils_nobody_elses(registry):
    assert torch.equal(trip(registry, "vandal").hr, trip(registry, "base").hr)
    assert trip(registry, "vandal").hr.any()


def test_random_draws_come_from_the_cells_seed(registry):
    first, same, other = (trip(registry, "random", seed=seed).sr for seed in (1, 1, 5))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert cell_seed(0, "a", "b") != cell_seed(0, "ab", "") != cell_seed(1, "a", "b")


def test_costs_are_counted(registry):
    costs = trip(registry, "bicubic", macs=True).costs
    assert costs.parameters == 0
    assert costs.seconds_down > 0
    assert costs.seconds_up > 0
    assert costs.macs_up is not None


def test_an_image_that_a_crop_eats_up_is_refused(registry):
    with pytest.raises(MethodError, match="too small"):
        prepare_hr(toys.picture(3, 40), False, registry.protocols["rgb8"], Decimal(4))
    assert prepare_hr(toys.picture(50, 50), False, registry.protocols["rgb8"], Decimal(4), crop=12).shape == (3, 48, 48)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_want_of_memory_names_the_way_out(registry, monkeypatch, error):
    from rescale_bench_plugins.classic import Resampler

    def fails(*_):
        raise error

    monkeypatch.setattr(Resampler, "upscale", fails)
    with pytest.raises(MethodError, match="bicubic: upscale ran out of memory; tile=auto may help"):
        trip(registry, "bicubic")
