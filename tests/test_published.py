"""Published numbers: the transcription, its meaning, and how synthetic runs are paired with it."""

import csv
import io
import json
import math
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from rescale_bench.api.registry import load_registry
from rescale_bench.checks.naming import method_name, method_names, metric_names
from rescale_bench.checks.published import COLUMNS, Published, compare, merged, read_published
from rescale_bench.checks.published_tables import render_published, standing
from rescale_bench.errors import UnknownNameError, UsageError

REGISTRY = load_registry()
FOLDER = Path(__file__).parents[1] / "results" / "published"


@pytest.fixture(scope="module")
def published():
    return read_published(FOLDER)


def rows(values, method="bicubic", **changes):
    base = {
        "method": method, "options": "", "weights": "", "weights_sha256": "", "dataset": "Set5", "scale": "2",
        "codec": "none", "protocol": "srcnn-y", "tile": "", "dtype": "float32", "metric": "psnr_y", "status": "ok",
    }  # fmt: skip
    return [{**base, "image": f"i{n}", "seed": 0, "value": value, **changes} for n, value in enumerate(values)]


def frame(*lists):
    return pd.DataFrame([row for each in lists for row in each])


BICUBIC = [33.66, 33.67, 33.65, 33.66, 33.667]  # mean 33.6614, as the specification measured


def test_the_transcription_is_complete(published):
    counts = Counter(row.source for row in published)
    assert (counts.pop("SAIN"), counts.pop("DAT")) == (65, 12)
    assert counts.keys() == {"AIDN", "FGRN", "IRN", "IRN appendix", "CAR"}
    assert counts.total() == 1694
    assert all(math.isfinite(row.value) for row in published)
    cells = {(row.source, row.table, row.method, row.scale, row.dataset, row.metric) for row in published}
    assert len(cells) == len(published)  # no number twice


def test_every_named_method_occurs_in_the_tables(published):
    for name in method_names():
        assert any(name.fits(row.source, row.table, row.method, row.scale, row.dataset) for row in published), name
    for metric in metric_names():
        assert any(metric.fits(row.source, row.metric, metric.under) for row in published), metric


@pytest.mark.parametrize(
    ("source", "method", "scale", "dataset", "spec", "protocol"),
    [
        ("CAR", "Bicubic & Bicubic", "4", "Set5", "bicubic", "srcnn-y"),
        ("AIDN", "Bicubic + Bicubic", "3", "Set5", "bicubic", "srcnn-y"),
        ("AIDN", "Bicubic + Bicubic", "1.6", "Set5", "bicubic", "unstated"),
        ("FGRN", "Bicubic", "2", "Set5", "bicubic", "rgb8"),
        ("AIDN", "IRN-x2 (type III)", "2", "Set5", "irn-type3", "rgb8"),
        ("AIDN", "IRN-x4 (type III)", "3", "Set5", "irn-type3", "aidn"),
        ("AIDN", "Bicubic + EDSR-x2 (type I)", "1.6", "Set5", "bicubic+edsr-type1", "aidn"),
        ("IRN", "CAR & EDSR", "2", "Set5", "car-edsr", "car"),
        ("IRN", "IRN, z=0", "4", "Set5", "irn:z=zero", "rgb8"),
        ("IRN", "IRN_LD", "3", "Set5", "irn-ld", "rgb8"),
        ("SAIN", "Bicubic & EDSR", "2", "DIV2K", "bicubic+edsr", "rgb8"),
    ],
)
def test_what_published_names_mean(source, method, scale, dataset, spec, protocol):
    found = method_name(source, "Table 1", method, scale, dataset)
    assert (found.spec, found.protocol) == (spec, protocol)


def test_a_number_through_a_codec_meets_the_same_codec_alone(published):
    def through(codec):
        values = [28.4] * 100
        found = compare(
            frame(rows(values, "sain", weights="published", dataset="DIV2K-val", codec=codec, protocol="rgb8")),
            published, REGISTRY,
        )  # fmt: skip
        return [(one.published.table, one.published.text, one.reproduction) for one in found]

    assert through("jpeg:quality=70") == [("README, JPEG 70", "34.73", True)]
    assert through("jpeg:quality=70,subsampling=444") == through("png") == through("none") == []


def test_methods_that_we_lack_say_why():
    lacking = method_name("AIDN", "Table 1", "Bicubic + ArbEDSR (type II)", "2", "Set5")
    assert (lacking.spec, lacking.note[:7]) == ("", "no code")


def test_a_bicubic_run_reproduces_the_published_row(published):
    found = compare(frame(rows(BICUBIC)), published, REGISTRY)
    assert {one.published.text for one in found} == {"33.66"}
    assert all(one.reproduction for one in found)
    assert found[0].difference == pytest.approx(0.0014)
    assert found[0].images == "5/5"
    line = merged(found)
    assert len(line) == 1
    assert line[0][1] == "AIDN Table 1; AIDN Table 3; FGRN Table 1; IRN Table 1; CAR Table 1"


def test_another_protocol_is_shown_and_labelled(published):
    data = frame(rows(BICUBIC), rows([33.68] * 5, protocol="rgb8", codec="png"))
    found = [one for one, _ in merged(compare(data, published, REGISTRY))]
    assert [(one.protocol, standing(one)) for one in found] == [
        ("srcnn-y", "reproduction"),
        ("rgb8", "published under srcnn-y"),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": "small"}, "weights small, not the published ones"),
        ({"weights": "published+random"}, "weights published+random, not the published ones"),
        ({"weights": "published", "codec": "jpeg:quality=90"}, "LR through jpeg:quality=90"),
        ({"weights": "published", "codec": "webp:quality=80"}, "LR through webp:quality=80"),
        ({"weights": "published", "codec": "foreign"}, "LR through foreign"),
        *(
            ({"weights": "published", "codec": codec}, "reproduction")
            for codec in ("jxl", "jxl:effort=9", "jp2", "jpegls", "webp")
        ),
        ({"weights": "published", "dataset": "Set5@mod12"}, "data-set variant mod12"),
        ({"weights": "published", "protocol": "aidn"}, "published under rgb8"),
        ({"weights": "published"}, "reproduction"),
    ],
)
def test_only_published_weights_under_the_same_conditions_reproduce(published, changes, reason):
    data = frame(rows([43.9] * 5, "irn", **({"protocol": "rgb8", "codec": "png"} | changes)))
    found = compare(data, published, REGISTRY)
    assert {standing(one) for one in found} == {reason}
    assert all(one.reproduction == (reason == "reproduction") for one in found)
    assert all(one.dataset == changes.get("dataset", "Set5") for one in found)


def test_mod12_is_what_aidn_does_itself(published):
    data = frame(rows([44.0] * 5, "aidn", weights="published", protocol="aidn", dataset="Set5@mod12"))
    assert {standing(one) for one in compare(data, published, REGISTRY)} == {"reproduction"}


def test_a_part_of_the_images_is_no_reproduction(published):
    lost = frame(rows(BICUBIC[:3]), rows([math.nan], image="i3", status="failed"), rows([math.inf], image="i4"))
    found = compare(lost, published, REGISTRY)[0]
    assert found.images == "3/5"
    assert found.measured == pytest.approx(33.66)
    assert standing(found) == "3 of 5 images"


def test_seeds_are_averaged_per_image(published):
    data = frame(rows([43.0] * 5, "irn", protocol="rgb8", weights="published"))
    other = frame(rows([45.0] * 5, "irn", protocol="rgb8", weights="published", seed=1))
    found = compare(pd.concat([data, other]), published, REGISTRY)[0]
    assert (found.measured, found.images) == (44.0, "5/5")


def test_options_are_part_of_the_method(published):
    data = frame(rows([36.2] * 5, "irn", options="z=zero", scale="4", protocol="rgb8", weights="published"))
    assert {one.published.method for one in compare(data, published, REGISTRY)} == {"IRN, z=0"}


def test_piqe_has_two_twins(published):
    shared = {"protocol": "rgb8", "codec": "png"}
    data = frame(
        rows([38.561] * 5, metric="piqe_lr:channels=bgr", **shared), rows([40.521] * 5, metric="piqe_lr", **shared)
    )
    found = compare(data, published, REGISTRY)
    assert [(one.metric, one.published.text, one.reproduction) for one in found] == [
        ("piqe_lr:channels=bgr", "38.561", True),
        ("piqe_lr", "38.561", False),
    ]
    assert "channel-swapped" in found[0].note


def test_jpegls_of_car_is_shown_beside_jpeg2000(published):
    shared = {"protocol": "car", "codec": "png"}
    data = frame(rows([11.95] * 5, metric="bpp_lr_jp2", **shared), rows([14.4] * 5, metric="bpp_lr_jpegls", **shared))
    found = compare(data, published, REGISTRY)
    assert {(one.metric, one.published.text) for one in found} == {("bpp_lr_jp2", "11.99"), ("bpp_lr_jpegls", "11.99")}
    assert not any(one.reproduction for one in found)


def test_div2k_goes_by_its_validation_set(published):
    data = frame(rows([35.0] * 100, dataset="DIV2K-val"))
    found = compare(data, published, REGISTRY)
    assert {one.published.dataset for one in found} == {"DIV2K"}
    assert {standing(one) for one in found} == {"published under ntire, not the same metric"}
    by_edsr = frame(rows([31.01] * 100, dataset="DIV2K-val", protocol="ntire", metric="psnr_rgb"))
    reproduced = {one.published.source for one in compare(by_edsr, published, REGISTRY) if one.reproduction}
    assert reproduced == {"AIDN", "CAR", "FGRN", "IRN"}


def test_unmeasured_numbers_are_listed_on_request(published):
    data = frame(rows(BICUBIC))
    assert all(one.measured is not None for one in compare(data, published, REGISTRY))
    everything = compare(data, published, REGISTRY, all=True)
    assert len(everything) == len(published)
    assert everything[0].reproduction
    assert standing(everything[-1]) == "not measured"
    assert everything[-1].difference is None


def test_an_unmeasured_run_says_so(published):
    assert "print no number for what this run measured" in render_published(
        compare(frame(rows([1.0], "mine")), published, REGISTRY)
    )


def test_renderings(published):
    found = compare(frame(rows(BICUBIC)), published, REGISTRY)
    plain = render_published(found)
    assert "33.6614" in plain
    assert "+0.0014" in plain
    markdown = render_published(found, "markdown").splitlines()
    assert len({line.count("|") for line in markdown}) == 1
    data = list(csv.DictReader(io.StringIO(render_published(found, "csv"))))
    assert len(data) == len(found)
    assert float(data[0]["measured"]) == pytest.approx(33.6614)
    assert json.loads(render_published(found, "json"))[0]["standing"] == "reproduction"
    with pytest.raises(UnknownNameError, match="markdown"):
        render_published(found, "markdwn")


def test_decimals_are_those_printed():
    def printed(text):
        return Published("S", "T", "m", "2", "Set5", "psnr_y", text, "", "").decimals

    assert [printed(text) for text in ("33.66", "0.9299", "470", "8.66e11")] == [2, 4, 0, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source,table\nA,B\n", "lacks the columns"),
        (",".join(COLUMNS) + "\nA,T,m,2,Set5,psnr_y,much,,\n", "line 2 is not"),
        (",".join(COLUMNS) + "\nA,T,m,zwei,Set5,psnr_y,1.0,,\n", "line 2"),
        (",".join(COLUMNS) + "\nA,T,m\n", "line 2"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(UsageError, match=r"bad\.csv") as caught:
        read_published(tmp_path)
    assert message.removesuffix(" is not") in str(caught.value)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"no \.csv"):
        read_published(tmp_path / "missing")


def test_no_paper_damages_its_lr(published):
    assert not compare(frame(rows(BICUBIC, damage="jpeg:90")), published, REGISTRY)
