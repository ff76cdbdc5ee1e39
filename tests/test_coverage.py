"""What can be run of the papers' tables, what was measured and reproduced, and the reasons of the rest."""

import csv
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from test_published import BICUBIC, frame, rows

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.checks import cover, read_published, render_coverage
from rescale_bench.checks.naming import method_names
from rescale_bench.cli.main import main
from rescale_bench.errors import UnknownNameError

REGISTRY = load_registry()
PAPERS = ("AIDN", "CAR", "FGRN", "IRN", "IRN appendix")


@pytest.fixture(scope="module")
def published():
    return read_published(Path(__file__).parents[1] / "results" / "published")


@pytest.fixture(scope="module")
def covered(published):
    found = cover(published, REGISTRY, frame(rows(BICUBIC), rows([30.2, 30.3, 30.4], dataset="Set14")))
    assert [one.published for one in found] == published
    return found


def test_most_of_the_papers_can_be_run_and_the_rest_has_its_reason(covered):
    papers = [one for one in covered if one.published.source in PAPERS]
    assert len(papers) == 1694
    assert all(bool(one.reason) != bool(one.weights) for one in papers)
    assert sum(not one.reason for one in papers) >= 1500


def test_every_named_method_is_one_of_ours():
    for name in method_names():
        if name.spec:
            REGISTRY.choose_method(parse_spec(name.spec))
        else:
            assert name.note, name


def test_what_needs_no_weights_is_ready_and_the_published_ones_are_absent(covered):
    ready = Counter(one.weights for one in covered if one.spec == "bicubic")
    assert set(ready) <= {"none needed", ""}
    assert {one.weights for one in covered if one.spec == "irn" and not one.reason} == {"absent"}


def test_the_published_weights_are_found_where_a_run_would(published, home):
    mine = [one for one in published if (one.source, one.table, one.method) == ("IRN", "Table 1", "IRN")]
    folder = home / "weights" / "irn" / "published"
    folder.mkdir(parents=True)
    (folder / "x4.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert {one.published.scale for one in cover(mine, REGISTRY) if one.weights == "here"} == {"4"}


def test_a_run_counts_as_measured_and_only_an_equal_whole_set_as_reproduced(covered):
    def counted(dataset):
        return {one.published.text: one.counts[3:] for one in covered if one.measured
                and one.published.dataset == dataset}  # fmt: skip

    assert counted("Set5") == {"33.66": (True, True, True)}
    assert counted("Set14") == {"30.24": (True, False, False)}  # 3 of 14 images


def test_a_number_with_an_exponent_is_compared_by_its_last_digit(published):
    row = rows([8.661e11], "irn", dataset="1920x1080", metric="macs_up", weights="published", protocol="rgb8")
    wanted = [one for one in published if one.text == "8.66e11"]
    assert all(one.exponent == 9 and one.decimals == 0 for one in wanted)
    assert any(one.measured for one in cover(wanted, REGISTRY, frame(row)))


def test_what_is_printed(covered):
    plain = render_coverage(covered, True)
    table = plain.partition("\n\n")[0].splitlines()
    assert max(map(len, table)) <= 80
    assert table[-1].split()[:2] == ["all", str(len(covered))]
    names = [line[:20].strip() for line in table]
    assert names.index("IRN Table 9") < names.index("IRN Table 10")
    assert "TAD & TAU" in plain
    assert "measured" not in render_coverage(covered, False).partition("Not runnable")[0]
    markdown = render_coverage(covered, True, "markdown").split("\n\n")
    for block in (markdown[0], markdown[2]):
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1
    records = json.loads(render_coverage(covered, True, "json"))
    assert next(csv.DictReader(io.StringIO(render_coverage(covered, True, "csv")))).keys() == records[0].keys()
    assert sum(record["reproduced"] for record in records) == sum(one.reproduced for one in covered)
    with pytest.raises(UnknownNameError):
        render_coverage(covered, True, "yaml")


def test_the_verb_takes_no_run_or_several(tmp_path, capsys):
    for name, protocol in (("a", "srcnn-y"), ("b", "rgb8")):
        frame(rows(BICUBIC, protocol=protocol)).to_csv(tmp_path / f"{name}.csv", index=False)
    assert main(["published", "--coverage"]) == 0
    assert "equal" not in capsys.readouterr().out
    runs = [str(tmp_path / f"{name}.csv") for name in "ab"]
    assert main(["published", "--coverage", *runs, "--format", "json"]) == 0
    found = [one for one in json.loads(capsys.readouterr().out) if one["measured"]]
    assert {(one["method"], one["comparable"]) for one in found} == {("bicubic", True)}
    assert main(["published", "--coverage", str(tmp_path / "none.csv")]) == 2
