"""The one suite that runs over every registered method, and proof that its checks can fail."""

import pytest
import toys

from rescale_bench.api.records import all_parts
from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import parse_scales
from rescale_bench.roundtrip.conformance import SIZES, verify

REGISTRY = load_registry()
# What options make is checked where there are files: tests/test_plugin_graph.py.
METHODS = {name: method for name, method in REGISTRY.methods.items() if method.configure is None}
WHOLE = sorted(name for name, method in METHODS.items() if method.halves == {"down", "up"})
CLASSIC = [name for name in WHOLE if not all_parts(REGISTRY.methods[name])]
LEARNED = [name for name in WHOLE if name not in CLASSIC]
HALVES = {
    name: f"bicubic+{name}" if method.halves == {"up"} else f"{name}+bicubic"
    for name, method in METHODS.items()
    if len(method.halves) == 1 and method.locate is None  # those with files of their own: tests/test_plugin_zoo.py
}
DERIVED = [*HALVES.values(), "bicubic+lanczos3", "bicubic+edsr-baseline-type1", "irn-type3", "irn-ceil", "fgrn-type3"]
LARGE = 2_000_000  # parameters
HEAVY = [
    "car-edsr", "car-edsr-type3", "bicubic+edsr-type1",
    *(pair for name, pair in HALVES.items() if max(REGISTRY.methods[name].parameters.values(), default=0) > LARGE),
]  # fmt: skip


def spec(name):
    return f"{name}:weights=random" if all_parts(REGISTRY.method(name)) else name


ALL = "1.1,1.9,2,2.5,3,3.7,4"


def assert_conforms(name, sizes, scales=ALL, **checks):
    findings = list(verify(spec(name), REGISTRY, sizes, parse_scales(scales), **checks))
    assert len(findings) > 3
    assert [finding for finding in findings if finding.status == "failed"] == []


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_methods_conform_at_every_odd_size(name):
    assert_conforms(name, SIZES)


@pytest.mark.parametrize("name", [*LEARNED, *DERIVED])
def test_learned_and_derived_methods_conform(name):
    if name in HEAVY:
        pytest.skip("in the slow suite")
    # A wide margin makes the tile check slow; the slow suite has it, and every scale and the seal of the wrappers.
    scales = "1.9,2.5,4" if name in DERIVED else ALL
    tiles = (REGISTRY.method(name).margin or 0) < 40
    assert_conforms(name, SIZES[:1], scales, tiles=tiles, separate=name in LEARNED)


@pytest.mark.slow
@pytest.mark.parametrize("name", dict.fromkeys([*LEARNED, *DERIVED, *HEAVY]))
def test_every_method_conforms_at_every_odd_size(name):
    assert_conforms(name, SIZES)


@pytest.fixture(scope="module")
def toy_registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    return load_registry(
        [toys.plugin_file(folder, toys.MISBEHAVING, "bad"), toys.plugin_file(folder, toys.FIXED, "fixed")]
    )


def failed(name, registry):
    findings = verify(name, registry, SIZES[:1], parse_scales("2"))
    return {finding.check.split(" ")[0] for finding in findings if finding.status == "failed"}


def test_a_plugin_that_keeps_the_contract_passes(toy_registry):
    assert failed("boxes", toy_registry) == set()
    assert failed("base", toy_registry) == set()


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("nan", {"round"}),
        ("small", {"round"}),
        ("largelr", {"round"}),
        ("raises", {"round"}),
        ("unbuildable", {"round"}),
    ],
)
def test_broken_halves_fail_the_round_trip(toy_registry, name, checks):
    assert failed(name, toy_registry) == checks


def test_a_downscaler_that_leaks_past_the_file_is_found_by_the_seal(toy_registry):
    findings = {finding.check: finding for finding in verify("leaky", toy_registry, SIZES[:1], parse_scales("2"))}
    seal = next(finding for check, finding in findings.items() if "seal" in check)
    assert seal.status == "failed"
    assert "something besides the LR file" in seal.detail


def test_a_method_that_remembers_is_not_repeatable(toy_registry):
    assert "same" in failed("remembers", toy_registry)


def test_a_margin_that_is_too_small_is_found(tmp_path):
    text = toys.FIXED.replace("margin=1", "margin=0").replace(
        "F.avg_pool2d(hr, self.scale)", "F.avg_pool2d(F.avg_pool2d(hr, 5, 1, 2), self.scale)"
    )
    registry = load_registry([toys.plugin_file(tmp_path, text)])
    assert failed("boxes", registry) == {"tiles"}


def test_the_margin_of_a_build_is_checked(tmp_path):
    def tiles(text, name):
        registry = load_registry([toys.plugin_file(tmp_path, text, name)])
        findings = verify("boxes", registry, SIZES[:1], parse_scales("2"), separate=False)
        return next(finding.status for finding in findings if finding.check.startswith("tiles"))

    text = toys.FIXED.replace("margin=1", "build_margin=lambda states, options: 1, traits=Traits(draws=True)")
    assert tiles(text, "told") == "ok"
    assert tiles(text.replace("options: 1", "options: None"), "none") == "n/a"
    assert tiles(toys.FIXED.replace("margin=1", "margin=1, traits=Traits(draws=True)"), "draws") == "n/a"
    blurred = text.replace("F.avg_pool2d(hr, self.scale)", "F.avg_pool2d(F.avg_pool2d(hr, 5, 1, 2), self.scale)")
    assert tiles(blurred.replace("options: 1", "options: 0"), "short") == "failed"


def test_a_batch_whose_images_meet_is_found(tmp_path):
    text = toys.FIXED.replace("margin=1", "traits=Traits(batches=True)")
    assert failed("boxes", load_registry([toys.plugin_file(tmp_path, text, "apart")])) == set()
    for name, call in (("hr", "avg_pool2d"), ("lr", "interpolate")):
        met = text.replace(f"{call}({name},", f"{call}({name} + {name}.mean(0) - {name}[:1].mean(0),")
        assert met != text
        # The first of a batch is spoilt by the others; alone, an image is only itself twice over.
        met = met.replace(f"- {name}[:1].mean(0)", f"- {name}")
        assert failed("boxes", load_registry([toys.plugin_file(tmp_path, met, f"met_{name}")])) == {"a"}
