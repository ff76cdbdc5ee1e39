"""Whatever text comes in, only errors of rescale_bench.errors come out."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import MAXIMUM, parse_scales
from rescale_bench.api.specs import parse_list
from rescale_bench.checks import parse_tolerances
from rescale_bench.cli.config import make_request
from rescale_bench.datasets.selection import find_dataset
from rescale_bench.errors import ImageError, RescaleBenchError, StoreError, UsageError, WeightsError
from rescale_bench.images.files import max_pixels_setting, read_image
from rescale_bench.protocols.named import border, crop_multiple
from rescale_bench.runs.folder import Run, read_table
from rescale_bench.runs.schema import SCHEMA
from rescale_bench.runs.store import Store
from rescale_bench.weights.stored import read_header

quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def words(*pieces):
    """Draw texts out of the pieces that the grammar knows, with anything in between."""
    return st.lists(st.sampled_from(pieces) | st.text(max_size=3), max_size=8).map("".join)


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture
def scratch(tmp_path):
    return tmp_path / "input"


@settings(quick, max_examples=200)
@given(words("1", "2", "1.5", ":", ",", "-", "e", "e-999999", "e999999", "nan", "inf", "_", ".", "²", "０"))
def test_scales(text):
    with contextlib.suppress(UsageError):
        scales = parse_scales(text)
        assert 0 < len(scales) <= 10_000 * (text.count(",") + 1)
        assert all(1 <= scale <= MAXIMUM for scale in scales)


@pytest.mark.parametrize(
    "text", ["1:2:1e-999999", "1:64:1e-30", "1:2:1e-9999999999999999999", "1e999999999", "9" * 5000]
)
def test_scales_that_would_take_for_ever(text):
    with pytest.raises(UsageError) as refused:
        parse_scales(text)
    assert refused.value.about == "scales"


METHODS = ("bicubic", "irn", "aidn", "edsr", "+", "-type1", "-type3", "-ceil", "identity", ":", ",", "=", "z", "zero",
           "antialias", "true", "weights", "random", "nan", "1e999", " ")  # fmt: skip


@quick
@given(text=words(*METHODS))
def test_method_specs(registry, text):
    with contextlib.suppress(RescaleBenchError):
        for spec in parse_list(text, "--methods"):
            assert registry.choose_method(spec).label


@pytest.mark.parametrize("text", ["+" * 5000, "bicubic+" * 5000 + "bicubic", "edsr" + "-type3" * 5000])
def test_endless_method_names(registry, text):
    with pytest.raises(RescaleBenchError):
        registry.choose_method(parse_list(text, "--methods")[0])


@quick
@given(
    text=words("rgb8", "car", ":", ",", "=", "border", "mod_crop", "lr_border", "scale", "none", "0", "²", "7" * 5000)
)
def test_protocol_switches(registry, text):
    with contextlib.suppress(RescaleBenchError):
        protocol = registry.choose_protocol(text)
        assert border(protocol.border, MAXIMUM) >= 0
        assert crop_multiple(protocol, MAXIMUM) >= 1


@quick
@given(text=words("Set5", "@mod", "12", "~", "/", ".", "..", "~nobody-here/", "x" * 300))
def test_dataset_names(registry, text):
    with contextlib.suppress(RescaleBenchError):
        find_dataset(text, registry.datasets)


@quick
@given(text=words("psnr_y", "=", "0.1", ",", "%", ":", "nan", "inf", "-", "1e999"))
def test_tolerances(text):
    with contextlib.suppress(UsageError):
        parse_tolerances(text)


YAML = (
    *(
        "methods",
        "scales",
        "limit",
        "keep",
        "output",
        ": ",
        "\n",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "? ",
        "'",
        '"',
    ),
    *("!!python/object:os.system ", "2.50", "|", "# ", "<<: ", "---", "\t", '"\\UFFFFFFFF"', "\0", "\x1b"),
)


@settings(quick, max_examples=80)
@given(text=words(*YAML))
def test_configuration(scratch, text):
    scratch.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(UsageError):
        make_request({}, str(scratch))


@pytest.mark.parametrize("text", ['methods: "\\UFFFFFFFF"', "[" * 2000, "limit: " + "9" * 5000, "a: &a [*a, *a]"])
def test_configurations_that_upset_the_parser(scratch, text):
    scratch.write_text(text)
    with pytest.raises(UsageError):
        make_request({}, str(scratch))


VALUE = {"status": "ok", "version": "1", "value": 30.0}
GOOD = {
    **dict.fromkeys(("options", "weights", "weights_sha256", "image_sha256", "tile", "error"), ""),
    **{"schema": SCHEMA, "cell": "c", "method": "bicubic", "dataset": "d", "image": "i", "scale": "2", "codec": "png"},
    **{"protocol": "rgb8", "protocol_version": 1, "seed": 0, "dtype": "float32", "native": True, "ceiling": False},
    **{"status": "ok", "seconds": 0.1, "peak_mb": 1.0, "height": 4, "width": 4, "lr_height": 2, "lr_width": 2},
    "values": {"psnr_y": VALUE},
}
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
changes = st.dictionaries(st.sampled_from(sorted(GOOD)), anything, max_size=2)
values = st.dictionaries(st.sampled_from(sorted(VALUE)), anything, max_size=2)


def journal_of(folder, lines):
    folder.mkdir(exist_ok=True)
    (folder / "journal.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder


@settings(quick, max_examples=60)
@given(changes=changes, values=values, dropped=st.sets(st.sampled_from(sorted(GOOD)), max_size=2))
def test_journal_lines(scratch, changes, values, dropped):
    changed = {**GOOD, "values": {"psnr_y": {**VALUE, **values}}, **changes}
    line = json.dumps({key: value for key, value in changed.items() if key not in dropped})
    folder = journal_of(scratch, [json.dumps(GOOD), line, line])
    with contextlib.suppress(StoreError):
        assert 1 <= len(Run(folder).lines()) <= 2
    with contextlib.suppress(StoreError):
        assert "c" in set(read_table(folder)["cell"])
    with contextlib.suppress(StoreError), Store(folder) as store:
        store.write_table()


@quick
@given(text=st.text(max_size=30) | anything.map(json.dumps))
def test_journals_of_something_else(scratch, text):
    folder = journal_of(scratch, [text, json.dumps(GOOD)])
    with contextlib.suppress(StoreError):
        read_table(folder)


@quick
@given(metrics=anything)
def test_run_json(scratch, metrics):
    folder = journal_of(scratch, [json.dumps(GOOD)])
    (folder / "run.json").write_text(json.dumps({"metrics": metrics}))
    with contextlib.suppress(StoreError):
        assert list(read_table(folder)["value"]) == [30.0]


@quick
@given(header=anything.map(json.dumps) | st.text(max_size=20), length=st.integers(0, 2**64 - 1) | st.none())
def test_weights_headers(scratch, header, length):
    raw = header.encode("utf-8", "surrogatepass")
    scratch.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw)
    with contextlib.suppress(WeightsError):
        read_header(scratch)


@settings(quick, max_examples=30)
@given(position=st.integers(0, 10**6), noise=st.binary(min_size=1, max_size=12), cut=st.booleans())
@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG", "WEBP", "TIFF"])
def test_damaged_images(scratch, kind, position, noise, cut):
    Image.linear_gradient("L").resize((16, 16)).convert("RGB").save(scratch, kind)
    raw = bytearray(scratch.read_bytes())
    position %= len(raw)
    raw[position : len(raw) if cut else position + len(noise)] = noise
    scratch.write_bytes(raw)
    with contextlib.suppress(ImageError):
        assert read_image(scratch, max_pixels=10**6).pixels.ndim == 3


def test_an_endless_pixel_limit(monkeypatch):
    monkeypatch.setenv("RESCALE_BENCH_MAX_PIXELS", "9" * 5000)
    with pytest.raises(UsageError, match="RESCALE_BENCH_MAX_PIXELS"):
        max_pixels_setting()
