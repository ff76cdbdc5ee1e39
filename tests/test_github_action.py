"""The composite action and our workflow: their own scripts, run by bash as GitHub runs them, around a real run."""

import csv
import io
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import toys
import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / ".github/actions/regression/action.yml").read_text())
LEADERBOARD = yaml.safe_load((ROOT / ".github/actions/leaderboard/action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
RUN = "-m bicubic,nearest -s 2 --metrics psnr_y,ssim_y --threads 1"
EXPRESSION = re.compile(r"\$\{\{\s*(?:inputs\.(\w+)|steps\.(\w+)\.outputs\.(\w+))\s*\}\}")


def step(name, place, inputs, before=None, action=ACTION):
    """Run one step; before: the outputs of earlier ones, by id. Returns (exit code, outputs, summary, log)."""
    given = {key: str(about.get("default", "")) for key, about in action["inputs"].items()} | inputs
    (one,) = (one for one in action["runs"]["steps"] if one["name"] == name)

    def value(match):
        return given[match[1]] if match[1] else (before or {})[match[2]][match[3]]

    files = {"GITHUB_OUTPUT": place / "output", "GITHUB_STEP_SUMMARY": place / "summary"}
    for path in files.values():
        path.write_text("")
    script = place / "script.sh"
    script.write_text(one["run"])
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_ACTIONS": "true",
        **{key: str(path) for key, path in files.items()},
        **{key: EXPRESSION.sub(value, text) for key, text in one["env"].items()},
    }
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]  # GitHub's "shell: bash"
    done = subprocess.run(shell, check=False, capture_output=True, text=True, env=environment, cwd=place)
    outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    return done.returncode, outputs, files["GITHUB_STEP_SUMMARY"].read_text(), done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def measured(place):
    """The measuring step over a folder whose name has a space, with one file that is no image."""
    data = toys.picture_folder(place / "two words", count=1)
    (data / "broken.png").write_bytes(b"none")
    inputs = {"run": f"{RUN} -d '{data}'", "output": "measured here"}
    code, outputs, _, log = step("Measure", place, inputs)
    assert code == 0, log
    assert outputs == {"code": "1"}, log
    (data / "broken.png").unlink()
    code, outputs, _, log = step("Measure", place, inputs)
    assert (code, outputs) == (0, {"code": "0"}), log
    return place / "measured here"


def baseline(measured, name, change):
    """Write the measured rows as CSV, changed."""
    from rescale_bench.runs.folder import read_table

    path = measured.parent / name
    rows = read_table(measured)
    rows[rows["image"] != "broken"].to_csv(path, index=False)
    found = list(csv.DictReader(io.StringIO(path.read_text())))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(change(dict(row)) for row in found)
    return path.name


def compare(measured, stored, code="0", **inputs):
    given = {"baseline": stored, "output": measured.name, **inputs}
    return step("Compare with the baseline", measured.parent, given, {"measure": {"code": code}})


def rendered(summary):
    """Read the summary as GitHub does: (headings, table cells, what stands in the code block)."""
    tokens = MarkdownIt("commonmark").enable("table").parse(summary)
    inner = {kind: [] for kind in ("heading_open", "th_open", "td_open")}
    for before, token in pairwise(tokens):
        if before.type in inner:
            inner[before.type].append("".join(child.content for child in token.children))
    return inner["heading_open"], inner["td_open"], [token.content for token in tokens if token.type == "fence"]


def test_no_regression(measured):
    stored = baseline(measured, "same.csv", lambda row: row)
    code, outputs, summary, log = compare(measured, stored)
    assert (code, outputs) == (0, {"code": "0"}), log
    headings, cells, (block,) = rendered(summary)
    assert headings[0] == "rescale-bench: no regression"
    assert "two words · protocol rgb8 version 1 · codec png" in headings[1]
    assert {"bicubic", "nearest", "×2"} <= set(cells)
    assert block.startswith("4 values compared, 0 regressed")


def test_a_regression_fails_the_step_and_shows(measured):
    def better(row):
        return row | ({"value": "60.5"} if (row["metric"], row["method"]) == ("psnr_y", "nearest") else {})

    stored = baseline(measured, "better.csv", better)
    code, outputs, summary, log = compare(measured, stored)
    assert (code, outputs) == (3, {"code": "3"}), log
    headings, cells, (block,) = rendered(summary)
    assert headings[0] == "rescale-bench: regression"
    assert "nearest" in cells
    assert block.startswith("4 values compared, 1 regressed")
    assert "60.5" in block
    assert "::error" in log
    assert "::error" not in summary
    # Allowed to drop that far; but cells that failed while measuring still fail the step.
    code, outputs, _, _ = compare(measured, stored, code="1", tolerance="psnr_y=100")
    assert (code, outputs) == (1, {"code": "0"})


def test_nothing_comparable(measured):
    code, outputs, summary, log = compare(measured, baseline(measured, "other.csv", lambda row: row | {"scale": "7"}))
    assert (code, outputs) == (4, {"code": "4"}), log
    assert rendered(summary)[0][0] == "rescale-bench: nothing comparable"


@pytest.mark.parametrize("flags", ["-m 'bicubic", "-m bicubic $(touch made) `touch made` ; touch made"])
def test_flags_are_words_and_never_commands(place, flags):
    code, outputs, _, _ = step("Measure", place, {"run": flags, "output": "never"})
    assert code != 0
    assert outputs == {}
    assert not (place / "made").exists()
    assert not (place / "never").exists()


def test_install_takes_words(place):
    code, _, _, log = step("Install", place, {"install": "--no-index 'a b'"})
    assert code != 0
    assert "'a b'" in log


@pytest.mark.parametrize("action", [ACTION, LEADERBOARD], ids=["regression", "leaderboard"])
def test_scripts_hold_no_expressions(action):
    """Text of an input pasted into a script could run as code: expressions stand in env alone."""
    steps = action["runs"]["steps"]
    for one in steps:
        assert "${{" not in one["run"], one["name"]
        assert one["shell"] == "bash"
    used = {match[1] for one in steps for text in one["env"].values() for match in EXPRESSION.finditer(text)}
    assert used - {None} == set(action["inputs"])


def test_the_action_gives_its_code():
    assert EXPRESSION.fullmatch(ACTION["outputs"]["code"]["value"])


def test_our_workflow_uses_the_action():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    steps = [one for job in workflow["jobs"].values() for one in job["steps"]]
    (used,) = [one for one in steps if one.get("uses") == "./.github/actions/regression"]
    assert set(used["with"]) <= set(ACTION["inputs"])
    assert (ROOT / used["with"]["baseline"]).is_file()
